//! Lets one profiler record one process for a given time, and makes the profile readable.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::files::Files;
use super::measure::{self, Running, Usage, now_ns};
use super::options::Options;
use super::profilers::{Kind, Profiler};

/// How long a workload works before it is profiled.
const WARM_UP: Duration = Duration::from_millis(300);

/// Waits, unless Ctrl-C has been pressed.
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// Takes Ctrl-C over, so that settings are put back and processes are ended.
    pub(super) fn new() -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))
            .context("Ctrl-C cannot be taken over")?;
        Ok(Self(interrupted))
    }

    /// Waits so long.
    pub(super) fn wait(&self, time: Duration) -> Result<()> {
        self.until(now_ns() + time.as_nanos() as u64)
    }

    /// Waits until `CLOCK_MONOTONIC` shows `time_ns`.
    fn until(&self, time_ns: u64) -> Result<()> {
        loop {
            if self.0.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            match time_ns.saturating_sub(now_ns()) {
                0 => return Ok(()),
                left => std::thread::sleep(Duration::from_nanos(left.min(50_000_000))),
            }
        }
    }
}

/// When the workload is spoken to.
pub(super) enum Moment {
    Before,
    /// A fifth of the time is over.
    Early,
    After,
}

/// What recording told about itself.
pub(super) struct Recorded {
    pub(super) started_ns: u64,
    pub(super) stopped_ns: u64,
    pub(super) recording: Usage,
    pub(super) readable: Option<Usage>,
    pub(super) bpf_kib: u64,
}

/// Records a process for the time asked for and makes the profile readable.
pub(super) fn record(
    profiler: &Profiler,
    pid: u32,
    options: &Options,
    files: &Files<'_>,
    patience: &Patience,
    mut at: impl FnMut(Moment) -> Result<()>,
) -> Result<Recorded> {
    make_empty(files.0)?;
    patience.wait(WARM_UP)?;
    at(Moment::Before)?;
    let command = profiler.record(pid, options, files);
    let running = measure::start(&command, &files.stdout(), &files.stderr())?;
    let started_ns = running.started_ns;
    let whole = u64::from(options.seconds) * 1_000_000_000;
    patience.until(started_ns + whole / 5)?;
    at(Moment::Early)?;
    patience.until(started_ns + whole)?;
    let bpf_kib = bpf_memory_kib(&running);
    at(Moment::After)?;
    let stopped_ns = now_ns();
    running.interrupt()?;
    let recording = finish(running, profiler.kind, files)?;
    let readable = match profiler.make_readable(files) {
        None => None,
        Some(command) => {
            let running = measure::start(&command, &files.readable(), &files.stderr())?;
            Some(finish(running, profiler.kind, files)?)
        }
    };
    Ok(Recorded {
        started_ns,
        stopped_ns,
        recording,
        readable,
        bpf_kib,
    })
}

/// Makes a directory, or empties it.
pub(super) fn make_empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("could not empty {}", directory.display()))?;
    }
    fs::create_dir_all(directory)
        .with_context(|| format!("could not create {}", directory.display()))
}

fn finish(running: Running, kind: Kind, files: &Files<'_>) -> Result<Usage> {
    let usage = running.finish()?;
    // perf ends by the signal that it was stopped with; 3 is ours for a profile without samples.
    match (kind, usage.code) {
        (_, Some(0)) | (Kind::Perf, None) | (Kind::Ours, Some(3)) => Ok(usage),
        (_, code) => {
            let said = fs::read_to_string(files.stderr()).unwrap_or_default();
            bail!("{} ended with {code:?}: {}", kind.name(), said.trim())
        }
    }
}

/// `memlock` of `/proc/PID/fdinfo`, which BPF maps and programs have.
pub(super) fn bpf_memory_kib(running: &Running) -> u64 {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fdinfo", running.pid)) else {
        return 0;
    };
    let bytes = entries.filter_map(|entry| {
        let text = fs::read_to_string(entry.ok()?.path()).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("memlock:"))?;
        line.trim().parse::<u64>().ok()
    });
    bytes.sum::<u64>() / 1024
}
