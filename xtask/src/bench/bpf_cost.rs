//! What one sample costs in BPF, as the kernel counts it.
//!
//! With `kernel.bpf_stats_enabled` the kernel adds up the run time and the runs of each program. The sampling
//! program runs on every tick of every CPU and ends early when another process was interrupted, so the mean of all
//! runs says little. A run beside a process that sleeps has early ends only; with their mean, the mean cost of a
//! run that takes a sample can be told.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::background::Background;
use super::files::Files;
use super::options::Options;
use super::profilers::Profiler;
use super::recording::{self, Moment, Patience};
use super::sysctl::Setting;
use super::target::Target;

/// The BPF program that takes samples.
const PROGRAM: &str = "BPF program on_cpu: ";

/// All runs of the sampling program during one recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Runs {
    pub(super) ns: u64,
    pub(super) count: u64,
    pub(super) samples: u64,
    /// What the verifier looked at before it let the program in.
    pub(super) verified: u64,
}

impl Runs {
    pub(super) fn ns_per_run(&self) -> f64 {
        self.ns as f64 / self.count.max(1) as f64
    }

    /// The cost of a run that took a sample, when one that took none costs `miss` nanoseconds.
    pub(super) fn ns_per_sample(&self, miss: f64) -> Option<f64> {
        let misses = self.count.checked_sub(self.samples)?;
        (self.samples > 0).then(|| (self.ns as f64 - misses as f64 * miss) / self.samples as f64)
    }
}

/// Runs beside a process that sleeps.
pub(super) fn idle(
    profiler: &Profiler,
    options: &Options,
    directory: &Path,
    patience: &Patience,
) -> Result<Runs> {
    let sleeper = Background::sleeper()?;
    let files = Files(directory);
    let _counting = Setting::set("kernel/bpf_stats_enabled", "1")?;
    recording::record(profiler, sleeper.pid(), options, &files, patience, |_| {
        Ok(())
    })?;
    read(profiler, &files)
}

/// Runs beside a workload.
pub(super) fn busy(
    profiler: &Profiler,
    how: &mut Command,
    options: &Options,
    directory: &Path,
    patience: &Patience,
) -> Result<Runs> {
    let mut target = Target::start(how)?;
    let files = Files(directory);
    let _counting = Setting::set("kernel/bpf_stats_enabled", "1")?;
    let pid = target.pid;
    recording::record(
        profiler,
        pid,
        options,
        &files,
        patience,
        |moment| match moment {
            Moment::Early => target.load(),
            Moment::Before | Moment::After => Ok(()),
        },
    )?;
    read(profiler, &files)
}

fn read(profiler: &Profiler, files: &Files<'_>) -> Result<Runs> {
    let said = files.said(PROGRAM)?;
    let [ns, count, verified] = said[..] else {
        anyhow::bail!("`{PROGRAM}` is followed by {said:?}, not by three numbers");
    };
    ensure!(
        count > 0,
        "the kernel counted no run of the sampling program"
    );
    let profile = super::pprof_text::read(&files.profile(profiler.kind))?;
    Ok(Runs {
        ns,
        count,
        samples: profile.samples(),
        verified,
    })
}

#[cfg(test)]
mod tests {
    use super::Runs;

    /// Misses are taken off at their own price, and without samples there is no price of a sample.
    #[test]
    fn misses_are_taken_off() {
        let runs = Runs {
            ns: 100_000,
            count: 100,
            samples: 10,
            verified: 7,
        };
        assert_eq!(runs.ns_per_run(), 1000.0);
        assert_eq!(runs.ns_per_sample(500.0), Some(5500.0));
        assert_eq!(Runs { samples: 0, ..runs }.ns_per_sample(500.0), None);
        assert_eq!(
            Runs {
                samples: 101,
                ..runs
            }
            .ns_per_sample(500.0),
            None
        );
    }
}
