//! One loop over one closed set of events; owns every part of the line and holds no logic of its own.
//!
//! ```text
//! ring ──▶ Event ──▶ processes (locate) ──▶ aggregate                 while sampling
//! aggregate ──▶ counted ──▶ names, write_up (pprof) ──▶ bytes         afterwards, or window by window
//! ```

mod copies;
mod core_stacks;
mod counted;
mod descriptors;
mod ends;
mod in_force;
mod label_text;
mod labelling;
mod name_memory;
mod names;
mod naming_thread;
mod news;
mod processes;
mod programs;
mod progress;
mod roots;
mod row_maker;
mod row_room;
mod runs;
mod trust;
mod unwinding;
mod wait;
mod walk_checks;
mod window;
mod window_time;
mod write_up;

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use profiler_common::{Stop, WAKE_PAUSE_NS};

pub(crate) use core_stacks::{CoreFrame, CoreStacks, ThreadStack};
pub(crate) use counted::Counted;

use crate::aggregate::Aggregate;
use crate::config::Config;
use crate::labels::LabelKey;
use crate::sampler::{Event, Losses, Sample, Sampler, SamplerOptions, Targets};
use crate::summary::Summary;
use copies::{Copies, Waiting};
use descriptors::raise_limit;
pub(crate) use name_memory::NameMemory;
pub(crate) use names::naming_options;
use news::without_old_stack;
use processes::Processes;
pub(crate) use progress::{Ended, Gauges, Progress};
use roots::Roots;
use unwinding::Unwinding;
use walk_checks::WalkChecks;
use window_time::Clock;

/// What to say when the verifier accepts neither of the walks by tables.
const NO_TABLES: &str = "this kernel does not let stacks be walked by unwind tables, so they are walked by frame pointers only; -v says why";

/// How often it is looked for CPUs that have come or gone.
const LOOK_FOR_CPUS_EVERY: Duration = Duration::from_secs(1);
/// How soon the ring is read again after samples have woken the reader.
const SOON: Duration = Duration::from_nanos(WAKE_PAUSE_NS);

/// How long what was mapped before is kept, in nanoseconds: as long as the walk that an interrupted virtual machine was in
/// when a sample was late.
const LATEST: u64 = 1_000_000_000;

/// A recording that is going on.
pub(crate) struct Recording {
    config: Arc<Config>,
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
    clock: Clock,
    /// What had been lost when counting began anew last.
    lost_before: Losses,
    /// When it was looked for CPUs that come and go.
    cpus_seen_at: Instant,
    /// When what no sample needs was forgotten last, in nanoseconds of `CLOCK_MONOTONIC`.
    forgot_at: u64,
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
        let mut processes = Processes::new(config.labels, config.split_by_program);
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
            summary: Summary::default(),
            config: Arc::new(config),
            sampler,
            processes,
            unwinding,
            copies: Copies::default(),
            walk_checks: WalkChecks::default(),
            aggregate,
            roots,
            started,
            started_at,
            clock: Clock::default(),
            lost_before: Losses::default(),
            cpus_seen_at: started,
            forgot_at: 0,
        })
    }

    /// Reads samples until `stop` becomes readable, the time is over, or the targets are gone; lets `after_reading` look
    /// at it, [`cut`](Self::cut) it, or end it, each time that something may have been read.
    pub(crate) fn run(
        &mut self,
        stop: BorrowedFd<'_>,
        mut after_reading: impl FnMut(&mut Self) -> ControlFlow<()>,
    ) -> Result<Ended> {
        let mut pause = self.config.read_every;
        let ended = loop {
            let timeout = match self.time_left() {
                Some(Duration::ZERO) => break Ended::Duration,
                Some(left) => left.min(pause),
                None => pause,
            };
            let woken = self.wait(stop, timeout)?;
            self.read_ring();
            self.follow_cpus()?;
            // The kernel side leaves it to the reader to look for what came right behind what it was woken for.
            pause = if woken.by_sample {
                SOON
            } else {
                self.config.read_every
            };
            if after_reading(self).is_break() || woken.stop {
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

    fn time_left(&self) -> Option<Duration> {
        let duration = self.config.duration?;
        Some(duration.saturating_sub(self.started.elapsed()))
    }

    /// Samples CPUs that have come since.
    fn follow_cpus(&mut self) -> Result<()> {
        if self.cpus_seen_at.elapsed() < LOOK_FOR_CPUS_EVERY {
            return Ok(());
        }
        self.cpus_seen_at = Instant::now();
        if self.sampler.follow_cpus()? {
            self.processes.missed_events();
        }
        Ok(())
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
        let drained = sampler.drain(|event| {
            match without_old_stack(event, |sample| processes.is_in_exec(sample)) {
                Event::WalkCheck(copy) => walk_checks.copied(copy),
                Event::Sample(mut sample) => {
                    if config.check_walks {
                        walk_checks.walked(&sample);
                    }
                    let snapshot = processes.snapshot_for(&sample);
                    if let Some(snapshot) = &snapshot {
                        unwinding.in_force.check(&mut sample, snapshot);
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
            }
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
        for pid in self.processes.take_ended(read_from) {
            self.sampler.remove_target(pid);
            self.unwinding.remove(pid, self.sampler.tables());
        }
        if read_from.saturating_sub(self.forgot_at) > LATEST {
            self.forgot_at = read_from;
            let latest = read_from.saturating_sub(LATEST);
            self.processes.forget_before(latest);
            self.unwinding.in_force.forget_before(latest);
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
                let sample = copies::innermost_only(waiting.copy);
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
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
