//! What is known of one process id, and reading it anew. Who may do that when is left to `slot`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::counters::add;
use super::error::is_gone;
use super::image::{Shared, Source, Started};
use super::maps::{Maps, parse_maps};
use super::procdir::ProcDir;
use super::timeline::{History, monotonic_ns};
use super::{ProcessError, Snapshot};

/// At most one part in so many of the time is spent on reading a process again or on following its news, as far as no sample needs
/// them.
pub(super) const READING_SHARE: u32 = 20;
/// Less time than this does not matter. A process with sixty thousand mappings takes ten to a hundred times as long, in which
/// events are lost.
const QUICK: Duration = Duration::from_millis(2);

/// What is known of one process id.
#[derive(Default, Debug)]
pub(super) struct State {
    pub(super) known: Known,
    /// What is known is not enough any more.
    pub(super) stale: bool,
    /// Events were lost that may have been of this process.
    pub(super) lost: bool,
    /// When it was last made sure that the process is the same.
    pub(super) checked: Option<Instant>,
    /// When the last reading ended, and how long it took.
    pub(super) read: Option<(Instant, Duration)>,
    /// The same of putting what was mapped since over what is known.
    pub(super) took_in: Option<(Instant, Duration)>,
    pub(super) history: History,
}

/// A process's mappings, or their absence.
#[derive(Clone, Default, Debug)]
pub(super) enum Known {
    #[default]
    Nothing,
    Gone,
    Snapshot(Arc<Snapshot>),
}

impl State {
    /// Whether what is known need not be looked at again yet: `is_told` if changes are told.
    pub(super) fn is_believed(&self, is_told: bool, recheck_after: Duration) -> bool {
        let is_recent = || self.checked.is_some_and(|at| at.elapsed() < recheck_after);
        !self.stale
            && match self.known {
                Known::Nothing => false,
                Known::Gone => is_recent(),
                Known::Snapshot(_) => is_told || is_recent(),
            }
    }

    /// What may have missed events is not enough any more, as soon as it may be read again.
    pub(super) fn note_losses(&mut self) {
        if self.lost && is_due(self.read) {
            (self.lost, self.stale) = (false, true);
        }
    }

    /// Whether what was mapped since may be put over what is known although nobody asks for an address there.
    pub(super) fn may_take_in(&self) -> bool {
        is_due(self.took_in)
    }

    /// Makes sure that what is known is still true, and reads anew if not.
    pub(super) fn look_again(
        &mut self,
        shared: &Arc<Shared>,
        pid: u32,
    ) -> Result<(), ProcessError> {
        let mut directory = match ProcDir::open(&shared.proc_root, pid) {
            Ok(directory) => Some(directory),
            Err(errno) if is_gone(errno) => None,
            Err(errno) => return Err(unreadable(shared, pid, errno)),
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
        let read_ns = monotonic_ns();
        let read = directory.as_mut().map_or(Err(Errno::SRCH), |directory| {
            self.read(shared, pid, directory)
        });
        match read {
            Ok(snapshot) if shared.is_told() => self.was_read(shared, pid, read_ns, snapshot),
            Ok(snapshot) => self.known = Known::Snapshot(Arc::new(snapshot)),
            Err(errno) if is_gone(errno) => {
                add(&shared.counters.gone, 1);
                // What was read while it lived is still the truth about it.
                if !matches!(self.known, Known::Snapshot(_)) {
                    self.known = Known::Gone;
                }
            }
            Err(errno) => return Err(unreadable(shared, pid, errno)),
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
        let (source, maps) = read_maps(shared, pid, self.history.parent, directory)?;
        let previous = self
            .known
            .snapshot()
            .filter(|previous| previous.is_of_one_started_at(directory.start_time()));
        if maps == Maps::default() && previous.is_some() {
            return Err(Errno::SRCH);
        }
        let auxv = directory.auxv().unwrap_or_default();
        Ok(Snapshot::new(
            source,
            maps,
            auxv,
            directory,
            previous.as_deref(),
        ))
    }
}

/// Whether what was done last then, and took so long, may be done again.
fn is_due(last: Option<(Instant, Duration)>) -> bool {
    last.is_none_or(|(at, took)| took < QUICK || at.elapsed() >= took.saturating_mul(READING_SHARE))
}

/// Reads the lines of a process that is there, and who it is.
pub(super) fn read_maps(
    shared: &Arc<Shared>,
    pid: u32,
    parent: Option<u32>,
    directory: &mut ProcDir,
) -> rustix::io::Result<(Arc<Source>, Maps)> {
    let start_time = directory.start_time();
    let maps = parse_maps(&directory.maps()?);
    add(&shared.counters.malformed_lines, maps.malformed);
    add(&shared.counters.empty_ranges, maps.empty);
    let source = Source {
        shared: Arc::clone(shared),
        pid,
        started: Started::At(start_time),
        parent,
    };
    Ok((Arc::new(source), maps))
}

/// Why the lines of a process that is there could not be read.
pub(super) fn unreadable(shared: &Shared, pid: u32, errno: Errno) -> ProcessError {
    add(&shared.counters.unreadable, 1);
    ProcessError::of(pid, errno)
}

impl Known {
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        match self {
            Self::Snapshot(snapshot) => Some(Arc::clone(snapshot)),
            Self::Nothing | Self::Gone => None,
        }
    }
}
