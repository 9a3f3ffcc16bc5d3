//! A workload that runs: started, asked how its CPU time is split so far, and stopped.
//!
//! The protocol is described in `benches/programs/workload.c`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// A running workload; killed when dropped.
pub(super) struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(super) pid: u32,
}

/// CPU time used so far, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) total: u64,
    pub(super) phases: BTreeMap<String, u64>,
}

impl Target {
    /// Starts it and waits until it works.
    pub(super) fn start(how: &mut Command) -> Result<Self> {
        let mut child = how
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", command::shown(how)))?;
        let input = child.stdin.take().expect("stdin is a pipe");
        let output = child.stdout.take().expect("stdout is a pipe");
        let mut target = Self {
            pid: child.id(),
            child,
            input,
            output: BufReader::new(output),
        };
        let line = target.read_line()?;
        let ready = format!("ready {}", target.pid);
        ensure!(
            line == ready,
            "the workload said `{line}` and not `{ready}`"
        );
        Ok(target)
    }

    /// Asks how the CPU time is split so far.
    pub(super) fn cpu_time(&mut self) -> Result<CpuTime> {
        self.ask("cpu")
    }

    /// Tells a workload with a library to load it; others only answer.
    pub(super) fn load(&mut self) -> Result<()> {
        self.ask("load").map(drop)
    }

    fn ask(&mut self, what: &str) -> Result<CpuTime> {
        writeln!(self.input, "{what}").context("the workload has ended")?;
        CpuTime::parse(&self.read_line()?)
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .context("the workload cannot be read")?;
        ensure!(!line.is_empty(), "the workload ended by itself");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It has nothing to tidy up, and a failure here means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl CpuTime {
    fn parse(line: &str) -> Result<Self> {
        let Some(words) = line.strip_prefix("cpu ") else {
            bail!("the workload said `{line}` and not how it used the CPU");
        };
        let mut phases = BTreeMap::new();
        for word in words.split(' ') {
            let (name, ns) = word
                .split_once('=')
                .with_context(|| format!("`{word}` is not NAME=NANOSECONDS"))?;
            let ns = ns
                .parse()
                .with_context(|| format!("`{word}` has no number"))?;
            phases.insert(name.to_owned(), ns);
        }
        let total = phases
            .remove("total")
            .with_context(|| format!("`{line}` has no total"))?;
        Ok(Self { total, phases })
    }

    /// What was used after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let phases = self
            .phases
            .iter()
            .map(|(name, ns)| (name.clone(), ns - before.phases.get(name).unwrap_or(&0)))
            .collect();
        Self {
            total: self.total - before.total,
            phases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CpuTime;

    /// The difference of two answers is the split of the time between them.
    #[test]
    fn answers_are_read_and_subtracted() {
        let before = CpuTime::parse("cpu total=10 a=7 b=0").unwrap();
        let after = CpuTime::parse("cpu total=110 a=37 b=60").unwrap();
        let between = after.since(&before);
        assert_eq!(between.total, 100);
        assert_eq!(between.phases["a"], 30);
        assert_eq!(between.phases["b"], 60);
    }

    /// An answer that is not one is an error, not a zero.
    #[test]
    fn other_lines_are_refused() {
        for line in ["", "ready 7", "cpu a=1", "cpu total=x", "cpu total"] {
            assert!(CpuTime::parse(line).is_err(), "{line}");
        }
    }
}
