//! The files of one run, and what the profiler's log says in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::profilers::Kind;

/// The directory of one run.
pub(super) struct Files<'a>(pub(super) &'a Path);

impl Files<'_> {
    pub(super) fn profile(&self, kind: Kind) -> PathBuf {
        self.0.join(match kind {
            Kind::Ours => "cpu.pb.gz",
            Kind::Perf => "perf.data",
            Kind::Samply => "samply.json.gz",
        })
    }

    /// What samply knows about names.
    pub(super) fn symbols(&self) -> PathBuf {
        self.0.join("samply.json.syms.json")
    }

    /// What `perf script` prints.
    pub(super) fn readable(&self) -> PathBuf {
        self.0.join("perf.txt")
    }

    pub(super) fn stdout(&self) -> PathBuf {
        self.0.join("stdout")
    }

    pub(super) fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// The numbers in the message of our own log that begins with `beginning`.
    pub(super) fn said(&self, beginning: &str) -> Result<Vec<u64>> {
        let log = fs::read_to_string(self.stderr()).context("the profiler wrote no log")?;
        let messages = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let rest = messages
            .filter_map(|message| {
                Some(
                    message["message"]
                        .as_str()?
                        .strip_prefix(beginning)?
                        .to_owned(),
                )
            })
            .next()
            .with_context(|| format!("the profiler's log has no line `{beginning}…`"))?;
        let words = rest.split(|letter: char| !letter.is_ascii_digit());
        Ok(words.filter_map(|word| word.parse().ok()).collect())
    }
}
