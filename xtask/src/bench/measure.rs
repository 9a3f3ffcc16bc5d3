//! Runs one command and says what it cost: CPU time and peak memory of it and of everything it started.
//!
//! The command runs below a process of its own, this program again, which inherits every orphan of the command
//! (`PR_SET_CHILD_SUBREAPER`). So `getrusage(RUSAGE_CHILDREN)` of that process is the cost of the command and of
//! nothing else, also of helpers that it did not wait for, as `perf` does with `addr2line`.
//!
//! `ru_maxrss` is the peak of the largest process, not a sum. It never falls below that of the process in
//! between, which is about 4 MiB, because a new program inherits the figure of what it replaces.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::command;

/// The word behind `cargo xtask bench` that makes it the process in between.
pub(super) const MEASURED: &str = "measured";

/// A command that is running.
pub(super) struct Running {
    /// Of the command itself.
    pub(super) pid: u32,
    /// When it was started, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) started_ns: u64,
    shown: String,
    between: Child,
    words: BufReader<ChildStdout>,
}

/// What a command has cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// When it ended, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) ended_ns: u64,
    /// User and system time in seconds, with all descendants.
    pub(super) cpu_s: f64,
    /// Resident memory of the largest process at its peak.
    pub(super) peak_kib: u64,
    /// The exit code; `None` after a signal.
    pub(super) code: Option<i32>,
}

/// Starts `command` with its output in files.
pub(super) fn start(command: &Command, stdout: &Path, stderr: &Path) -> Result<Running> {
    // Not by its path, which a build in the meantime may have given to another file.
    let mut between = Command::new("/proc/self/exe");
    between.args(["bench", MEASURED]).arg(stdout).arg(stderr);
    between.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => between.env(name, value),
            None => between.env_remove(name),
        };
    }
    command::forget_xtask(&mut between);
    let shown = command::shown(command);
    let mut child = between
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {shown}"))?;
    let words = child.stdout.take().expect("stdout is a pipe");
    let mut running = Running {
        pid: 0,
        started_ns: 0,
        shown,
        between: child,
        words: BufReader::new(words),
    };
    let said = running.next_word()?;
    running.pid = number(&said, "pid")? as u32;
    running.started_ns = number(&said, "started_ns")?;
    Ok(running)
}

impl Running {
    /// Sends SIGINT, as Ctrl-C does.
    pub(super) fn interrupt(&self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} has no process id", self.shown))?;
        kill_process(pid, Signal::INT)
            .with_context(|| format!("{} has ended before it was stopped", self.shown))
    }

    /// Waits for the end.
    pub(super) fn finish(mut self) -> Result<Usage> {
        let said = self.next_word()?;
        let usage = Usage {
            ended_ns: number(&said, "ended_ns")?,
            cpu_s: number(&said, "cpu_us")? as f64 / 1e6,
            peak_kib: number(&said, "peak_kib")?,
            code: said["code"].as_i64().map(|code| code as i32),
        };
        self.between
            .wait()
            .context("the measuring process is lost")?;
        Ok(usage)
    }

    fn next_word(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} could not be run", self.shown);
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an error only: `finish` has waited for both.
        if matches!(self.between.try_wait(), Ok(None)) {
            let _ = self.interrupt();
            let _ = self.between.wait();
        }
    }
}

/// The process in between: `measured STDOUT STDERR COMMAND…`.
pub(super) fn run_between(arguments: &[String]) -> Result<()> {
    let [stdout, stderr, program, rest @ ..] = arguments else {
        bail!("`bench {MEASURED}` is for the benchmark itself");
    };
    set_child_subreaper(Some(getpid())).context("orphans cannot be taken over")?;
    let started_ns = now_ns();
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(create(stdout)?)
        .stderr(create(stderr)?)
        .spawn()
        .with_context(|| format!("could not start {program}"))?;
    tell(&json!({"pid": child.id(), "started_ns": started_ns}))?;
    let status = child.wait()?;
    let ended_ns = now_ns();
    // Orphans; none left is the error that ends the loop.
    while wait(WaitOptions::empty()).is_ok() {}
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    tell(&json!({
        "ended_ns": ended_ns,
        "cpu_us": cpu_us(&usage),
        "peak_kib": usage.max_rss(),
        "code": status.code(),
    }))
}

/// User and system time of all that this process has waited for, in seconds.
pub(super) fn children_s() -> Result<f64> {
    Ok(cpu_us(&getrusage(UsageWho::RUSAGE_CHILDREN)?) as f64 / 1e6)
}

/// User and system time in microseconds.
fn cpu_us(usage: &nix::sys::resource::Usage) -> i64 {
    let us = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    us(usage.user_time()) + us(usage.system_time())
}

/// `CLOCK_MONOTONIC`, which all three profilers can give the time of a sample in.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn tell(words: &Value) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{words}")?;
    Ok(stdout.flush()?)
}

fn create(path: &str) -> Result<File> {
    File::create(path).with_context(|| format!("could not create {path}"))
}

fn number(said: &Value, name: &str) -> Result<u64> {
    said[name]
        .as_u64()
        .with_context(|| format!("the measuring process said no `{name}`"))
}
