//! One run of one profiler on one workload, and what it cost.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::files::Files;
use super::judge::{Verdict, judge};
use super::measure::Usage;
use super::options::Options;
use super::profilers::{Kind, Profiler};
use super::recording::{Moment, Patience, record};
use super::target::{CpuTime, Target};
use super::workload::Workload;

/// The figures of one run.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) kind: Kind,
    /// Recording, until that process has ended.
    pub(super) recording: Usage,
    /// Making the profile readable, where that is a second step.
    pub(super) readable: Option<Usage>,
    /// From the start of the profiler to the first sample.
    pub(super) first_sample_s: Option<f64>,
    /// From the signal to stop to the finished, named profile.
    pub(super) ready_s: f64,
    /// Memory that the kernel accounts to BPF maps and programs; 0 where there are none.
    pub(super) bpf_kib: u64,
    pub(super) size: u64,
    pub(super) samples: u64,
    pub(super) verdict: Verdict,
}

/// Profiles a fresh process of the workload.
pub(super) fn run(
    profiler: &Profiler,
    workload: &Workload,
    how: &mut Command,
    options: &Options,
    directory: &Path,
    patience: &Patience,
) -> Result<Round> {
    let files = Files(directory);
    let mut target = Target::start(how)?;
    let pid = target.pid;
    let mut truth = None;
    let recorded = record(profiler, pid, options, &files, patience, |moment| {
        match moment {
            Moment::Before => truth = Some(target.cpu_time()?),
            Moment::Early => target.load()?,
            Moment::After => {
                truth = Some(target.cpu_time()?.since(&truth.take().expect("set before")));
            }
        }
        Ok(())
    })?;
    let truth: CpuTime = truth.expect("set afterwards");
    let profile = profiler.read(&files)?;
    let first_sample = profile.first_sample_ns;
    Ok(Round {
        kind: profiler.kind,
        recording: recorded.recording,
        readable: recorded.readable,
        first_sample_s: first_sample.map(|ns| seconds_between(recorded.started_ns, ns)),
        ready_s: seconds_between(
            recorded.stopped_ns,
            recorded.readable.unwrap_or(recorded.recording).ended_ns,
        ),
        bpf_kib: recorded.bpf_kib,
        size: profiler.size(&files)?,
        samples: profile.samples(),
        verdict: judge(workload, &profile, &truth, options.frequency),
    })
}

fn seconds_between(before_ns: u64, after_ns: u64) -> f64 {
    (after_ns as f64 - before_ns as f64) / 1e9
}
