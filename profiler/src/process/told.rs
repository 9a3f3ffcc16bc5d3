//! A resolver that is told what happens to the memory of processes, and so knows what was mapped at a time.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns` and, when asked for, of perf records.
//! Who tells is left to others; the events are those that perf writes beside samples (`PERF_RECORD_MMAP2`, `FORK`,
//! `COMM` at an exec, `EXIT`), and they have to come in the order of their times.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::counters::add;
use super::maps_line::MapsLine;
use super::{Resolver, Snapshot};
use crate::addr::ProcAddr;

impl Resolver {
    /// From now on every mapping of executable memory, every fork and every exec of the processes asked about is told.
    ///
    /// A process that is known is not looked at again then, and one that was started since is never read at all.
    pub fn follow_events(&self) {
        self.shared().told.store(true, Ordering::Relaxed);
    }

    /// Something executable was mapped.
    pub fn mapped(&self, pid: u32, time_ns: u64, line: MapsLine) {
        if line.start < line.limit
            && let Some(slot) = self.known_slot(pid)
        {
            slot.change(|state| state.mapped(self.shared(), pid, time_ns, line));
        }
    }

    /// A process has a new child, which begins with a copy of its memory.
    pub fn forked(&self, parent: u32, child: u32, time_ns: u64) {
        let memory = self
            .known_slot(parent)
            .and_then(|slot| slot.known_at(self.shared(), parent, time_ns));
        self.slot(child)
            .change(|state| state.copied(parent, memory, time_ns));
    }

    /// A process runs another program, and all that it had mapped is gone.
    pub fn executed(&self, pid: u32, time_ns: u64) {
        self.slot(pid)
            .change(|state| state.executed(self.shared(), pid, time_ns));
    }

    /// Events were lost, of nobody knows whom: every process is read again when it is asked about. What is known of
    /// those that have ended stays.
    pub fn missed_events(&self) {
        add(&self.shared().counters.resynchronized, 1);
        for slot in self.slots() {
            slot.change(|state| state.lost = true);
        }
    }

    /// What a process had mapped at a time.
    ///
    /// `None` when it was not known then, and cannot be read any more.
    pub fn snapshot_at(&self, pid: u32, time_ns: u64) -> Option<Arc<Snapshot>> {
        self.snapshot_for(pid, time_ns, |_, _| true)
    }

    /// The mappings of a process to look some addresses up in that it had at a time.
    ///
    /// `is_needed` is asked about ranges that were mapped shortly before, whether one of the addresses lies in it;
    /// those that are not needed may be missing, which saves much where a JIT compiler maps all the time.
    pub fn snapshot_for(
        &self,
        pid: u32,
        time_ns: u64,
        is_needed: impl Fn(ProcAddr, ProcAddr) -> bool,
    ) -> Option<Arc<Snapshot>> {
        let slot = self.slot(pid);
        let own = slot.at(self.shared(), pid, time_ns, is_needed);
        own.or_else(|| {
            // A child that has ended before it was asked about, and has not run another program.
            let parent = slot.parent_of_unknown()?;
            self.slot(parent)
                .at(self.shared(), parent, time_ns, |_, _| true)
        })
    }

    /// Forgets what was mapped before a time that nobody will ask about any more.
    pub fn forget_before(&self, time_ns: u64) {
        for slot in self.slots() {
            slot.change(|state| state.forget_before(time_ns));
        }
    }
}
