//! `bench commands`: what the commands that do not sample take on many files and many processes.
//!
//! Goals are printed and never asserted: a slow machine is no error.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::figures::median_of;
use super::options::{self, positive};
use super::unwind::goal;
use super::{machine, report};
use crate::{command, setup, workspace};

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "commands";

const USAGE: &str = "usage: cargo xtask bench commands [--rounds N] [--name WHAT]
  --rounds      how often each figure is measured (default 5)
  --name        what the file of results is called behind the date (default commands)";

/// Files that `build-id` gets.
const FILES: usize = 5_000;
/// Processes that are started for `symbols`: so many that wait, and so many Pythons among them.
const PROCESSES: usize = 1_000;
const PYTHONS: usize = 50;
/// Until the loader of the last process has mapped everything.
const START: Duration = Duration::from_secs(2);

/// Measures both and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let (rounds, name) = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "looking into all processes needs root: `sudo env PATH=\"$PATH\" cargo xtask bench {NAME}`"
        );
    }
    setup::for_bench()?;
    let profiler = crate::profiler::build()?;
    let mut text = report::heading_of_file(&name, &machine::load())?;
    text += &build_ids(&profiler, rounds)?;
    text += &symbols(&profiler, rounds)?;
    println!("\nresults in {}", report::save(&name, &text)?.display());
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(usize, String)> {
    let (mut rounds, mut name) = (5, NAME.to_owned());
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--rounds" => rounds = positive(option, value)? as usize,
            "--name" => name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((rounds, name))
}

fn build_ids(profiler: &Path, rounds: usize) -> Result<String> {
    let (files, binaries) = files()?;
    let mut shortest = BTreeSet::new();
    let (mut headers, mut commands) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        eprintln!("build-id: round {round} of {rounds}");
        let began = Instant::now();
        for file in &files {
            // What cannot be read takes its time as well.
            let _ = read_headers(file);
        }
        let read = began.elapsed();
        let (taken, rows) = time(
            profiler,
            Command::new(profiler)
                .arg("build-id")
                .arg("--json")
                .args(&files),
        )?;
        ensure!(
            rows.len() == files.len(),
            "{} rows for {} files",
            rows.len(),
            files.len()
        );
        shortest.insert(rows.iter().filter(|row| row["gnu"].is_string()).count());
        // The first round has brought everything into the page cache.
        if round > 0 {
            headers.push(read.as_secs_f64() * 1e3);
            commands.push(taken.as_secs_f64() * 1e3);
        }
    }
    ensure!(shortest.len() == 1, "other ids in another round");
    let (headers, commands) = (median_of(headers), median_of(commands));
    let ratio = headers
        .zip(commands)
        .map(|(headers, command)| command / headers);
    let mut text = format!(
        "\n## Build-ids of many files\n\n`profiler build-id --json FILE…` with {} files of /usr, {binaries} of them ELF files ({} with a GNU \
         build-id), from the start of the program to its end, beside opening the same files and reading ELF header and program headers with \
         one call each. Files in the page cache, medians of {rounds} interleaved rounds.\n\n",
        files.len(),
        shortest.first().unwrap_or(&0),
    );
    let shown = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    // Writing to a string does not fail.
    let _ = writeln!(text, "- reading headers: {}", shown(headers));
    let _ = writeln!(text, "- profiler build-id: {}", shown(commands));
    text += &goal("times the headers", ratio, 3.0, "×");
    Ok(text)
}

/// The files of /usr, binaries first, and how many of these there are.
fn files() -> Result<(Vec<PathBuf>, usize)> {
    let is_elf = |path: &PathBuf| {
        let mut magic = [0; 4];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut magic, 0));
        read.is_ok() && magic == *b"\x7fELF"
    };
    let mut all = workspace::files_below(Path::new("/usr"))?;
    all.retain(|path| fs::symlink_metadata(path).is_ok_and(|data| data.is_file()));
    all.sort();
    let (mut files, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_elf);
    files.truncate(FILES);
    let binaries = files.len();
    files.extend(others.into_iter().take(FILES - binaries));
    Ok((files, binaries))
}

fn read_headers(path: &Path) -> std::io::Result<()> {
    let file = File::open(path)?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if header.starts_with(b"\x7fELF\x02\x01") {
        let at = u64::from_le_bytes(std::array::from_fn(|index| header[32 + index]));
        let count = u16::from_le_bytes([header[56], header[57]]);
        file.read_exact_at(&mut vec![0; usize::from(count) * 56], at)?;
    }
    Ok(())
}

/// Processes that are ended when this goes.
struct Crowd(Vec<Child>);

impl Crowd {
    fn gather() -> Result<Self> {
        let mut crowd = Self(Vec::new());
        for number in 0..PROCESSES {
            let mut command = if number < PYTHONS {
                let mut python = Command::new("/usr/bin/python3");
                python.args(["-c", "import time; time.sleep(1000)"]);
                python
            } else {
                let mut sleep = Command::new("/bin/sleep");
                sleep.arg("1000");
                sleep
            };
            let child = command.stdin(Stdio::null()).spawn();
            crowd
                .0
                .push(child.context("could not start a process to be looked into")?);
        }
        std::thread::sleep(START);
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended by itself is as well.
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

fn symbols(profiler: &Path, rounds: usize) -> Result<String> {
    let crowd = Crowd::gather()?;
    let mut text = format!(
        "\n## Symbols in many processes\n\n`profiler symbols NAME --json` beside {PROCESSES} waiting processes that were started for it, {PYTHONS} \
         of them Debian's Python and the others sleep, from the start of the program to its end. Files in the page cache, medians of \
         {rounds} rounds.\n\n"
    );
    let names: [(&str, &[&str], usize); 4] = [
        ("_PyRuntime", &[], PYTHONS),
        ("malloc", &[], PROCESSES),
        ("no_such_symbol", &[], 0),
        ("^_PyRuntime$", &["--regex"], PYTHONS),
    ];
    for (name, options, at_least) in names {
        let mut times = Vec::new();
        let mut hits = 0;
        for round in 0..=rounds {
            eprintln!("symbols {name}: round {round} of {rounds}");
            let mut command = Command::new(profiler);
            command.args(["symbols", name, "--json"]).args(options);
            let (taken, rows) = time(profiler, &mut command)?;
            hits = rows.len();
            ensure!(hits >= at_least, "{hits} hits of {name}");
            if round > 0 {
                times.push(taken.as_secs_f64());
            }
        }
        let words = std::iter::once(name).chain(options.iter().copied());
        let what = words.collect::<Vec<_>>().join(" ");
        text += &goal(
            &format!("`{what}`, {hits} hits"),
            median_of(times),
            1.0,
            "s",
        );
    }
    drop(crowd);
    Ok(text)
}

/// How long a command takes, and the objects that it prints.
fn time(profiler: &Path, command: &mut Command) -> Result<(Duration, Vec<Value>)> {
    let began = Instant::now();
    let output = command
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", profiler.display()))?;
    let taken = began.elapsed();
    let rows = serde_json::from_slice(&output.stdout).context("no JSON came")?;
    Ok((taken, rows))
}
