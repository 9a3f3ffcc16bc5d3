//! One process id of a resolver: who may read its mappings, and when they have to be read again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::image::Shared;
use super::maps_line::MapsLine;
use super::procdir::ProcDir;
use super::state::{Known, State};
use super::{ProcessError, Snapshot};
use crate::addr::ProcAddr;

/// The least time between two readings that are made because an address was not found.
const MIN_REFRESH: Duration = Duration::from_millis(1);
/// At most one part in so many of the time is spent on such readings, per process.
const REFRESH_SHARE: u32 = 20;

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
        if !state.is_believed(shared.recheck_after) {
            state.look_again(shared, pid)?;
            state.checked = Some(Instant::now());
        }
        Ok(state.known.snapshot())
    }

    /// Has the mappings read again at the next call of [`Self::get`], unless that was done just now.
    pub(super) fn refresh(&self) {
        let mut state = self.lock();
        let may_read = state.read.is_none_or(|(at, took)| {
            at.elapsed() >= MIN_REFRESH.max(took.saturating_mul(REFRESH_SHARE))
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

    /// Puts a new mapping over what is known.
    pub(super) fn replace(&self, shared: &Shared, pid: u32, line: MapsLine) {
        let mut state = self.lock();
        if let Known::Snapshot(snapshot) = &state.known {
            let directory = ProcDir::open(&shared.proc_root, pid)
                .ok()
                .filter(|directory| directory.start_time() == snapshot.start_time());
            let replaced = snapshot.replace(line, directory.as_ref());
            state.known = Known::Snapshot(Arc::new(replaced));
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
