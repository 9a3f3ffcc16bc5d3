//! `bench accuracy`: whether stacks are whole and right, program by program.
//!
//! Each program of the corpus is recorded from its first instruction to its end, and each stack is judged twice or more:
//!
//! - *whole*: the profile does not mark it as cut. What has no user stack at that moment (in the middle of exec or exit)
//!   is counted apart.
//! - *after a call*: the bytes before every return address in a file are a call instruction. That needs no reference, and
//!   finds nearly every wrong frame, as few addresses that lie on a stack by chance are such.
//! - *right*, where the program knows its stack: each of its functions has exactly one caller, which it prints with
//!   `--stacks` (see `tests/programs/stacks.c`), so a sample's innermost function implies the whole chain; in recursion
//!   with its depth. That is exact without any clock: nothing has to be matched by time, as a shadow stack would have to
//!   be. What a library does inside itself is not known to the program; of its frames only the file or the beginning
//!   of the name is compared, and that they are where the program calls through it.
//! - *as in perf*: `perf record --call-graph dwarf,65528` records another run of the same command. Compared are the pairs
//!   of a return address and its caller's, as places in their files, because whole stacks of a compiler hardly ever come
//!   twice. What only one has seen may be chance as well as a mistake.
//!
//! Goals are printed and never asserted.

mod calls;
mod check;
mod corpus;
mod pairs;
mod table;
mod truth;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::files::Files;
use super::options::{self, positive};
use super::profilers::Kind;
use super::recording::make_empty;
use super::sysctl::Setting;
use super::{machine, peers, perf_text, pprof_text, profile::Profile, report};
use crate::{command, fixtures, setup, workspace};
use check::Findings;
use corpus::{CORPUS, Program};
use truth::Truth;

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "accuracy";

const USAGE: &str = "usage: cargo xtask bench accuracy [--seconds S] [--frequency HZ] [--program NAME] [--name WHAT]
  --seconds     CPU time of each program that knows its stack (default 4)
  --frequency   samples a second (default 997)
  --program     only this program; may be repeated (default all)
  --name        what the file of results is called behind the date (default accuracy)";

/// Samples a second for perf, which writes 64 KiB for each.
const PERF_FREQUENCY: &str = "499";

/// A checked command line, and where things are.
struct Plan {
    seconds: u32,
    frequency: u32,
    programs: Vec<&'static Program>,
    name: String,
    profiler: PathBuf,
    perf: Result<PathBuf, String>,
    fixtures: PathBuf,
    directory: PathBuf,
}

/// Records everything, judges it and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let mut plan = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "loading BPF needs root: build with `cargo xtask setup`, then run `sudo env PATH=\"$PATH\" cargo xtask bench accuracy`"
        );
    }
    setup::for_bench()?;
    plan.profiler = crate::profiler::build()?;
    plan.fixtures = fixtures::build()?;
    // Without the peer the results say so; the programs that know their stack do not need it.
    plan.perf = peers::perf().map_err(|error| format!("{error:#}"));
    make_empty(&plan.directory)?;
    corpus::write_sources(&plan.directory)?;
    let _paranoid = Setting::set("kernel/perf_event_paranoid", "1")?;
    let before = machine::load();
    let mut measured = Vec::new();
    for program in &plan.programs {
        eprintln!("{}", program.name);
        measured.push((*program, measure(&plan, program)?));
    }
    let mut text = report::heading_of_file(&plan.name, &before)?;
    if let Err(why) = &plan.perf {
        text += &format!("- perf: MISSING, {why}\n");
    }
    text += &table::text(&measured, plan.frequency, PERF_FREQUENCY);
    let path = report::save(&plan.name, &text)?;
    println!("\nresults in {}", path.display());
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan {
        seconds: 4,
        frequency: 997,
        programs: Vec::new(),
        name: NAME.to_owned(),
        profiler: PathBuf::new(),
        perf: Err("not looked for".to_owned()),
        fixtures: PathBuf::new(),
        directory: workspace::target().join("bench/accuracy"),
    };
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--seconds" => plan.seconds = positive(option, value)?,
            "--frequency" => plan.frequency = positive(option, value)?,
            "--program" => {
                let found = CORPUS.iter().find(|program| program.name == value);
                let found = found.with_context(|| {
                    let names: Vec<&str> = CORPUS.iter().map(|program| program.name).collect();
                    format!("there is no program `{value}`, only {}", names.join(", "))
                });
                plan.programs.push(found?);
            }
            "--name" => plan.name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if plan.programs.is_empty() {
        plan.programs = CORPUS.iter().collect();
    }
    Ok(plan)
}

fn measure(plan: &Plan, program: &Program) -> Result<Findings> {
    let words = program.command(&plan.fixtures, plan.seconds)?;
    let directory = plan.directory.join(program.name);
    make_empty(&directory)?;
    let files = Files(&directory);
    let profile = record(plan, &words, &files)?;
    let truth = if program.knows_its_stack {
        let text = command::read(Command::new(&words[0]).arg("--stacks"))?;
        Some(Truth::parse(&text)?)
    } else {
        None
    };
    let mut findings = check::check(&profile, truth.as_ref());
    if let Ok(perf) = &plan.perf {
        let reference = record_by_perf(perf, program, &words, &files, &plan.directory)?;
        findings.peer = Some(pairs::compare(&profile, &reference));
    }
    Ok(findings)
}

fn record(plan: &Plan, words: &[String], files: &Files<'_>) -> Result<Profile> {
    let mut profiler = Command::new(&plan.profiler);
    profiler
        .args(["-q", "-F", &plan.frequency.to_string(), "-o"])
        .arg(files.profile(Kind::Ours))
        .arg("--")
        .args(words);
    run_in(&mut profiler, &plan.directory, files)?;
    pprof_text::read(&files.profile(Kind::Ours))
}

fn record_by_perf(
    perf: &Path,
    program: &Program,
    words: &[String],
    files: &Files<'_>,
    directory: &Path,
) -> Result<Profile> {
    let path = files.profile(Kind::Perf);
    let mut record = Command::new(perf);
    record
        .args(["record", "-q", "-e", "cpu-clock", "-F", PERF_FREQUENCY])
        .args(["--call-graph", "dwarf,65528", "-o"])
        .arg(&path)
        .args(program.short_lived.map(|_| "-a"))
        .arg("--")
        .args(words);
    run_in(&mut record, directory, files)?;
    let mut script = Command::new(perf);
    // Without inlined calls, for which perf would start addr2line.
    script
        .args(["script", "--no-inline", "--max-stack", "1023", "-i"])
        .arg(&path)
        .args(
            program
                .short_lived
                .iter()
                .flat_map(|names| ["--comms", names]),
        )
        .stderr(Stdio::null());
    let output = script.output().context("could not start perf script")?;
    ensure!(
        output.status.success(),
        "perf script ended with {}",
        output.status
    );
    // Some hundred megabytes that nobody needs again.
    std::fs::remove_file(&path).with_context(|| format!("could not remove {}", path.display()))?;
    Ok(perf_text::parse(&String::from_utf8_lossy(&output.stdout)))
}

fn run_in(command: &mut Command, directory: &Path, files: &Files<'_>) -> Result<()> {
    let output = |path: PathBuf| {
        std::fs::File::create(&path).with_context(|| format!("could not create {}", path.display()))
    };
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output(files.stdout())?)
        .stderr(output(files.stderr())?);
    command::check(command)
        .with_context(|| format!("what it said is in {}", files.stderr().display()))
}
