//! The three profilers: how each is started and read.
//!
//! Getting the peers onto the machine is left to `peers`, the forms of their results to the files named after them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::files::Files;
use super::options::Options;
use super::profile::Profile;
use super::{peers, perf_text, pprof_text, samply_json};
use crate::{command, profiler};

/// In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Perf,
    Samply,
}

/// A profiler that is here.
#[derive(Debug, Clone)]
pub(super) struct Profiler {
    pub(super) kind: Kind,
    program: PathBuf,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::Perf, Self::Samply];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "profiler",
            Self::Perf => "perf",
            Self::Samply => "samply",
        }
    }

    /// Builds or installs it if need be.
    pub(super) fn get(self) -> Result<Profiler> {
        let program = match self {
            Self::Ours => profiler::build()?,
            Self::Perf => peers::perf()?,
            Self::Samply => peers::samply()?,
        };
        Ok(Profiler {
            kind: self,
            program,
        })
    }
}

impl Profiler {
    /// Records `pid` until it is interrupted.
    pub(super) fn record(&self, pid: u32, options: &Options, files: &Files<'_>) -> Command {
        let mut command = Command::new(&self.program);
        let frequency = options.frequency.to_string();
        match self.kind {
            Kind::Ours => command.args(["--log-format", "json", "-v", "-F", &frequency]),
            Kind::Perf => command
                .args(["record", "-e", "cpu-clock", "-F", &frequency])
                .args(["--call-graph", "dwarf", "-k", "CLOCK_MONOTONIC"]),
            Kind::Samply => command
                .args(["record", "-s", "-r", &frequency])
                .arg("--unstable-presymbolicate"),
        };
        command.arg("-o").arg(files.profile(self.kind));
        command.args(["-p", &pid.to_string()]);
        command
    }

    /// What makes the profile readable, where recording does not.
    pub(super) fn make_readable(&self, files: &Files<'_>) -> Option<Command> {
        (self.kind == Kind::Perf).then(|| {
            let mut command = Command::new(&self.program);
            command.args(["script", "-i"]).arg(files.profile(self.kind));
            command
        })
    }

    pub(super) fn read(&self, files: &Files<'_>) -> Result<Profile> {
        let path = files.profile(self.kind);
        match self.kind {
            Kind::Ours => Ok(Profile {
                first_sample_ns: files.said("first sample at ")?.first().copied(),
                ..pprof_text::read(&path)?
            }),
            Kind::Perf => {
                let text = fs::read(files.readable()).context("perf script wrote nothing")?;
                Ok(perf_text::parse(&String::from_utf8_lossy(&text)))
            }
            Kind::Samply => samply_json::read(&path, &files.symbols()),
        }
    }

    /// Bytes of what is kept as the profile.
    pub(super) fn size(&self, files: &Files<'_>) -> Result<u64> {
        let path = files.profile(self.kind);
        let mut size = fs::metadata(&path)
            .with_context(|| format!("there is no {}", path.display()))?
            .len();
        if self.kind == Kind::Samply {
            size += fs::metadata(files.symbols())?.len();
        }
        Ok(size)
    }

    pub(super) fn version(&self) -> Result<String> {
        let mut version = Command::new(&self.program);
        Ok(command::read(version.arg("--version"))?.trim().to_owned())
    }
}
