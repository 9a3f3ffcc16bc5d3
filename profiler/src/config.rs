//! Checked options: the only thing that the pipeline sees of the command line.

use std::time::Duration;

use crate::process::ProcFs;
use crate::sampler::{self, Targets, Unwind};
use crate::symbolize::Detail;

/// What to profile, for how long, and how finely.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Which processes.
    pub targets: Targets,
    /// Whether the targets have yet to start their programs: what they have mapped before that means nothing.
    pub started_later: bool,
    /// How long at most; `None` until told to stop or nothing is left to profile.
    pub duration: Option<Duration>,
    /// Samples per second on each CPU.
    pub frequency_hz: u32,
    /// Whether kernel frames are taken.
    pub kernel_stacks: bool,
    /// Whether children of the targets are profiled as well.
    pub follow_children: bool,
    /// How much of the names is found.
    pub detail: Detail,
    /// How the user's part of a stack is walked.
    pub unwind: Unwind,
    /// Whether to walk by tables with `bpf_loop` or with tail calls, whatever the kernel has.
    pub bpf_loop: Option<bool>,
    /// Whether each walk in the kernel is compared with one of a copy of the same stack.
    pub check_walks: bool,
    /// Bytes that unwind rows may take in the kernel.
    pub unwind_memory: u64,
    /// Whether the BPF programs log.
    pub bpf_log: bool,
}

/// What cannot be profiled as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The kernel allows fewer samples per second.
    #[error(
        "{asked} Hz is more than this kernel allows; ask for at most {most} Hz, or raise the limit: sudo sysctl kernel.perf_event_max_sample_rate={asked}"
    )]
    Frequency {
        /// Frequency asked for, in Hz.
        asked: u32,
        /// Frequency allowed, in Hz.
        most: u32,
    },
    /// There is no such process.
    #[error("there is no process {0}; look for it: pgrep -a NAME")]
    NoSuchProcess(u32),
    /// The process has ended and waits for its parent to notice.
    #[error("process {0} has ended (it is a zombie); there is nothing to profile")]
    Zombie(u32),
    /// The id is that of a thread.
    #[error("{tid} is a thread of process {pid}; profile the process: --pid {pid}")]
    Thread {
        /// The id that was given.
        tid: u32,
        /// The process it belongs to.
        pid: u32,
    },
    /// Process ids mean something else here than to the kernel.
    #[error(
        "this is a pid namespace of its own, where process ids are not those that samples carry; run the profiler outside of it (in a container: --pid=host)"
    )]
    PidNamespace,
}

impl ConfigError {
    /// Whether other arguments are needed, as opposed to another state of the machine.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Frequency { .. } | Self::Thread { .. })
    }
}

impl Config {
    /// CPU time that one sample stands for, in nanoseconds.
    pub(crate) fn period_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.frequency_hz.max(1))
    }

    /// Checks what can be checked before anything is loaded.
    ///
    /// # Errors
    ///
    /// What was asked for does not exist or is not allowed on this machine.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(most) = sampler::max_sample_rate()
            && self.frequency_hz > most
        {
            return Err(ConfigError::Frequency {
                asked: self.frequency_hz,
                most,
            });
        }
        if !ProcFs::new().has_kernel_pids() {
            return Err(ConfigError::PidNamespace);
        }
        if let Targets::Pids(pids) = &self.targets {
            pids.iter().try_for_each(|pid| check_process(*pid))?;
        }
        Ok(())
    }
}

fn check_process(pid: u32) -> Result<(), ConfigError> {
    let procfs = ProcFs::new();
    match procfs.process_of(pid) {
        None => Err(ConfigError::NoSuchProcess(pid)),
        Some(process) if process != pid => Err(ConfigError::Thread {
            tid: pid,
            pid: process,
        }),
        Some(_) if procfs.has_ended(pid) => Err(ConfigError::Zombie(pid)),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(targets: Targets, frequency_hz: u32) -> Config {
        Config {
            targets,
            started_later: false,
            duration: None,
            frequency_hz,
            kernel_stacks: true,
            follow_children: false,
            detail: Detail::Full,
            unwind: Unwind::Auto,
            bpf_loop: None,
            check_walks: false,
            unwind_memory: 1 << 20,
            bpf_log: false,
        }
    }

    fn check(config: &Config, expected: &str) {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    /// Each thing that cannot be profiled is named with its remedy.
    #[test]
    fn refusals() {
        check(
            &config(Targets::All, 1_000_000),
            "perf_event_max_sample_rate=1000000",
        );
        // Above the largest value of kernel.pid_max.
        check(
            &config(Targets::Pids(vec![4_194_305]), 99),
            "there is no process 4194305",
        );
        let mut zombie = std::process::Command::new("true").spawn().unwrap();
        while !ProcFs::new().has_ended(zombie.id()) {
            std::thread::yield_now();
        }
        check(&config(Targets::Pids(vec![zombie.id()]), 99), "zombie");
        zombie.wait().unwrap();
        let own = std::process::id();
        let tid = std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            check(
                &config(Targets::Pids(vec![tid]), 99),
                &format!("profile the process: --pid {own}"),
            );
        });
        tid.join().unwrap();
        config(Targets::Pids(vec![own]), 99).check().unwrap();
    }

    /// 99 Hz stand for 10,101,010 ns, as in every Go profile of that rate.
    #[test]
    fn period() {
        assert_eq!(config(Targets::All, 99).period_ns(), 10_101_010);
        assert_eq!(config(Targets::All, 1000).period_ns(), 1_000_000);
    }
}
