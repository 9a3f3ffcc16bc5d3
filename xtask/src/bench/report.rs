//! The results as Markdown: medians, ratios, goals, cost in BPF, and every single round.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::bpf_cost::Runs;
use super::figures::{FIGURES, Figure, GOAL_FREQUENCY, GOAL_SECONDS, GOALS, median, root};
use super::machine;
use super::options::Options;
use super::profilers::Kind;
use super::round::Round;
use super::tables::{heading, row};
use super::workload::Workload;
use crate::workspace;

/// Percent of whole stacks below which cost and size are not those of a complete profile.
const MOSTLY_WHOLE: f64 = 95.0;

const LEGEND: &str = "\
CPU s: user and system time of the profiler and everything it starts, from its start to the finished, named
profile; for perf, `perf record` and then `perf script`, which is *of it after*. First sample: from the start of the
profiler to the time of the first sample. Ready: from SIGINT to the finished profile. Peak: resident memory of the
largest process. BPF: what the kernel accounts to maps and programs, not part of the peak. Size: of the file; for
samply with its symbols, for perf of perf.data. Of expected: samples of those that the CPU time used by the program
from the profiler's start to its end stands for. Root: stacks that reach `main` or a thread's entry. Named: user frames with a
name. Wrong: CPU time shown under a wrong phase or none, judged by the whole stack and by the innermost frame alone;
noise is what that is on average for a perfect profiler with as many samples.
";

/// What was measured on one workload.
pub(super) struct Measured {
    pub(super) workload: &'static Workload,
    pub(super) rounds: Vec<Round>,
    pub(super) runs: Runs,
}

/// What is to be said about one profiler.
pub(super) struct About {
    pub(super) kind: Kind,
    /// Or why it is missing.
    pub(super) found: Result<Found, String>,
}

/// A profiler that was measured.
pub(super) struct Found {
    pub(super) version: String,
    /// The commands as somebody would type them.
    pub(super) line: String,
}

/// Everything that was measured.
pub(super) struct Results {
    pub(super) options: Options,
    pub(super) profilers: Vec<About>,
    pub(super) load_before: String,
    pub(super) measured: Vec<Measured>,
    pub(super) idle: Runs,
}

impl Results {
    /// The whole file.
    pub(super) fn text(&self) -> Result<String> {
        let mut text = heading_of_file(&self.options.name, &self.load_before)?;
        for About { kind, found } in &self.profilers {
            text += &match found {
                Ok(found) => format!("- {}: {}; `{}`\n", kind.name(), found.version, found.line),
                Err(why) => format!("- {}: MISSING, {why}\n", kind.name()),
            };
        }
        text += &format!("\n{LEGEND}");
        for measured in &self.measured {
            text += &self.section(measured);
        }
        Ok(text)
    }

    fn section(&self, measured: &Measured) -> String {
        let workload = measured.workload;
        let rounds = &measured.rounds;
        let mut text = format!("\n## {}\n\n{}.\n\n", workload.name, workload.about);
        text += &format!(
            "Medians of {} interleaved rounds of {} s at {} Hz:\n\n",
            self.options.rounds, self.options.seconds, self.options.frequency
        );
        text += &heading("profiler", FIGURES.iter());
        for here in &self.profilers {
            text += &match here.found {
                Ok(_) => figures(here.kind.name(), |figure| {
                    median(rounds, here.kind, figure.of)
                }),
                Err(_) => figures(&format!("{} (missing)", here.kind.name()), |_| None),
            };
        }
        text += "\nRatios to profiler (above 1: the peer needs more):\n\n";
        text += &ratios(rounds);
        text += &self.goals(measured);
        text += &self.bpf(measured);
        text += "\nEvery round, in the order in which they were made:\n\n";
        text += &heading("profiler", FIGURES.iter());
        for round in rounds {
            text += &figures(round.kind.name(), |figure| (figure.of)(round));
        }
        text
    }

    fn goals(&self, measured: &Measured) -> String {
        let mut text = format!("\nGoals, for {GOAL_SECONDS} s at {GOAL_FREQUENCY} Hz:\n\n");
        let comparable =
            self.options.seconds == GOAL_SECONDS && self.options.frequency == GOAL_FREQUENCY;
        for goal in GOALS {
            if goal
                .workload
                .is_some_and(|name| name != measured.workload.name)
            {
                continue;
            }
            let median = median(&measured.rounds, Kind::Ours, goal.of);
            let verdict = match median {
                Some(_) if !comparable => "not comparable: other seconds or frequency",
                Some(figure) if figure <= goal.at_most => "reached",
                Some(_) => "NOT reached",
                None => "not measured",
            };
            let figure = median.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"));
            text += &format!(
                "- {}: {figure} {unit}, goal {} {unit}: {verdict}\n",
                goal.what,
                goal.at_most,
                unit = goal.unit
            );
        }
        let root = median(&measured.rounds, Kind::Ours, root).unwrap_or(0.0);
        if root < MOSTLY_WHOLE {
            text += &format!(
                "\nOnly {root:.1} % of the stacks are whole: short stacks cost less and fill less than whole ones.\n"
            );
        }
        text
    }

    fn bpf(&self, measured: &Measured) -> String {
        let runs = measured.runs;
        let miss = self.idle.ns_per_run();
        let sample = runs.ns_per_sample(miss);
        format!(
            "\nCost in BPF (one more recording, with the kernel's statistics on): {} runs of the sampling program in \
             {} ns, {:.0} ns a run; {} of them took a sample, {} ns each; the others take {miss:.0} ns (measured \
             beside a process that sleeps). {} instructions verified.\n",
            runs.count,
            runs.ns,
            runs.ns_per_run(),
            runs.samples,
            sample.map_or_else(|| "unknown".to_owned(), |ns| format!("{ns:.0}")),
            runs.verified,
        )
    }
}

/// What every file of results begins with: the command, the machine and its load.
pub(super) fn heading_of_file(name: &str, load_before: &str) -> Result<String> {
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut text = format!("# Benchmark of {}: {name}\n\n", machine::today()?);
    text += &format!("`cargo xtask {command}`\n\n");
    for (name, value) in machine::facts() {
        text += &format!("- {name}: {value}\n");
    }
    text += &format!(
        "- load averages: {load_before} before, {} after\n",
        machine::load()
    );
    Ok(text)
}

/// Prints the text and writes it to a file, beside those of the same day.
pub(crate) fn save(name: &str, text: &str) -> Result<PathBuf> {
    let today = machine::today()?;
    let directory = workspace::root().join("benches/results");
    fs::create_dir_all(&directory)
        .with_context(|| format!("could not create {}", directory.display()))?;
    let name = |number: usize| match number {
        1 => format!("{today}-{name}.md"),
        _ => format!("{today}-{name}-{number}.md"),
    };
    let path = (1..)
        .map(|number| directory.join(name(number)))
        .find(|path| !path.exists())
        .expect("numbers do not run out");
    print!("{text}");
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(path)
}

fn figures(name: &str, value: impl Fn(&Figure) -> Option<f64>) -> String {
    row(
        name,
        FIGURES.iter().map(|figure| (value(figure), figure.digits)),
    )
}

/// Only what costs something: twice the samples is not twice as good.
fn ratios(rounds: &[Round]) -> String {
    let costs = || FIGURES.iter().filter(|figure| figure.is_cost);
    let mut text = heading("peer", costs());
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Ours) {
        let ratio = |figure: &Figure| {
            let ours = median(rounds, Kind::Ours, figure.of).filter(|ours| *ours > 0.0)?;
            Some(median(rounds, kind, figure.of)? / ours)
        };
        text += &row(kind.name(), costs().map(|figure| (ratio(figure), 2)));
    }
    text
}
