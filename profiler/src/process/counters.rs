//! What a resolver has done and missed. Deciding what of it a user should read is left to the caller.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`Resolver`](super::Resolver) has done and missed since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ResolverStats {
    /// How often the mappings of a process were read, or tried to be.
    pub populates: u64,
    /// Of these, how often the process had gone.
    pub gone: u64,
    /// Of these, how often reading failed in another way.
    pub unreadable: u64,
    /// Lines of maps files that are not as the kernel writes them.
    pub malformed_lines: u64,
    /// Lines of maps files with an empty range.
    pub empty_ranges: u64,
    /// How often the binary of a mapping was found.
    pub opened: u64,
    /// How often it was not; [`Mapping::binary_error`](super::Mapping::binary_error) says why.
    pub not_opened: u64,
    /// How often a `map_files` link was refused for want of rights.
    pub map_files_denied: u64,
    /// How often all processes had to be read again, because events were lost.
    pub resynchronized: u64,
    /// Processes that were forgotten to make room for others.
    pub forgotten: u64,
    /// Binaries that were closed to make room for others; they are opened again when they are met again.
    pub binaries_evicted: u64,
}

impl ResolverStats {
    /// What has been done and missed since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            populates: self.populates - before.populates,
            gone: self.gone - before.gone,
            unreadable: self.unreadable - before.unreadable,
            malformed_lines: self.malformed_lines - before.malformed_lines,
            empty_ranges: self.empty_ranges - before.empty_ranges,
            opened: self.opened - before.opened,
            not_opened: self.not_opened - before.not_opened,
            map_files_denied: self.map_files_denied - before.map_files_denied,
            resynchronized: self.resynchronized - before.resynchronized,
            forgotten: self.forgotten - before.forgotten,
            binaries_evicted: self.binaries_evicted - before.binaries_evicted,
        }
    }
}

/// Something that makes results worse and that a user can do something about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// Links in `/proc/PID/map_files` may not be followed.
    MapFilesDenied,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MapFilesDenied => f.write_str(
                "not allowed to open files through /proc/PID/map_files, so deleted and replaced files \
                 stay without build-id and names: run as root or with the capability \
                 CAP_CHECKPOINT_RESTORE (CAP_SYS_ADMIN before Linux 5.9)",
            ),
        }
    }
}

/// The counters behind [`ResolverStats`], counted by any thread.
#[derive(Default, Debug)]
pub(super) struct Counters {
    pub(super) populates: AtomicU64,
    pub(super) gone: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) malformed_lines: AtomicU64,
    pub(super) empty_ranges: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) not_opened: AtomicU64,
    pub(super) map_files_denied: AtomicU64,
    pub(super) resynchronized: AtomicU64,
    pub(super) forgotten: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> ResolverStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ResolverStats {
            populates: read(&self.populates),
            gone: read(&self.gone),
            unreadable: read(&self.unreadable),
            malformed_lines: read(&self.malformed_lines),
            empty_ranges: read(&self.empty_ranges),
            opened: read(&self.opened),
            not_opened: read(&self.not_opened),
            map_files_denied: read(&self.map_files_denied),
            resynchronized: read(&self.resynchronized),
            forgotten: read(&self.forgotten),
            binaries_evicted: 0,
        }
    }
}

/// Adds to a counter; they are only ever summed up, so no order between them is needed.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
