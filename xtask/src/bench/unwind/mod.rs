//! `bench unwind`: what a walk by unwind tables costs, beside the kernel's own walk by frame pointers and the peers.
//!
//! Goals are printed and never asserted: a slow machine is no error.

mod loss;
mod memory;
mod pair;
mod rows;
pub(super) mod walks;

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::figures::median_of;
use super::machine;
use super::options::{self, positive};
use super::profilers::Kind;
use super::recording::Patience;
use super::report;
use super::sysctl::Setting;
use crate::{command, setup, workspace};

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "unwind";

const USAGE: &str = "usage: cargo xtask bench unwind [--rounds N] [--seconds S] [--name WHAT]
  --rounds      how often each figure is measured (default 5)
  --seconds     how long each recording samples (default 4)
  --name        what the file of results is called behind the date (default unwind)";

/// A checked command line, and where things are.
struct Plan {
    rounds: usize,
    seconds: u32,
    name: String,
    /// The program that is measured.
    profiler: PathBuf,
    /// For the files of one recording.
    directory: PathBuf,
    patience: Patience,
}

/// Measures everything and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let (rounds, seconds, name) = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "loading BPF needs root: build with `cargo xtask setup`, then run `sudo env PATH=\"$PATH\" cargo xtask bench unwind`"
        );
    }
    setup::for_bench()?;
    let plan = Plan {
        rounds,
        seconds,
        name,
        profiler: crate::profiler::build()?,
        directory: workspace::target().join("bench/unwind"),
        patience: Patience::new()?,
    };
    let _paranoid = Setting::set("kernel/perf_event_paranoid", "1")?;
    let before = machine::load();
    let sections = [
        walks::measure(&plan)?,
        loss::measure(&plan)?,
        rows::measure(&plan)?,
        memory::measure(&plan)?,
    ];
    let mut text = report::heading_of_file(&plan.name, &before)?;
    text += &sections.concat();
    println!(
        "\nresults in {}",
        report::save(&plan.name, &text)?.display()
    );
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(usize, u32, String)> {
    let (mut rounds, mut seconds, mut name) = (5, 4, NAME.to_owned());
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--rounds" => rounds = positive(option, value)? as usize,
            "--seconds" => seconds = positive(option, value)?,
            "--name" => name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((rounds, seconds, name))
}

/// One line about a goal.
pub(super) fn goal(what: &str, figure: Option<f64>, at_most: f64, unit: &str) -> String {
    let (shown, verdict) = match figure {
        Some(figure) if figure <= at_most => (format!("{figure:.2}"), "reached"),
        Some(figure) => (format!("{figure:.2}"), "NOT reached"),
        None => ("-".to_owned(), "not measured"),
    };
    format!("- {what}: {shown} {unit}, goal {at_most} {unit}: {verdict}\n")
}

/// The middle of some figures.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    median_of(values.collect())
}

/// A directory below that of this run.
fn below(plan: &Plan, name: &str) -> Result<PathBuf> {
    let directory = plan.directory.join(name);
    super::recording::make_empty(&directory)?;
    Ok(directory)
}
