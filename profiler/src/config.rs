//! Checked options: the only thing that the pipeline sees of the command line.

use std::path::PathBuf;
use std::time::Duration;

use profiler_common::MAX_CGROUPS;

use crate::cgroup::{self, CgroupError};
use crate::labels::LabelSet;
use crate::process::ProcFs;
use crate::sampler::{self, Filter, Target, Targets, Unwind};
use crate::symbolize::Detail;

/// How often samples are read when nothing calls for it: soon enough that most of what they are of is still there to be
/// asked.
pub(crate) const READ_EVERY: Duration = Duration::from_millis(100);
/// The same where it has to cost next to nothing, since each reading begins with cold caches. The first sample of a process
/// still calls for one at once.
pub(crate) const READ_RARELY: Duration = Duration::from_millis(250);

/// What to profile, for how long, and how finely.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Which processes.
    pub targets: Targets,
    /// What else must be true of a task. [`check`](Self::check) finds the directories of the control groups.
    pub filter: Filter,
    /// Inode of the pid namespace that ids are of, unless it is the initial one; found by [`check`](Self::check).
    pub pid_namespace: Option<u32>,
    /// Which labels samples have.
    pub labels: LabelSet,
    /// Whether each program gets a profile of its own.
    pub split_by_program: bool,
    /// Whether the targets have yet to start their programs: what they have mapped before that means nothing.
    pub started_later: bool,
    /// How long at most; `None` until told to stop or nothing is left to profile.
    pub duration: Option<Duration>,
    /// Samples per second on each CPU.
    pub frequency_hz: u32,
    /// How often samples are read when nothing calls for it.
    pub read_every: Duration,
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
    #[error(
        "{tid} is a thread of process {pid}; profile the process: --pid {pid}, or the thread alone: --tid {tid}"
    )]
    Thread {
        /// The id that was given.
        tid: u32,
        /// The process it belongs to.
        pid: u32,
    },
    /// There is no such thread.
    #[error("there is no thread {0}; look for it: ps -L -p PID")]
    NoSuchThread(u32),
    /// More control groups than the kernel side looks at.
    #[error("{0} control groups are more than can be asked for ({most}); name one that they are below of", most = MAX_CGROUPS)]
    ManyCgroups(usize),
    /// A control group cannot be selected.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Process ids mean something else here than in `/proc`.
    #[error(
        "/proc is not of the pid namespace that the profiler runs in, so a process id would mean two processes; mount one that is: unshare --mount-proc, nsenter --mount, or mount -t proc proc /proc"
    )]
    OtherProc,
}

impl ConfigError {
    /// Whether other arguments are needed, as opposed to another state of the machine.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Frequency { .. } | Self::Thread { .. } | Self::ManyCgroups(_)
        )
    }
}

impl Config {
    /// The same for one process (or all), for some time, at another frequency, in one profile.
    pub(crate) fn on_demand(
        &self,
        pid: Option<u32>,
        duration: Duration,
        frequency_hz: u32,
    ) -> Self {
        let one = |pid| Targets::Chosen(vec![Target::Process(pid)]);
        Self {
            targets: pid.map_or(Targets::All, one),
            split_by_program: false,
            duration: Some(duration),
            frequency_hz,
            read_every: READ_EVERY,
            ..self.clone()
        }
    }

    /// CPU time that one sample stands for, in nanoseconds.
    pub(crate) fn period_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.frequency_hz.max(1))
    }

    /// Checks what can be checked before anything is loaded, and finds what was named.
    ///
    /// # Errors
    ///
    /// What was asked for does not exist or is not allowed on this machine.
    pub(crate) fn check(&mut self) -> Result<(), ConfigError> {
        if let Some(most) = sampler::max_sample_rate()
            && self.frequency_hz > most
        {
            return Err(ConfigError::Frequency {
                asked: self.frequency_hz,
                most,
            });
        }
        let procfs = ProcFs::new();
        self.pid_namespace = procfs.pid_namespace();
        // In the initial namespace /proc may be missing; that is for those who read it to say.
        if self.pid_namespace.is_some() && !procfs.shows_own_namespace() {
            return Err(ConfigError::OtherProc);
        }
        if let Targets::Chosen(targets) = &mut self.targets {
            targets
                .iter_mut()
                .try_for_each(|target| check_target(target, &procfs))?;
        }
        if self.filter.cgroups.len() > MAX_CGROUPS as usize {
            return Err(ConfigError::ManyCgroups(self.filter.cgroups.len()));
        }
        let found: Result<Vec<PathBuf>, CgroupError> = self
            .filter
            .cgroups
            .iter()
            .map(|path| cgroup::find(path))
            .collect();
        self.filter.cgroups = found?;
        Ok(())
    }

    /// What of all that ran is in the profile, one sentence for each condition.
    pub(crate) fn selection(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(comm) = &self.filter.comm {
            sentences.push(format!("only processes whose name matches {comm}"));
        }
        let cgroups = self.filter.cgroups.iter();
        let cgroups: Vec<_> = cgroups.map(|path| path.display().to_string()).collect();
        if !cgroups.is_empty() {
            sentences.push(format!("only what is below {}", cgroups.join(" or ")));
        }
        let threads = self.targets.threads();
        if !threads.is_empty() {
            let tids: Vec<String> = threads.iter().map(|(_, tid)| tid.to_string()).collect();
            sentences.push(format!(
                "only some threads of a process: {}",
                tids.join(", ")
            ));
        }
        if self.pid_namespace.is_some() && self.targets == Targets::All {
            sentences.push("only what can be seen in a pid namespace of its own".to_owned());
        }
        sentences
    }
}

/// Checks that it is there, and finds the process of a thread.
fn check_target(target: &mut Target, procfs: &ProcFs) -> Result<(), ConfigError> {
    match target {
        Target::Process(pid) => check_process(*pid, procfs),
        Target::Thread { pid, tid } => {
            *pid = procfs
                .process_of(*tid)
                .ok_or(ConfigError::NoSuchThread(*tid))?;
            if procfs.has_ended(*pid) {
                return Err(ConfigError::Zombie(*pid));
            }
            Ok(())
        }
    }
}

fn check_process(pid: u32, procfs: &ProcFs) -> Result<(), ConfigError> {
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
            filter: Filter::default(),
            pid_namespace: None,
            labels: LabelSet::DEFAULT,
            split_by_program: false,
            started_later: false,
            duration: None,
            frequency_hz,
            read_every: READ_EVERY,
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

    fn processes(pids: &[u32]) -> Targets {
        Targets::Chosen(pids.iter().map(|pid| Target::Process(*pid)).collect())
    }

    fn check(mut config: Config, expected: &str) {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    /// Each thing that cannot be profiled is named with its remedy.
    #[test]
    fn refusals() {
        check(
            config(Targets::All, 1_000_000),
            "perf_event_max_sample_rate=1000000",
        );
        // Above the largest value of kernel.pid_max.
        check(
            config(processes(&[4_194_305]), 99),
            "there is no process 4194305",
        );
        let mut zombie = std::process::Command::new("true").spawn().unwrap();
        while !ProcFs::new().has_ended(zombie.id()) {
            std::thread::yield_now();
        }
        check(config(processes(&[zombie.id()]), 99), "zombie");
        zombie.wait().unwrap();
        let own = std::process::id();
        let tid = std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            check(
                config(processes(&[tid]), 99),
                &format!("profile the process: --pid {own}"),
            );
        });
        tid.join().unwrap();
        let no_thread = Target::Thread {
            pid: 0,
            tid: 4_194_305,
        };
        check(
            config(Targets::Chosen(vec![no_thread]), 99),
            "there is no thread 4194305",
        );
        let mut many = config(Targets::All, 99);
        many.filter.cgroups = vec![PathBuf::from("/"); MAX_CGROUPS as usize + 1];
        check(many, "17 control groups are more");
        config(processes(&[own]), 99).check().unwrap();
    }

    /// A thread is found with its process.
    #[test]
    fn threads_with_their_process() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let mut config = config(Targets::Chosen(vec![Target::Thread { pid: 0, tid }]), 99);
        config.check().unwrap();
        assert_eq!(config.targets.threads(), [(std::process::id(), tid)]);
        assert_eq!(config.targets.pids(), [std::process::id()]);
        assert_eq!(
            config.selection(),
            [format!("only some threads of a process: {tid}")]
        );
    }

    /// 99 Hz stand for 10,101,010 ns, as in every Go profile of that rate.
    #[test]
    fn period() {
        assert_eq!(config(Targets::All, 99).period_ns(), 10_101_010);
        assert_eq!(config(Targets::All, 1000).period_ns(), 1_000_000);
    }
}
