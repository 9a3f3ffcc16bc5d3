//! One loop over one closed set of events; owns every part of the line and holds no logic of its own.
//!
//! ```text
//! ring ──▶ Event ──▶ processes (locate) ──▶ aggregate        while sampling
//! aggregate ──▶ write_up (symbolize, pprof) ──▶ bytes        afterwards
//! ```

mod copies;
mod core_stacks;
mod descriptors;
mod in_force;
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

/// How long what was mapped before is kept, in nanoseconds: as long as the walk that an interrupted virtual machine was in
/// when a sample was late.
const LATEST: u64 = 1_000_000_000;

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
    /// When what no sample needs was forgotten last, in nanoseconds of `CLOCK_MONOTONIC`.
    forgot_at: u64,
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
        if sampler.tells_of_memory() {
            processes.follow_events();
        }
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
            forgot_at: 0,
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
        while !self.read_ring() {}
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
        let side_band = self.sampler.side_band_fd();
        fds.extend(side_band.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let others = fds.len();
        fds.extend(self.roots.poll_fds());
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("failed to wait for samples"),
        }
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        self.roots.forget_ended(&readable[others..]);
        Ok(Woken { stop: readable[0] })
    }

    /// Takes in what waits to be read, and tells whether that was all.
    fn read_ring(&mut self) -> bool {
        let Self {
            sampler,
            processes,
            unwinding,
            copies,
            walk_checks,
            aggregate,
            summary,
            config,
            ..
        } = self;
        let read_from = monotonic_ns();
        let drained = sampler.drain(|event| match without_old_stack(event, processes) {
            Event::WalkCheck(copy) => walk_checks.copied(copy),
            Event::Sample(mut sample) => {
                if config.check_walks {
                    walk_checks.walked(&sample);
                }
                let snapshot = processes.snapshot_for(&sample);
                if let Some(snapshot) = &snapshot {
                    unwinding.check(&mut sample, snapshot);
                }
                summary.count(&sample);
                processes.locate_in(&sample, snapshot.as_deref(), aggregate);
            }
            Event::StackCopy(copy) => {
                let snapshot = processes.snapshot_of_copy(&copy);
                if let Some(snapshot) = &snapshot {
                    unwinding.ask_for(snapshot);
                }
                copies.push(Waiting {
                    copy,
                    snapshot,
                    again: false,
                });
            }
            Event::Fork {
                parent,
                child,
                time_ns,
            } => {
                processes.forked(parent, child, time_ns);
                unwinding.forked(parent, child, time_ns);
            }
            Event::Exec { pid, time_ns } => {
                processes.executed(pid, aggregate);
                unwinding.executed(pid, time_ns);
            }
            Event::Exit { pid, .. } => processes.thread_ended(pid),
            Event::Memory(event) => processes.memory_changed(event),
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
        self.walk_copies(false);
        if drained.is_empty {
            self.forget(read_from);
        }
        drained.is_empty
    }

    /// Forgets what no sample needs any more, when all that were taken by a time have been read.
    fn forget(&mut self, read_from: u64) {
        for pid in self.processes.take_ended() {
            self.sampler.remove_target(pid);
            self.unwinding.remove(pid, self.sampler.tables());
        }
        if read_from.saturating_sub(self.forgot_at) > LATEST {
            self.forgot_at = read_from;
            let latest = read_from.saturating_sub(LATEST);
            self.processes.forget_before(latest);
            self.unwinding.forget_before(latest);
        }
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
                summary.count(&sample);
                processes.locate_in(&sample, None, aggregate);
                continue;
            };
            let (pid, time_ns) = (copy.sample.pid, copy.sample.time_ns);
            let stack = unwinding.walk(&copy, &snapshot, sampler.tables());
            if stack.stop == Stop::NoMapping
                && !again
                && let Some(now) = processes.look_again(pid, time_ns, &snapshot)
            {
                unwinding.ask_for(&now);
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

/// Leaves only the kernel's frames of a task that had given up its memory, in the midst of an exec or of its end: its
/// registers still speak of a stack that is not there any more.
fn without_old_stack(event: Event, processes: &Processes) -> Event {
    let (sample, is_unreadable) = match &event {
        Event::Sample(sample) => (
            sample,
            sample.user.len() == 1 && sample.stop == Stop::ReadFailed,
        ),
        Event::StackCopy(copy) => (&copy.sample, copy.stack.is_empty()),
        _ => return event,
    };
    let in_kernel = !sample.kernel.is_empty();
    if !(in_kernel && is_unreadable || processes.is_in_exec(sample)) {
        return event;
    }
    match event {
        Event::Sample(sample) | Event::StackCopy(StackCopy { sample, .. }) => {
            Event::Sample(Sample {
                user: Vec::new(),
                stop: Stop::NoUserStack,
                ..sample
            })
        }
        other => other,
    }
}

/// What ended a wait.
struct Woken {
    stop: bool,
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
