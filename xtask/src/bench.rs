//! `bench`: what profiling costs and how much of a profile is wrong, beside `perf` and samply in the same run.
//!
//! Each profiler attaches to a fresh process of each workload, several rounds, with their order rotating, so that
//! whatever else the machine does falls on all of them. The results are a dated file in `benches/results/`.
//! Goals are printed and never asserted: a slow machine is no error.

mod accuracy;
mod background;
mod bpf_cost;
mod commands;
mod continuous;
mod core;
mod figures;
mod files;
mod judge;
pub(crate) mod machine;
mod measure;
mod options;
mod peers;
mod perf_text;
pub(crate) mod pprof_text;
mod processes;
pub(crate) mod profile;
mod profilers;
mod recording;
pub(crate) mod report;
mod round;
mod samply_json;
mod sysctl;
mod tables;
mod target;
mod unwind;
mod workload;
mod workloads;

use std::path::Path;

use anyhow::{Result, bail};

use crate::{command, setup, workspace};
use files::Files;
use options::Options;
use profilers::{Kind, Profiler};
use recording::Patience;
use report::{About, Found, Measured, Results};
use sysctl::Setting;
use workload::Workload;

/// A benchmark of something else, asked for by its name.
type Other = (&'static str, fn(&[String]) -> Result<()>);

const OTHERS: &[Other] = &[
    (unwind::NAME, unwind::run),
    (accuracy::NAME, accuracy::run),
    (commands::NAME, commands::run),
    (core::NAME, core::run),
    (processes::NAME, processes::run),
    (continuous::NAME, continuous::run),
];

/// `cargo xtask bench [OPTIONS]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some((first, rest)) = arguments.split_first()
        && first == measure::MEASURED
    {
        return measure::run_between(rest);
    }
    if let Some((first, rest)) = arguments.split_first()
        && let Some((_, run)) = OTHERS.iter().find(|(name, _)| name == first)
    {
        return run(rest);
    }
    let options = Options::parse(arguments)?;
    if !command::is_root() {
        bail!(
            "loading BPF and changing kernel settings need root: build with `cargo xtask setup`, then run \
             `sudo env PATH=\"$PATH\" cargo xtask bench`"
        );
    }
    setup::for_bench()?;
    let (profilers, about) = get_profilers(&options)?;
    let patience = Patience::new()?;
    // samply reads the setting itself, root or not; the statistics cost time in every run of a BPF program.
    let _paranoid = Setting::set("kernel/perf_event_paranoid", "1")?;
    let _statistics = Setting::set("kernel/bpf_stats_enabled", "0")?;
    let directory = workspace::target().join("bench/run");
    let load_before = machine::load();
    let idle = bpf_cost::idle(&profilers[0], &options, &directory, &patience)?;
    let mut measured = Vec::new();
    for workload in &options.workloads {
        measured.push(measure_workload(
            workload, &profilers, &options, &directory, &patience,
        )?);
    }
    let results = Results {
        options,
        profilers: about,
        load_before,
        measured,
        idle,
    };
    let path = report::save(&results.options.name, &results.text()?)?;
    println!("\nresults in {}", path.display());
    Ok(())
}

/// Those that can be had, ours first, and what is to be said about each.
fn get_profilers(options: &Options) -> Result<(Vec<Profiler>, Vec<About>)> {
    let mut here = Vec::new();
    let mut about = Vec::new();
    for kind in Kind::ALL {
        let found = match kind.get() {
            Ok(profiler) => {
                let version = profiler.version()?;
                let line = command_line(&profiler, options);
                here.push(profiler);
                Ok(Found { version, line })
            }
            // Without ours there is nothing to measure; without a peer the results say so.
            Err(error) if kind == Kind::Ours => return Err(error),
            Err(error) => {
                eprintln!("{} cannot be had: {error:#}", kind.name());
                Err(format!("{error:#}"))
            }
        };
        about.push(About { kind, found });
    }
    Ok((here, about))
}

/// The commands as somebody would type them.
fn command_line(profiler: &Profiler, options: &Options) -> String {
    let files = Files(Path::new("/"));
    let record = profiler.record(0, options, &files);
    let steps = [Some(record), profiler.make_readable(&files)];
    let lines = steps.iter().flatten().map(|step| {
        let words = std::iter::once(step.get_program()).chain(step.get_args());
        let words = words.map(|word| match word.to_string_lossy() {
            path if path.starts_with('/') => profile::base_name(&path).to_owned(),
            pid if pid == "0" => "PID".to_owned(),
            word => word.into_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn measure_workload(
    workload: &'static Workload,
    profilers: &[Profiler],
    options: &Options,
    directory: &Path,
    patience: &Patience,
) -> Result<Measured> {
    let mut how = workload.build()?;
    let mut rounds = Vec::new();
    for number in 0..options.rounds {
        for position in 0..profilers.len() {
            let profiler = &profilers[(number + position) % profilers.len()];
            let name = profiler.kind.name();
            eprintln!(
                "{}: round {} of {}: {name}",
                workload.name,
                number + 1,
                options.rounds
            );
            rounds.push(round::run(
                profiler, workload, &mut how, options, directory, patience,
            )?);
        }
    }
    eprintln!("{}: cost in BPF", workload.name);
    let runs = bpf_cost::busy(&profilers[0], &mut how, options, directory, patience)?;
    Ok(Measured {
        workload,
        rounds,
        runs,
    })
}
