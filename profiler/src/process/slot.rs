//! What a resolver knows of one process id, and when it has to look again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::counters::add;
use super::error::is_gone;
use super::image::{Shared, Source};
use super::maps::{MapsLine, parse_maps};
use super::procdir::ProcDir;
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

#[derive(Default, Debug)]
struct State {
    known: Known,
    /// What is known is not enough any more.
    stale: bool,
    /// When it was last made sure that the process is the same.
    checked: Option<Instant>,
    /// When the last reading ended, and how long it took.
    read: Option<(Instant, Duration)>,
}

#[derive(Clone, Default, Debug)]
enum Known {
    #[default]
    Nothing,
    Gone,
    Snapshot(Arc<Snapshot>),
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

impl State {
    fn is_believed(&self, recheck_after: Duration) -> bool {
        !self.stale
            && !matches!(self.known, Known::Nothing)
            && self.checked.is_some_and(|at| at.elapsed() < recheck_after)
    }

    /// Makes sure that what is known is still true, and reads anew if not.
    fn look_again(&mut self, shared: &Arc<Shared>, pid: u32) -> Result<(), ProcessError> {
        let mut directory = match ProcDir::open(&shared.proc_root, pid) {
            Ok(directory) => Some(directory),
            Err(errno) if is_gone(errno) => None,
            Err(errno) => return Err(self.unreadable(shared, pid, errno)),
        };
        let unchanged = !self.stale
            && match (&self.known, &directory) {
                (Known::Nothing, _) => false,
                (Known::Gone, directory) => directory.is_none(),
                (Known::Snapshot(snapshot), Some(directory)) => snapshot.is_of(directory),
                (Known::Snapshot(_), None) => true,
            };
        if unchanged {
            return Ok(());
        }
        add(&shared.counters.populates, 1);
        let began = Instant::now();
        let read = directory.as_mut().map_or(Err(Errno::SRCH), |directory| {
            self.read(shared, pid, directory)
        });
        match read {
            Ok(snapshot) => self.known = Known::Snapshot(Arc::new(snapshot)),
            Err(errno) if is_gone(errno) => {
                add(&shared.counters.gone, 1);
                // What was read while it lived is still the truth about it.
                if !matches!(self.known, Known::Snapshot(_)) {
                    self.known = Known::Gone;
                }
            }
            Err(errno) => return Err(self.unreadable(shared, pid, errno)),
        }
        self.stale = false;
        self.read = Some((Instant::now(), began.elapsed()));
        Ok(())
    }

    /// Reads the mappings; a process that is about to end has none any more and counts as gone, if some
    /// were known.
    fn read(
        &self,
        shared: &Arc<Shared>,
        pid: u32,
        directory: &mut ProcDir,
    ) -> rustix::io::Result<Snapshot> {
        let start_time = directory.start_time();
        let text = directory.maps()?;
        let previous = self
            .known
            .snapshot()
            .filter(|previous| previous.start_time() == start_time);
        if text.is_empty() && previous.is_some() {
            return Err(Errno::SRCH);
        }
        let maps = parse_maps(&text);
        add(&shared.counters.malformed_lines, maps.malformed);
        add(&shared.counters.empty_ranges, maps.empty);
        let source = Arc::new(Source {
            shared: Arc::clone(shared),
            pid,
            start_time,
        });
        let auxv = directory.auxv().unwrap_or_default();
        Ok(Snapshot::new(
            source,
            maps,
            auxv,
            directory,
            previous.as_deref(),
        ))
    }

    fn unreadable(&self, shared: &Shared, pid: u32, errno: Errno) -> ProcessError {
        add(&shared.counters.unreadable, 1);
        match errno {
            Errno::ACCESS | Errno::PERM => ProcessError::Denied { pid },
            errno => ProcessError::Io {
                pid,
                source: errno.into(),
            },
        }
    }
}

impl Known {
    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        match self {
            Self::Snapshot(snapshot) => Some(Arc::clone(snapshot)),
            Self::Nothing | Self::Gone => None,
        }
    }
}
