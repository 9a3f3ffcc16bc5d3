//! The project's tasks in one table: `cargo xtask TASK`. Each job of the CI is one of them.
//!
//! This file only dispatches. Every task is a file of its own; `workspace`, `command` and `packages` are what
//! they share: where things lie, how another program is started, and how Debian's packages get here.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner talks to the person at the terminal"
)]

mod bench;
mod bpf_object;
mod bpf_toolchain;
mod ci;
mod codegen;
mod command;
mod dist;
mod ebpf;
mod extras;
mod fixtures;
mod fuzz;
mod go;
mod google_pprof;
mod install;
mod lint;
mod packages;
mod profiler;
mod run;
mod setup;
mod tally;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

/// One row of the table.
struct Task {
    name: &'static str,
    run: fn(&[String]) -> Result<()>,
    help: &'static str,
}

const TASKS: &[Task] = &[
    task(
        "setup",
        setup::run,
        "install what this machine lacks for building and testing",
    ),
    task(
        "build-ebpf",
        ebpf::run,
        "build the BPF object that the profiler embeds",
    ),
    task(
        "run",
        run::run,
        "build and start it: `cargo xtask run -- -d 5s -o cpu.pb.gz -- COMMAND…`",
    ),
    task(
        "install",
        install::run,
        "put `profiler` where sudo finds it [--prefix DIRECTORY]",
    ),
    task(
        "dist",
        dist::run,
        "make the tarball and the Debian package in target/dist [--check]",
    ),
    task(
        "test",
        test::run,
        "run every test, the end-to-end suite as root included [FILTER]",
    ),
    task(
        "test-slow",
        test::slow,
        "run the tests that take minutes: memory while naming, unwind rows of every file",
    ),
    task(
        "bench",
        bench::run,
        "measure beside perf and samply [unwind | accuracy] [--rounds N] [--workload NAME]",
    ),
    task(
        "vm",
        vm::run,
        "load and sample in other kernels, in emulated machines [--kernel SERIES] [--record]",
    ),
    task(
        "fuzz",
        fuzz::run,
        "run the fuzz targets for a bounded time [TARGET...] [--seconds N]",
    ),
    task(
        "fixtures",
        fixtures::run,
        "compile the programs that the end-to-end suite profiles",
    ),
    task(
        "codegen",
        codegen::run,
        "write the code that is generated from proto/profile.proto [--check]",
    ),
    task(
        "lint",
        lint::run,
        "check formatting, and clippy with warnings as errors",
    ),
    task(
        "tidy",
        tidy::run,
        "check the rules of ARCHITECTURE.md that a program can check",
    ),
    task("ci", ci::run, "all that a change must pass besides `test`"),
];

const fn task(name: &'static str, run: fn(&[String]) -> Result<()>, help: &'static str) -> Task {
    Task { name, run, help }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprint!("error: there is no task `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask TASK [ARGUMENTS]\n\ntasks:\n");
    for task in TASKS {
        text.push_str(&format!("  {:<12} {}\n", task.name, task.help));
    }
    text
}
