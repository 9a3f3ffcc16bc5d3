//! What there is to know about a program that is profiled, and how it is built.
//!
//! The programs are listed in `workloads`; starting them is left to `target`, judging by the phases to `judge`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, workspace};

/// One program and what is known about it.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// What it is, for the results.
    pub(super) about: &'static str,
    /// The commands that build it, each without its output; run in `benches/programs`.
    pub(super) builds: &'static [Build],
    /// The command line; words with a `$` are files that were built.
    pub(super) run: &'static [&'static str],
    pub(super) phases: &'static [Phase],
    /// Parts of names of which one is in every complete stack.
    pub(super) roots: &'static [&'static str],
}

/// A compiler's command line, to which the path of the output is added.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) output: &'static str,
    pub(super) command: &'static [&'static str],
}

/// A part of the work. Names are matched by parts, because languages and profilers decorate them differently.
#[derive(Debug)]
pub(super) struct Phase {
    /// As the program calls it.
    pub(super) name: &'static str,
    /// The function that contains all of it.
    pub(super) function: Option<&'static str>,
    /// Functions that are innermost in this phase and in no other.
    pub(super) leaves: &'static [&'static str],
    /// Beginnings of names of files whose code runs in this phase and, at the leaf, in no other.
    pub(super) binaries: &'static [&'static str],
}

impl Workload {
    /// Builds it and returns how it is started.
    pub(super) fn build(&self) -> Result<Command> {
        let built = built()?;
        for build in self.builds {
            let mut compiler = Command::new(build.command[0]);
            command::isolate(&mut compiler);
            compiler
                .args(&build.command[1..])
                .arg(built.join(build.output))
                .current_dir(sources());
            if build.command[0] == "go" {
                // One file without a module, and nothing from or for other builds of the same person.
                compiler
                    .arg("workload.go")
                    .env("GO111MODULE", "off")
                    .env("GOFLAGS", "")
                    .env("GOTOOLCHAIN", "local")
                    .env("GOCACHE", workspace::target().join("go-cache"));
            }
            command::check(&mut compiler)
                .with_context(|| format!("could not build the workload {}", self.name))?;
        }
        let mut words = self.run.iter().map(|word| match word.strip_prefix('$') {
            Some(file) => built.join(file),
            None => PathBuf::from(word),
        });
        let program = words.next().expect("every workload has a program");
        let mut command = Command::new(program);
        command.args(words).current_dir(sources());
        Ok(command)
    }
}

/// Where compiled programs are.
pub(super) fn built() -> Result<PathBuf> {
    let built = workspace::target().join("bench/programs");
    fs::create_dir_all(&built).with_context(|| format!("could not create {}", built.display()))?;
    Ok(built)
}

/// Compiles one program; the path of the output is added to the command.
pub(super) fn compile(command: &[&str], output: &str) -> Result<PathBuf> {
    let output = built()?.join(output);
    let mut compiler = Command::new(command[0]);
    command::isolate(&mut compiler);
    compiler
        .args(&command[1..])
        .arg(&output)
        .current_dir(sources());
    command::check(&mut compiler)?;
    Ok(output)
}

fn sources() -> PathBuf {
    workspace::root().join("benches/programs")
}
