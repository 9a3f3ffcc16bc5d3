//! One process id of a resolver: who may read its mappings, and when they have to be read again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::image::Shared;
use super::state::{Known, READING_SHARE, State};
use super::timeline::Then;
use super::{ProcessError, Snapshot};
use crate::addr::ProcAddr;

/// The least time between two readings that are made because an address was not found.
const MIN_REFRESH: Duration = Duration::from_millis(1);

/// One process id.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Rises from slot to slot.
    pub(super) age: u64,
}

impl Slot {
    pub(super) fn new(age: u64) -> Self {
        Self {
            state: Mutex::default(),
            age,
        }
    }

    /// The process's mappings, read if they are not known; `None` when it has gone unseen.
    ///
    /// The lock is held while reading, so that of many threads that ask at once one reads and all get that.
    pub(super) fn get(
        &self,
        shared: &Arc<Shared>,
        pid: u32,
    ) -> Result<Option<Arc<Snapshot>>, ProcessError> {
        let mut state = self.lock();
        state.note_losses();
        if state.may_take_in() {
            state.take_in_all(shared, pid);
        }
        if !state.is_believed(shared.is_told(), shared.recheck_after) {
            state.look_again(shared, pid)?;
            state.checked = Some(Instant::now());
        }
        Ok(state.known.snapshot())
    }

    /// What the process had mapped at a time, as [`State::at`]; read if nothing is known.
    pub(super) fn at(
        &self,
        shared: &Arc<Shared>,
        pid: u32,
        time_ns: u64,
        is_needed: impl Fn(ProcAddr, ProcAddr) -> bool,
    ) -> Option<Arc<Snapshot>> {
        let then = self.lock().at(shared, pid, time_ns, is_needed);
        match then {
            Then::Known(snapshot) => snapshot,
            Then::Now => {
                let now = self.get(shared, pid).ok().flatten();
                // What was read may have begun after that time.
                match self.lock().at(shared, pid, time_ns, |_, _| false) {
                    Then::Known(snapshot) => snapshot,
                    Then::Now => now,
                }
            }
        }
    }

    /// What it had mapped at a time, if that is known without reading.
    pub(super) fn known_at(
        &self,
        shared: &Shared,
        pid: u32,
        time_ns: u64,
    ) -> Option<Arc<Snapshot>> {
        match self.lock().at(shared, pid, time_ns, |_, _| true) {
            Then::Known(snapshot) => snapshot,
            Then::Now => None,
        }
    }

    /// Whose copy of memory this is, if nothing else is known of it.
    pub(super) fn parent_of_unknown(&self) -> Option<u32> {
        let state = self.lock();
        match state.known {
            Known::Nothing | Known::Gone => state.history.parent,
            Known::Snapshot(_) => None,
        }
    }

    /// Does something with what is known.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    /// Has the mappings read again at the next call of [`Self::get`], unless that was done just now.
    pub(super) fn refresh(&self) {
        let mut state = self.lock();
        let may_read = state.read.is_none_or(|(at, took)| {
            at.elapsed() >= MIN_REFRESH.max(took.saturating_mul(READING_SHARE))
        });
        if may_read {
            state.stale = true;
        }
    }

    /// Has the mappings read again at the next call of [`Self::get`] if they do not have this address.
    pub(super) fn invalidate_addr(&self, address: ProcAddr) {
        let mut state = self.lock();
        let known = state.known.snapshot();
        if known.is_some_and(|snapshot| !snapshot.contains(address)) {
            state.stale = true;
        }
    }

    /// Whether nothing but the absence of the process is known.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.lock().known, Known::Gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is only ever replaced as a whole, so what a dead thread leaves is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
