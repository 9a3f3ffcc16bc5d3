//! What a process had mapped when: what is known of it follows the kernel's events, and what held before is kept for as
//! long as somebody may ask for a time then. Reading `/proc` is left to `state`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use super::Snapshot;
use super::image::{Shared, Source, Started};
use super::maps_line::MapsLine;
use super::state::{Known, State};
use crate::addr::ProcAddr;

/// As much may have been mapped without being put over what is known: a JIT compiler maps and maps, and each time that
/// it is done costs as much as there is mapped.
const MOST_NEWS: usize = 1024;

/// What held before, and what has happened since.
#[derive(Default, Debug)]
pub(super) struct History {
    /// What was known, each with the time until which it held; the oldest first.
    past: VecDeque<(u64, Known)>,
    /// Mapped since, and not put over what is known yet; in the order of time.
    news: Vec<(u64, MapsLine)>,
    /// What was mapped by this time is known.
    known_by: u64,
    /// Whose copy it is, while it is not known for itself.
    pub(super) parent: Option<u32>,
}

impl History {
    /// Whether the same was mapped in the same place a moment ago, and nothing else there since: a program that maps a page, gives
    /// it back and maps it again. Only memory that is no file's: one file's mapping differs from another's in more than it says.
    fn has_news_of(&self, line: &MapsLine) -> bool {
        const FEW: usize = 16;
        let overlaps = |known: &MapsLine| known.start < line.limit && line.start < known.limit;
        let mut last = self.news.iter().rev().take(FEW).map(|(_, known)| known);
        line.inode == 0 && last.find(|known| overlaps(known)) == Some(line)
    }
}

/// What a process had mapped at a time.
pub(super) enum Then {
    /// This, or nothing that could be known.
    Known(Option<Arc<Snapshot>>),
    /// What it has mapped now, which is yet to be found out.
    Now,
}

impl State {
    /// What was mapped at a time; `is_needed` tells whether it matters that something was mapped there since the last
    /// time that somebody asked.
    pub(super) fn at(
        &mut self,
        shared: &Shared,
        pid: u32,
        time_ns: u64,
        is_needed: impl Fn(ProcAddr, ProcAddr) -> bool,
    ) -> Then {
        self.note_losses();
        let past = &self.history.past;
        let index = past.partition_point(|(until, _)| *until <= time_ns);
        if let Some((_, known)) = past.get(index) {
            return Then::Known(known.snapshot());
        }
        let news = &self.history.news;
        let count = news.partition_point(|(time, _)| *time <= time_ns);
        if news[..count]
            .iter()
            .any(|(_, line)| is_needed(line.start, line.limit))
        {
            self.take_in(shared, pid, count);
        }
        match &self.known {
            Known::Snapshot(snapshot) if !self.stale => Then::Known(Some(Arc::clone(snapshot))),
            _ => Then::Now,
        }
    }

    /// Puts all that was mapped over what is known.
    pub(super) fn take_in_all(&mut self, shared: &Shared, pid: u32) {
        self.take_in(shared, pid, self.history.news.len());
    }

    /// Something was mapped.
    pub(super) fn mapped(&mut self, shared: &Shared, pid: u32, time_ns: u64, line: MapsLine) {
        // What has not been read will be found when it is; what has been has it. What is of the same time may be of after it, where
        // clocks are coarse, and to put it over what is known once more does no harm.
        if !matches!(self.known, Known::Snapshot(_)) || time_ns < self.history.known_by {
            return;
        }
        if self.history.has_news_of(&line) {
            return;
        }
        if self.history.news.len() >= MOST_NEWS {
            self.take_in_all(shared, pid);
        }
        let at = self
            .history
            .news
            .partition_point(|(time, _)| *time <= time_ns);
        self.history.news.insert(at, (time_ns, line));
    }

    /// Another program begins, with nothing mapped; all that it maps will be told.
    pub(super) fn executed(&mut self, shared: &Arc<Shared>, pid: u32, time_ns: u64) {
        let mut before = if time_ns < self.history.known_by {
            // Read after this, it is not what was mapped before.
            Known::Nothing
        } else {
            self.take_in_all(shared, pid);
            std::mem::take(&mut self.known)
        };
        let history = &mut self.history;
        history.news.clear();
        let earlier = history.past.partition_point(|(until, _)| *until <= time_ns);
        if let Some((_, known)) = history.past.drain(earlier..).next() {
            before = known;
        }
        history.past.push_back((time_ns, before));
        let source = Arc::new(Source {
            shared: Arc::clone(shared),
            pid,
            started: Started::By(clock_ticks_since_boot(time_ns)),
            parent: self.history.parent,
        });
        self.known = Known::Snapshot(Arc::new(Snapshot::empty(source)));
        self.stale = false;
        self.history.known_by = time_ns;
    }

    /// The process begins with a copy of its parent's memory.
    pub(super) fn copied(&mut self, parent: u32, memory: Option<Arc<Snapshot>>, time_ns: u64) {
        *self = Self::default();
        self.history.parent = Some(parent);
        self.history.known_by = time_ns;
        if let Some(memory) = memory {
            self.known = Known::Snapshot(memory);
        }
    }

    /// The maps file was read at this time. What was known before holds for the time before, with what was not known
    /// then: it may have been mapped without an event, but nothing that was known was mapped anew.
    pub(super) fn was_read(&mut self, shared: &Shared, pid: u32, read_ns: u64, new: Snapshot) {
        self.take_in(
            shared,
            pid,
            self.history
                .news
                .partition_point(|(time, _)| *time <= read_ns),
        );
        self.history.known_by = read_ns;
        let Some(old) = self.known.snapshot() else {
            self.known = Known::Snapshot(Arc::new(new));
            return;
        };
        if old.shows_same_as(&new) {
            return;
        }
        let completed = Arc::new(old.completed_by(&new));
        self.history
            .past
            .push_back((read_ns, Known::Snapshot(completed)));
        self.known = Known::Snapshot(Arc::new(new));
    }

    /// Forgets what held before a time that nobody asks about any more.
    pub(super) fn forget_before(&mut self, time_ns: u64) {
        let past = &mut self.history.past;
        while past.front().is_some_and(|(until, _)| *until <= time_ns) {
            past.pop_front();
        }
    }

    /// Puts the first of the news over what is known.
    fn take_in(&mut self, shared: &Shared, pid: u32, count: usize) {
        let Some((first, _)) = self.history.news.first().filter(|_| count > 0) else {
            return;
        };
        let first = *first;
        let lines: Vec<MapsLine> = self
            .history
            .news
            .drain(..count)
            .map(|(_, line)| line)
            .collect();
        if let Known::Snapshot(old) = &self.known {
            let began = Instant::now();
            let new = Known::Snapshot(Arc::new(old.replace(lines, shared, pid)));
            self.took_in = Some((Instant::now(), began.elapsed()));
            let old = std::mem::replace(&mut self.known, new);
            if shared.is_told() {
                self.history.past.push_back((first, old));
            }
        }
    }
}

/// A time of `CLOCK_MONOTONIC` as `/proc/PID/stat` tells when a process was started: in ticks of the clock that also runs
/// while the machine sleeps. Rounded up, because the event was after the start.
fn clock_ticks_since_boot(monotonic_ns: u64) -> u64 {
    let now = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let slept = now(ClockId::Boottime).saturating_sub(now(ClockId::Monotonic));
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    (monotonic_ns.saturating_add(slept) / tick).saturating_add(1)
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
