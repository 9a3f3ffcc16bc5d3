//! `bench core`: what a core file of some gigabytes and many threads takes.
//!
//! Goals are printed and never asserted: a slow machine is no error.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::figures::median_of;
use super::measure::{self, Usage};
use super::options::{self, positive};
use super::sysctl::Setting;
use super::unwind::goal;
use super::{machine, recording, report};
use crate::{command, setup, workspace};

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "core";

const USAGE: &str =
    "usage: cargo xtask bench core [--rounds N] [--gib N] [--threads N] [--name WHAT]
  --rounds      how often each figure is measured (default 5)
  --gib         memory of the program that dies (default 4)
  --threads     its threads (default 64)
  --name        what the file of results is called behind the date (default core)";

/// What the goals are for.
const GOAL_GIB: u32 = 4;
const GOAL_THREADS: u32 = 64;

/// A checked command line.
struct Plan {
    rounds: usize,
    gib: u32,
    threads: u32,
    name: String,
}

/// One run of the command.
struct Run {
    seconds: f64,
    usage: Usage,
    /// Threads whose stack is whole, and all.
    whole: (usize, usize),
    frames: usize,
}

/// Measures and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let plan = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "saying where core files go needs root: `sudo env PATH=\"$PATH\" cargo xtask bench {NAME}`"
        );
    }
    setup::for_bench()?;
    let profiler = crate::profiler::build()?;
    let directory = workspace::target().join("bench/core");
    recording::make_empty(&directory)?;
    let before = machine::load();
    let core = dump(&directory, &plan)?;
    let size = fs::metadata(&core)?.len();
    let mut text = report::heading_of_file(&plan.name, &before)?;
    let _ = write!(
        text,
        "\n## A core file of {:.2} GiB with {} threads\n\n`profiler core --json -o stacks.pb.gz CORE`, from the start of the program to its \
         end, for a core file that the kernel wrote of `benches/programs/large_core.c`; names from debug information included. Medians of \
         {} rounds, with the page cache emptied before each run and without.\n\n\
         | page cache | s | CPU s | peak MiB | whole stacks | frames |\n| --- | --- | --- | --- | --- | --- |\n",
        size as f64 / f64::from(1 << 30),
        plan.threads,
        plan.rounds
    );
    let (mut slowest, mut largest) = (None, None);
    for (cache, is_empty) in [("empty", true), ("warm", false)] {
        let runs = (0..plan.rounds)
            .map(|round| {
                eprintln!("{cache} page cache: round {} of {}", round + 1, plan.rounds);
                measure(&profiler, &core, &directory, is_empty)
            })
            .collect::<Result<Vec<Run>>>()?;
        let median = |of: fn(&Run) -> f64| median_of(runs.iter().map(of).collect());
        let (seconds, peak) = (
            median(|run| run.seconds),
            median(|run| run.usage.peak_kib as f64 / 1024.0),
        );
        slowest = slowest.into_iter().chain(seconds).reduce(f64::max);
        largest = largest.into_iter().chain(peak).reduce(f64::max);
        let last = runs.last().context("there was no round")?;
        let _ = writeln!(
            text,
            "| {cache} | {:.3} | {:.3} | {:.1} | {} of {} | {} |",
            seconds.unwrap_or_default(),
            median(|run| run.usage.cpu_s).unwrap_or_default(),
            peak.unwrap_or_default(),
            last.whole.0,
            last.whole.1,
            last.frames
        );
    }
    if (plan.gib, plan.threads) == (GOAL_GIB, GOAL_THREADS) {
        text += "\n";
        text += &goal("start to report and profile", slowest, 2.0, "s");
        text += &goal("resident memory at its peak", largest, 200.0, "MiB");
    }
    fs::remove_file(&core).with_context(|| format!("could not remove {}", core.display()))?;
    println!(
        "\nresults in {}",
        report::save(&plan.name, &text)?.display()
    );
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan {
        rounds: 5,
        gib: GOAL_GIB,
        threads: GOAL_THREADS,
        name: NAME.to_owned(),
    };
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--rounds" => plan.rounds = positive(option, value)? as usize,
            "--gib" => plan.gib = positive(option, value)?,
            "--threads" => plan.threads = positive(option, value)?,
            "--name" => plan.name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(plan)
}

/// Builds the program, lets it die, and returns what the kernel has written.
fn dump(directory: &Path, plan: &Plan) -> Result<PathBuf> {
    let program = directory.join("large_core");
    let source = workspace::root().join("benches/programs/large_core.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-g", "-pthread", "-o"])
        .args([&program, &source]);
    command::check(&mut gcc)?;
    let pattern = format!("{}/core.%p", directory.display());
    let _pattern = Setting::set("kernel/core_pattern", &pattern)?;
    eprintln!("letting a program with {} GiB die", plan.gib);
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""])
        .arg(&program)
        .args([plan.gib.to_string(), plan.threads.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("could not start sh")?;
    let core = directory.join(format!("core.{}", child.id()));
    let status = child.wait()?;
    ensure!(
        core.is_file(),
        "no core file: the program ended with {status}"
    );
    Ok(core)
}

fn measure(profiler: &Path, core: &Path, directory: &Path, is_empty: bool) -> Result<Run> {
    if is_empty {
        rustix::fs::sync();
        fs::write("/proc/sys/vm/drop_caches", "3").context("could not empty the page cache")?;
    }
    let (stdout, stderr) = (directory.join("stdout"), directory.join("stderr"));
    let mut command = Command::new(profiler);
    command.args(["core", "--json", "-o"]);
    command.args([&directory.join("stacks.pb.gz"), core]);
    let running = measure::start(&command, &stdout, &stderr)?;
    let started_ns = running.started_ns;
    let usage = running.finish()?;
    ensure!(
        usage.code == Some(0),
        "the profiler failed: {}",
        fs::read_to_string(&stderr).unwrap_or_default()
    );
    let document: Value = serde_json::from_slice(&fs::read(&stdout)?)?;
    let threads = document["threads"].as_array().context("no threads")?;
    let whole = threads.iter().filter(|thread| thread["complete"] == true);
    let frames = threads
        .iter()
        .filter_map(|thread| thread["frames"].as_array());
    Ok(Run {
        seconds: usage.ended_ns.saturating_sub(started_ns) as f64 / 1e9,
        usage,
        whole: (whole.count(), threads.len()),
        frames: frames.map(Vec::len).sum(),
    })
}
