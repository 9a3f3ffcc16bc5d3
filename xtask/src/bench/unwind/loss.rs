//! What one sample costs the program that is sampled: work that it does not do.
//!
//! Interrupts are time of the process that they interrupt, so a program that counts its work knows by how much less it
//! gets done in a second of CPU time. The event alone is our own profiler beside another process: its program ends
//! after 0.2 µs there.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Kind, Plan, goal, median, walks};
use crate::bench::background::Background;
use crate::bench::files::Files;
use crate::bench::measure;
use crate::bench::options::Options;
use crate::bench::profilers::Profiler;
use crate::bench::target::Target;

/// A rate at which a sample's cost stands out.
const FREQUENCY: u32 = 4999;
/// Depth of the recursion.
const DEPTH: &str = "30";
/// From the start of a profiler until it samples for sure.
const START: Duration = Duration::from_millis(800);

/// Beside what the work is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Our profiler, which samples another process.
    Event,
    Profiler(Kind),
}

impl Beside {
    const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Event,
        Self::Profiler(Kind::Ours),
        Self::Profiler(Kind::Perf),
        Self::Profiler(Kind::Samply),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Event => "the event alone",
            Self::Profiler(kind) => kind.name(),
        }
    }
}

/// Measures and tells.
pub(super) fn measure(plan: &Plan) -> Result<String> {
    let [_, program] = walks::build()?;
    let mut profilers = Vec::new();
    let mut missing = String::new();
    for kind in Kind::ALL {
        match kind.get() {
            Ok(profiler) => profilers.push(profiler),
            // Writing to a string does not fail.
            Err(error) => drop(writeln!(missing, "- {}: MISSING, {error:#}", kind.name())),
        }
    }
    let mut speeds: Vec<(Beside, f64)> = Vec::new();
    for round in 0..plan.rounds {
        for position in 0..Beside::ALL.len() {
            let beside = Beside::ALL[(round + position) % Beside::ALL.len()];
            eprintln!(
                "loss: round {} of {}: {}",
                round + 1,
                plan.rounds,
                beside.name()
            );
            if let Some(speed) = speed(plan, &program, beside, &profilers)? {
                speeds.push((beside, speed));
            }
        }
    }
    Ok(text(&speeds) + &missing)
}

fn text(speeds: &[(Beside, f64)]) -> String {
    let mut text = format!(
        "\n## Work lost to a sample\n\nThe recursion without frame pointers, {DEPTH} deep, at {FREQUENCY} Hz; pieces of work per second of CPU time, \
         medians of interleaved rounds. Loss: of what is done beside nothing; per sample: loss over {FREQUENCY}.\n\n\
         | beside | pieces per CPU second | loss % | µs per sample |\n| --- | --- | --- | --- |\n"
    );
    let of = |beside| median(speeds.iter().filter(|all| all.0 == beside).map(|all| all.1));
    let alone = of(Beside::Nothing);
    let per_sample = |beside| {
        let loss = 1.0 - of(beside)? / alone?;
        Some(loss * 1e6 / f64::from(FREQUENCY))
    };
    for beside in Beside::ALL {
        let Some(speed) = of(beside) else { continue };
        let us = per_sample(beside).unwrap_or(f64::NAN);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {speed:.0} | {:.2} | {us:.1} |",
            beside.name(),
            us * f64::from(FREQUENCY) / 1e4
        );
    }
    let ours = per_sample(Beside::Profiler(Kind::Ours));
    let event = per_sample(Beside::Event);
    text += "\n";
    text += &goal("one sample in the target", ours, 18.0, "µs");
    text += &goal(
        "of the event alone",
        ours.zip(event).map(|(ours, event)| ours / event),
        18.0 / 15.0,
        "times",
    );
    text
}

/// Pieces of work per second of CPU time; `None` if the profiler is not here.
fn speed(
    plan: &Plan,
    program: &Path,
    beside: Beside,
    profilers: &[Profiler],
) -> Result<Option<f64>> {
    let mut target = Target::start(Command::new(program).arg(DEPTH))?;
    let sleeper = Background::sleeper()?;
    let (kind, pid) = match beside {
        Beside::Nothing => (None, 0),
        Beside::Event => (Some(Kind::Ours), sleeper.pid()),
        Beside::Profiler(kind) => (Some(kind), target.pid),
    };
    let directory = super::below(plan, "loss")?;
    let files = Files(&directory);
    let mut running = None;
    if let Some(kind) = kind {
        let Some(profiler) = profilers.iter().find(|profiler| profiler.kind == kind) else {
            return Ok(None);
        };
        let options = Options {
            rounds: 1,
            seconds: plan.seconds,
            frequency: FREQUENCY,
            workloads: Vec::new(),
            name: String::new(),
        };
        let command = profiler.record(pid, &options, &files);
        running = Some(measure::start(&command, &files.stdout(), &files.stderr())?);
    }
    plan.patience.wait(START)?;
    let before = target.cpu_time()?;
    plan.patience
        .wait(Duration::from_secs(plan.seconds.into()))?;
    let spent = target.cpu_time()?.since(&before);
    if let Some(running) = running {
        running.interrupt()?;
        running.finish()?;
    }
    let work = spent
        .phases
        .get("work")
        .context("the recursion does not count")?;
    Ok(Some(*work as f64 / (spent.total as f64 / 1e9)))
}
