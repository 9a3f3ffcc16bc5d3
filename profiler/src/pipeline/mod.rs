//! One loop over one closed set of events; owns every part of the line and holds no logic of its own.
//!
//! ```text
//! ring ──▶ Event ──▶ processes (locate) ──▶ aggregate        while sampling
//! aggregate ──▶ write_up (symbolize, pprof) ──▶ bytes        afterwards
//! ```

mod copies;
mod core_stacks;
mod descriptors;
mod label_text;
mod labelling;
mod processes;
mod roots;
mod row_maker;
mod runs;
mod unwinding;
mod walk_checks;
mod write_up;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use profiler_common::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) use core_stacks::{CoreFrame, CoreStacks, ThreadStack};

use crate::aggregate::Aggregate;
use crate::config::Config;
use crate::labels::LabelKey;
use crate::sampler::{Event, Sample, Sampler, SamplerOptions, StackCopy, Targets, Unwind};
use crate::summary::Summary;
use copies::{Copies, Waiting};
use descriptors::raise_limit;
use processes::Processes;
use roots::Roots;
use unwinding::Unwinding;
use walk_checks::WalkChecks;

/// What to say when the verifier accepts neither of the walks by tables.
const NO_TABLES: &str = "this kernel does not let stacks be walked by unwind tables, so they are walked by frame pointers only; -v says why";

/// How often the ring is read when nothing wakes the reader.
const READ_EVERY: Duration = Duration::from_millis(100);

/// A recording that is going on.
pub(crate) struct Recording {
    config: Config,
    sampler: Sampler,
    processes: Processes,
    unwinding: Unwinding,
    copies: Copies,
    walk_checks: WalkChecks,
    aggregate: Aggregate,
    summary: Summary,
    roots: Roots,
    started: Instant,
    started_at: SystemTime,
}

/// Why sampling ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// Somebody asked for it.
    Stopped,
    /// The time was over.
    Duration,
    /// All processes asked for have ended.
    TargetsGone,
}

impl Ended {
    /// One word for programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Duration => "duration",
            Self::TargetsGone => "targets-gone",
        }
    }
}

/// How far a recording is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Samples counted so far.
    pub samples: u64,
    /// Samples lost so far.
    pub lost: u64,
    /// Processes that gave samples.
    pub processes: u64,
}

impl Recording {
    /// Loads and attaches everything; sampling runs when this returns.
    ///
    /// # Errors
    ///
    /// A [`SamplerError`](crate::sampler::SamplerError) when the kernel refuses.
    pub(crate) fn start(config: Config) -> Result<Self> {
        let set_up_began = Instant::now();
        raise_limit();
        let mut sampler = Sampler::load(SamplerOptions {
            period_ns: config.period_ns(),
            targets: config.targets.clone(),
            filter: config.filter.clone(),
            pid_namespace: config.pid_namespace,
            process_names: config.labels.has(LabelKey::Comm),
            cgroup_ids: config
                .labels
                .has_any(&[LabelKey::Cgroup, LabelKey::Container]),
            kernel_stacks: config.kernel_stacks,
            follow_children: config.follow_children,
            unwind: config.unwind,
            bpf_loop: config.bpf_loop,
            check_walks: config.check_walks,
            unwind_memory: config.unwind_memory,
            bpf_log: config.bpf_log,
        })?;
        let mut processes = Processes::new(config.labels);
        let mut unwinding = Unwinding::new(sampler.walks_by_tables())
            .context("failed to prepare for making unwind rows")?;
        let mut aggregate = Aggregate::default();
        let roots = Roots::of(&config.targets)?;
        for pid in config.targets.pids() {
            processes.add_root(pid);
            if !config.started_later
                && let Some(snapshot) = processes.read_root(pid, &mut aggregate)
            {
                unwinding.update(pid, &snapshot, sampler.tables());
            }
        }
        unwinding.wait(sampler.tables());
        unwinding.dismiss_threads();
        let started = Instant::now();
        let started_at = SystemTime::now();
        let parents = roots::parents(&config);
        roots::enter_children(&parents, &mut sampler);
        sampler.attach()?;
        // Those that were forked before the kernel side could follow them.
        roots::enter_children(&parents, &mut sampler);
        log::debug!(
            "sampling began {} ms after the program started loading",
            set_up_began.elapsed().as_millis()
        );
        Ok(Self {
            summary: Summary {
                frequency_hz: config.frequency_hz,
                period_ns: config.period_ns(),
                ..Summary::default()
            },
            config,
            sampler,
            processes,
            unwinding,
            copies: Copies::default(),
            walk_checks: WalkChecks::default(),
            aggregate,
            roots,
            started,
            started_at,
        })
    }

    /// Reads samples until `stop` becomes readable, the time is over, or the targets are gone.
    pub(crate) fn run(
        &mut self,
        stop: BorrowedFd<'_>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Ended> {
        let ended = loop {
            let timeout = match self.time_left() {
                Some(Duration::ZERO) => break Ended::Duration,
                Some(left) => left.min(READ_EVERY),
                None => READ_EVERY,
            };
            let woken = self.wait(stop, timeout)?;
            self.read_ring();
            on_progress(self.progress());
            if woken.stop {
                break Ended::Stopped;
            }
            if self.config.targets != Targets::All && self.roots.are_gone() {
                break Ended::TargetsGone;
            }
        };
        self.sampler.detach()?;
        self.summary.elapsed = self.started.elapsed();
        while self.read_ring() > 0 {}
        self.unwinding.wait(self.sampler.tables());
        self.walk_copies(true);
        if let Some(time_ns) = self.summary.first_sample_ns {
            log::debug!("first sample at {time_ns} ns of CLOCK_MONOTONIC");
        }
        Ok(ended)
    }

    /// Names everything and builds the profile; returns it gzipped, with what it is made of.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Summary)> {
        self.summary.losses = self.sampler.losses();
        self.summary.other_names = self.sampler.unwanted_names();
        self.summary.selection = self.config.selection();
        self.summary.samples = self.aggregate.samples();
        self.summary.processes = self.processes.sampled();
        self.summary.gone_processes = self.processes.gone();
        self.summary.costs = self.sampler.costs();
        self.summary.notes = self.processes.notes();
        self.summary.notes.extend(self.unwinding.notes());
        self.summary.notes.extend(self.walk_checks.note());
        if self.config.unwind == Unwind::Auto && !self.sampler.walks_by_tables() {
            self.summary.notes.push(NO_TABLES.to_owned());
        }
        log::debug!(
            "unwinding: {:?}, {} bytes of rows in the kernel",
            self.unwinding.counts(),
            self.sampler.tables().row_bytes()
        );
        // The ring's memory is not needed while names are found.
        drop(self.sampler);
        let profile = write_up::write_up(
            &self.config,
            &self.aggregate,
            self.started_at,
            &mut self.summary,
        );
        Ok((profile, self.summary))
    }

    fn time_left(&self) -> Option<Duration> {
        let duration = self.config.duration?;
        Some(duration.saturating_sub(self.started.elapsed()))
    }

    /// Waits until there is something to do, and forgets the roots that have ended.
    fn wait(&mut self, stop: BorrowedFd<'_>, timeout: Duration) -> Result<Woken> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut fds = vec![
            PollFd::new(&stop, PollFlags::IN),
            PollFd::from_borrowed_fd(self.sampler.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.unwinding.as_fd(), PollFlags::IN),
        ];
        fds.extend(self.roots.poll_fds());
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("failed to wait for samples"),
        }
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        self.roots.forget_ended(&readable[3..]);
        Ok(Woken { stop: readable[0] })
    }

    fn read_ring(&mut self) -> usize {
        let Self {
            sampler,
            processes,
            unwinding,
            walk_checks,
            aggregate,
            summary,
            config,
            ..
        } = self;
        let mut copies: Vec<StackCopy> = Vec::new();
        let seen = sampler.drain(|event| match event {
            Event::Sample(sample) => {
                if config.check_walks {
                    walk_checks.walked(&sample);
                }
                count(&sample, processes, aggregate, summary);
            }
            Event::WalkCheck(copy) => walk_checks.copied(copy),
            Event::StackCopy(copy) => {
                processes.heard_of(&copy);
                copies.push(copy);
            }
            Event::Fork { parent, child } => processes.forked(parent, child),
            Event::Exec { pid } => {
                // With the memory of the program before goes what its copied stacks could be walked by.
                for copy in copies.extract_if(.., |copy| copy.sample.pid == pid) {
                    let sample = unwinding::innermost_only(copy);
                    count(&sample, processes, aggregate, summary);
                }
                processes.executed(pid, aggregate);
            }
            Event::Exit { pid } => processes.thread_ended(pid),
        });
        let tables = sampler.tables();
        walk_checks.compare(|copy, memory| {
            let snapshot = processes.snapshot(copy.sample.pid)?;
            Some(unwinding.walk_in(copy.registers, memory, &snapshot, tables))
        });
        for pid in processes.take_touched() {
            if let Some(snapshot) = processes.snapshot(pid) {
                unwinding.update(pid, &snapshot, sampler.tables());
            }
        }
        for copy in copies {
            let snapshot = processes.snapshot(copy.sample.pid);
            self.copies.push(Waiting {
                copy,
                snapshot,
                again: false,
            });
        }
        self.walk_copies(false);
        for pid in self.processes.take_ended() {
            self.sampler.remove_target(pid);
            self.unwinding.remove(pid, self.sampler.tables());
        }
        seen
    }

    /// Walks the copied stacks whose rows are there; at the end all of them.
    fn walk_copies(&mut self, end: bool) {
        let Self {
            sampler,
            processes,
            unwinding,
            copies,
            aggregate,
            summary,
            ..
        } = self;
        unwinding.take_made(sampler.tables());
        while let Some(waiting) = copies.pop(end, |snapshot| unwinding.is_ready(snapshot)) {
            let Waiting {
                copy,
                snapshot: Some(snapshot),
                again,
            } = waiting
            else {
                let sample = unwinding::innermost_only(waiting.copy);
                count(&sample, processes, aggregate, summary);
                continue;
            };
            let pid = copy.sample.pid;
            let stack = unwinding.walk(&copy, &snapshot, sampler.tables());
            if stack.stop == Stop::NoMapping
                && !again
                && let Some(now) = processes.look_again(pid, &snapshot)
            {
                unwinding.update(pid, &now, sampler.tables());
                copies.push(Waiting {
                    copy,
                    snapshot: Some(now),
                    again: true,
                });
                continue;
            }
            let sample = Sample {
                user: stack.frames,
                stop: stack.stop,
                ..copy.sample
            };
            summary.copied += 1;
            summary.count(&sample);
            processes.locate_in(&sample, Some(&snapshot), aggregate);
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            elapsed: self.started.elapsed(),
            samples: self.aggregate.samples(),
            lost: self.sampler.losses().samples(),
            processes: self.processes.sampled(),
        }
    }
}

/// Counts a sample with its frames located.
fn count(
    sample: &Sample,
    processes: &mut Processes,
    aggregate: &mut Aggregate,
    summary: &mut Summary,
) {
    summary.count(sample);
    processes.locate(sample, aggregate);
}

/// What ended a wait.
struct Woken {
    stop: bool,
}
