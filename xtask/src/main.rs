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
mod command;
mod ebpf;
mod fixtures;
mod packages;
mod profiler;
mod run;
mod setup;
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
    Task {
        name: "setup",
        run: setup::run,
        help: "install what this machine lacks for building and testing",
    },
    Task {
        name: "build-ebpf",
        run: ebpf::run,
        help: "build the BPF object that the profiler embeds",
    },
    Task {
        name: "fixtures",
        run: fixtures::run,
        help: "compile the programs that the end-to-end suite profiles",
    },
    Task {
        name: "run",
        run: run::run,
        help: "build everything and run it: `cargo xtask run -- -d 5s -o cpu.pb.gz -- COMMAND…`",
    },
    Task {
        name: "bench",
        run: bench::run,
        help: "measure cost and accuracy beside perf and samply: `cargo xtask bench [--rounds N] …`",
    },
];

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
