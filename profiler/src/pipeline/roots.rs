//! The processes and threads that were asked for by id: whether they are still there, and what children they have already.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};

use super::descriptors::open_process;
use crate::config::Config;
use crate::process::ProcFs;
use crate::sampler::{Sampler, Target, Targets};

/// Those that have not ended.
#[derive(Debug)]
pub(super) struct Roots {
    /// A descriptor for each process, which becomes readable when the process ends.
    processes: Vec<OwnedFd>,
    /// Threads with their processes; none when whole processes were asked for too, which end later.
    threads: Vec<(u32, u32)>,
    /// Whether it is threads that are waited for.
    has_only_threads: bool,
}

impl Roots {
    /// Begins to watch what was asked for.
    pub(super) fn of(targets: &Targets) -> Result<Self> {
        let threads = targets.threads();
        let has_only_threads =
            matches!(targets, Targets::Chosen(all) if all.len() == threads.len());
        let mut processes = Vec::new();
        for pid in targets.pids() {
            processes.extend(open_process(pid)?);
        }
        Ok(Self {
            processes,
            threads,
            has_only_threads,
        })
    }

    /// Whether all have ended.
    pub(super) fn are_gone(&mut self) -> bool {
        if !self.has_only_threads {
            return self.processes.is_empty();
        }
        // A thread has no descriptor of its own before Linux 6.9 (PIDFD_THREAD).
        let procfs = ProcFs::new();
        self.threads
            .retain(|(pid, tid)| procfs.has_thread(*pid, *tid));
        self.threads.is_empty()
    }

    /// What to wait for.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let processes = self.processes.iter();
        processes.map(|process| PollFd::new(process, PollFlags::IN))
    }

    /// Forgets the processes whose descriptors, in the order of [`poll_fds`](Self::poll_fds), are readable.
    pub(super) fn forget_ended(&mut self, readable: &[bool]) {
        let mut ended = readable.iter();
        self.processes.retain(|_| ended.next() != Some(&true));
    }
}

/// The processes whose children are wanted that they have already, of which no event tells.
pub(super) fn parents(config: &Config) -> Vec<u32> {
    let wanted = config.follow_children && !config.started_later;
    let Targets::Chosen(targets) = &config.targets else {
        return Vec::new();
    };
    let parents = targets.iter().filter_map(|target| match target {
        Target::Process(pid) if wanted => Some(*pid),
        // Which of its threads has forked a child cannot be told afterwards.
        _ => None,
    });
    parents.collect()
}

/// Has all children sampled that there are now, and those that they have forked meanwhile.
pub(super) fn enter_children(parents: &[u32], sampler: &mut Sampler) {
    if parents.is_empty() {
        return;
    }
    let mut entered: HashSet<u32> = HashSet::new();
    loop {
        let descendants = ProcFs::new().descendants(parents);
        let new: Vec<u32> = descendants
            .into_iter()
            .filter(|pid| entered.insert(*pid))
            .collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            if !sampler.add_target(pid) {
                log::warn!("process {pid} is not profiled: the table of processes is full");
            }
        }
    }
}
