//! Two recordings of one process at the same time: one walks by tables, the other by frame pointers.
//!
//! Both sampling programs are the same but for the walk, `bpf_get_stack` in the second; so what differs is the walk,
//! and the ratio of the whole programs says less than the ratio of the walks.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Plan;
use crate::bench::background::Background;
use crate::bench::bpf_cost::Runs;
use crate::bench::files::Files;
use crate::bench::pprof_text;
use crate::bench::profilers::Kind;
use crate::bench::sysctl::Setting;

/// Samples per second and CPU.
pub(super) const FREQUENCY: u32 = 997;

/// What both sampling programs cost beside the same process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) tables: Cost,
    pub(super) frame_pointers: Cost,
}

/// What one of them cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) runs: Runs,
    /// Mean number of user frames of a sample.
    pub(super) frames: f64,
}

impl Cost {
    /// The cost of a run that took a sample, in nanoseconds.
    pub(super) fn per_sample(&self, idle: &Self) -> f64 {
        let sample = self.runs.ns_per_sample(idle.runs.ns_per_run());
        sample.unwrap_or(f64::NAN)
    }
}

/// Records `pid` twice at once.
pub(super) fn record(plan: &Plan, pid: u32) -> Result<Pair> {
    let _counting = Setting::set("kernel/bpf_stats_enabled", "1")?;
    let directories = [super::below(plan, "auto")?, super::below(plan, "fp")?];
    let first = start(plan, pid, "auto", &directories[0])?;
    let second = start(plan, pid, "fp", &directories[1])?;
    for recording in [first, second] {
        finish(recording)?;
    }
    Ok(Pair {
        tables: read(&directories[0], "BPF program on_cpu: ")?,
        frame_pointers: read(&directories[1], "BPF program on_cpu_by_fp: ")?,
    })
}

/// What the programs cost on ticks that take no sample: beside a process that sleeps.
pub(super) fn idle(plan: &Plan) -> Result<Pair> {
    record(plan, Background::sleeper()?.pid())
}

fn start(plan: &Plan, pid: u32, unwind: &str, directory: &Path) -> Result<Child> {
    let files = Files(directory);
    let stderr = std::fs::File::create(files.stderr())?;
    Command::new(&plan.profiler)
        .args(["--log-format", "json", "-v", "--no-kernel"])
        .args(["--symbolize", "none", "--unwind", unwind])
        .args(["-F", &FREQUENCY.to_string()])
        .args(["-d", &format!("{}s", plan.seconds)])
        .args(["-p", &pid.to_string(), "-o"])
        .arg(files.profile(Kind::Ours))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("could not start the profiler")
}

fn finish(mut recording: Child) -> Result<()> {
    // 3 is for a profile without samples, as there are beside a process that sleeps.
    let status = recording.wait()?;
    ensure!(
        matches!(status.code(), Some(0 | 3)),
        "the profiler ended with {status}"
    );
    Ok(())
}

fn read(directory: &Path, program: &str) -> Result<Cost> {
    let files = Files(directory);
    let said = files.said(program)?;
    let [ns, count, verified] = said[..] else {
        anyhow::bail!("`{program}` is followed by {said:?}, not by three numbers");
    };
    let profile = pprof_text::read(&files.profile(Kind::Ours))?;
    let samples = profile.samples();
    let frames: u64 = profile
        .stacks
        .iter()
        .map(|stack| stack.count * stack.user().count() as u64)
        .sum();
    Ok(Cost {
        runs: Runs {
            ns,
            count,
            samples,
            verified,
        },
        frames: frames as f64 / samples.max(1) as f64,
    })
}
