//! Taking out what was counted: once at the end, or window by window.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::counted::Counted;
use super::progress::{Gauges, Progress};
use super::window_time::{self, Clock};
use super::{NO_TABLES, Recording};
use crate::sampler::Unwind;
use crate::summary::{Evicted, Summary};

impl Recording {
    /// What was counted since the start or since it was cut last, with sampling ended.
    pub(crate) fn finish(mut self) -> Counted {
        let elapsed = self.summary.elapsed;
        self.processes.settle();
        let mut counted = self.cut();
        counted.summary.elapsed = elapsed;
        counted.summary.costs = self.sampler.costs();
        log::debug!(
            "unwinding: {:?}, {} bytes of rows in the kernel",
            self.unwinding.counts(),
            self.sampler.tables().row_bytes()
        );
        counted
    }

    /// Takes out what was counted since the start or since the last time, and goes on counting from nothing.
    ///
    /// A sample is in the one or in the other; those that wait for unwind rows are in the other.
    pub(crate) fn cut(&mut self) -> Counted {
        let losses = self.sampler.losses();
        let (processes, gone_processes) = self.processes.cut();
        let aggregate = std::mem::take(&mut self.aggregate);
        let summary = std::mem::take(&mut self.summary);
        let mut notes = self.processes.take_notes();
        notes.extend(self.unwinding.take_notes());
        notes.extend(self.walk_checks.note());
        if self.config.unwind == Unwind::Auto && !self.sampler.walks_by_tables() {
            notes.push(NO_TABLES.to_owned());
        }
        let evicted = Evicted {
            rows: self.unwinding.counts().evicted,
            ..self.processes.evicted()
        };
        let now = Instant::now();
        let elapsed = now.duration_since(self.started);
        let summary = Summary {
            elapsed,
            frequency_hz: self.config.frequency_hz,
            period_ns: self.config.period_ns(),
            losses: losses.since(&self.lost_before),
            other_names: self.sampler.unwanted_names(),
            selection: self.config.selection(),
            samples: aggregate.samples(),
            processes,
            gone_processes,
            evicted,
            notes,
            ..summary
        };
        self.lost_before = losses;
        self.started = now;
        Counted {
            config: Arc::clone(&self.config),
            aggregate,
            summary,
            started_at: self.begin_window(elapsed),
        }
    }

    /// Begins a window after one of this length; returns when that one began.
    fn begin_window(&mut self, elapsed: Duration) -> SystemTime {
        let (next, clock) = window_time::next(self.started_at, elapsed, SystemTime::now());
        match (self.clock, clock) {
            (Clock::Steady, Clock::Behind) => log::warn!(
                "the clock was set backward; windows go on from the time before, so that they sort, until it has caught up"
            ),
            (Clock::Behind, Clock::Steady) => {
                log::info!("the clock has caught up with the times of windows");
            }
            _ => {}
        }
        self.clock = clock;
        std::mem::replace(&mut self.started_at, next)
    }

    /// How long it has been counting since the start, or since it was cut last.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The memory that what was counted since then takes, in bytes, about.
    pub(crate) fn counted_bytes(&self) -> u64 {
        self.aggregate.bytes()
    }

    /// Samples that the kernel tried to take, and those that were lost, since the start.
    pub(crate) fn tried_and_lost(&self) -> (u64, u64) {
        let losses = self.sampler.losses();
        (losses.tried, losses.samples())
    }

    /// What it has at hand.
    pub(crate) fn gauges(&mut self) -> Gauges {
        Gauges {
            row_bytes: self.sampler.tables().row_bytes(),
            rows_made: self.unwinding.counts().rows,
            binaries: self.unwinding.binaries.len() as u64,
            waiting_stacks: self.copies.len() as u64,
        }
    }

    /// How far it is since the start, or since it was cut last.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            elapsed: self.started.elapsed(),
            samples: self.aggregate.samples(),
            lost: self.sampler.losses().since(&self.lost_before).samples(),
            processes: self.processes.sampled(),
        }
    }
}
