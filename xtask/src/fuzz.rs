//! `fuzz`: runs each fuzz target of `profiler/fuzz/` for a bounded time, from the seeds that lie beside it.
//!
//! The coverage that libFuzzer goes by is asked for with plain code generation options, so neither a nightly compiler
//! nor `cargo fuzz` is needed. What is found is kept in `target/fuzz/`, and the next run goes on from there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, ebpf, workspace};

const USAGE: &str = "usage: cargo xtask fuzz [TARGET...] [--seconds N]
  TARGET        only these (default all of profiler/fuzz/fuzz_targets)
  --seconds N   for so long each (default 60)";

/// Seconds for each target, unless somebody says otherwise.
const USUAL_SECONDS: u32 = 60;
/// A target is given no longer inputs; what is wrong with long ones is wrong with short ones, and those are faster.
const LONGEST_INPUT: u32 = 4096;
/// No input may take longer, in seconds, or more memory, in MiB: what hostile input costs is bounded, too.
const MOST_SECONDS: u32 = 5;
const MOST_MEMORY: u32 = 2048;

/// What libFuzzer needs to see, as `cargo fuzz` asks for it, and the checks of a debug build.
const RUSTFLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Ccodegen-units=1",
];

/// Named, so that what runs while building is not instrumented.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// What to run, for how long.
struct Plan {
    targets: Vec<String>,
    seconds: u32,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let plan = parse(arguments, &targets()?)?;
    // The library embeds it.
    ebpf::build()?;
    let directory = workspace::target().join("fuzz");
    build(&directory)?;
    for target in &plan.targets {
        fuzz(target, plan.seconds, &directory)?;
    }
    Ok(())
}

/// All targets there are.
fn targets() -> Result<BTreeSet<String>> {
    let sources = workspace::files_below(&home().join("fuzz_targets"))?;
    let names = sources.iter().filter_map(|source| source.file_stem());
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

fn home() -> PathBuf {
    workspace::root().join("profiler/fuzz")
}

fn parse(arguments: &[String], known: &BTreeSet<String>) -> Result<Plan> {
    let mut plan = Plan {
        targets: Vec::new(),
        seconds: USUAL_SECONDS,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
            plan.seconds = seconds
                .filter(|seconds| *seconds > 0)
                .with_context(|| format!("--seconds takes a number above 0\n{USAGE}"))?;
        } else if known.contains(argument) {
            plan.targets.push(argument.clone());
        } else {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            bail!(
                "unknown argument `{argument}`; the targets are {}\n{USAGE}",
                known.join(", ")
            );
        }
    }
    if plan.targets.is_empty() {
        plan.targets.extend(known.iter().cloned());
    }
    Ok(plan)
}

fn build(directory: &Path) -> Result<()> {
    let mut cargo = command::host_cargo();
    cargo
        .args(["build", "--release", "--locked", "--bins", "--target", HOST])
        .arg("--manifest-path")
        .arg(home().join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", directory)
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
    command::check(&mut cargo).context("the fuzz targets do not build")
}

/// One target, in a directory of its own, in which libFuzzer leaves what makes it fail.
fn fuzz(target: &str, seconds: u32, directory: &Path) -> Result<()> {
    println!("fuzzing {target} for {seconds} s");
    let corpus = directory.join("corpus").join(target);
    fs::create_dir_all(&corpus)
        .with_context(|| format!("could not create {}", corpus.display()))?;
    let program = directory.join(HOST).join("release").join(target);
    let mut fuzzer = Command::new(program);
    fuzzer.current_dir(directory);
    fuzzer.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={LONGEST_INPUT}"),
        format!("-timeout={MOST_SECONDS}"),
        format!("-rss_limit_mb={MOST_MEMORY}"),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    fuzzer.arg(&corpus);
    let seeds = home().join("seeds").join(target);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    command::check(&mut fuzzer).with_context(|| {
        format!(
            "{target} failed; the input is in {}, and the program takes it as its argument",
            directory.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{USUAL_SECONDS, parse, targets};

    /// Without a word all targets run; what is no target is refused with the names of those that are.
    #[test]
    fn arguments() {
        let known = targets().unwrap();
        assert!(known.contains("step") && known.contains("cfi_rows"));
        let plan = parse(&[], &known).unwrap();
        assert_eq!(
            (plan.targets.len(), plan.seconds),
            (known.len(), USUAL_SECONDS)
        );
        let words = ["--seconds", "7", "step"].map(str::to_owned);
        let plan = parse(&words, &known).unwrap();
        assert_eq!((plan.targets, plan.seconds), (vec!["step".to_owned()], 7));
        for wrong in [&["sstep"][..], &["--seconds"], &["--seconds", "0"]] {
            let words: Vec<String> = wrong.iter().map(|word| (*word).to_owned()).collect();
            assert!(parse(&words, &known).is_err(), "{wrong:?}");
        }
    }
}
