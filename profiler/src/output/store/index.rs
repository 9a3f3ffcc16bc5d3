//! Which windows there are, on disk and in memory, and which have to go first. No files are touched here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::name::Parts;

/// A window that can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredWindow {
    /// Its name, which is that of its file.
    pub(crate) name: Arc<str>,
    /// When it began, in whole milliseconds.
    pub(crate) started_at: SystemTime,
    /// How long it was, in whole milliseconds.
    pub(crate) duration: Duration,
    /// The program that it is of, when windows are split; very long names are cut.
    pub(crate) program: Option<Arc<str>>,
    /// How many samples it has.
    pub(crate) samples: u64,
    /// The size of the profile, gzipped.
    pub(crate) bytes: u64,
}

impl StoredWindow {
    /// When it ended.
    pub(super) fn end(&self) -> SystemTime {
        self.started_at
            .checked_add(self.duration)
            .unwrap_or(self.started_at)
    }
}

/// Where a window is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Not written yet.
    Memory(Arc<[u8]>),
    /// In its file, which has been found whole or not been looked at.
    Disk {
        /// Whether it was written or read by this process.
        checked: bool,
    },
}

/// A window with its place.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) window: StoredWindow,
    pub(super) place: Place,
}

/// The windows by name, and with that by time.
#[derive(Default, Debug)]
pub(super) struct Index {
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
    /// The names of those in memory, which are few among many.
    waiting: BTreeSet<Arc<str>>,
    disk: Amount,
    memory: Amount,
}

/// A number of windows and their bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) windows: u64,
    pub(super) bytes: u64,
}

impl Index {
    pub(super) fn insert(&mut self, name: &str, parts: Parts, bytes: u64, place: Place) {
        let name: Arc<str> = name.into();
        self.remove(&name);
        let window = StoredWindow {
            name: Arc::clone(&name),
            started_at: parts.started_at,
            duration: parts.duration,
            program: parts.program,
            samples: parts.samples,
            bytes,
        };
        let amount = self.amount(&place);
        amount.windows += 1;
        amount.bytes += bytes;
        if matches!(place, Place::Memory(_)) {
            self.waiting.insert(Arc::clone(&name));
        }
        self.entries.insert(name, Entry { window, place });
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.waiting.remove(name);
        let amount = self.amount(&entry.place);
        amount.windows -= 1;
        amount.bytes -= entry.window.bytes;
        Some(entry)
    }

    /// Notes that a window is in its file now, or has been found whole there.
    pub(super) fn set_on_disk(&mut self, name: &str) {
        if let Some(Entry { window, .. }) = self.remove(name) {
            let parts = Parts {
                started_at: window.started_at,
                duration: window.duration,
                samples: window.samples,
                program: window.program,
            };
            self.insert(name, parts, window.bytes, Place::Disk { checked: true });
        }
    }

    /// Forgets everything on disk, as when the directory has gone, and says how many windows that were.
    pub(super) fn forget_disk(&mut self) -> u64 {
        let forgotten = self.disk.windows;
        self.entries
            .retain(|_, entry| matches!(entry.place, Place::Memory(_)));
        self.disk = Amount::default();
        forgotten
    }

    /// The oldest that is in memory only.
    pub(super) fn oldest_in_memory(&self) -> Option<(Arc<str>, Arc<[u8]>)> {
        let name = self.waiting.first()?;
        match &self.entries.get(name)?.place {
            Place::Memory(profile) => Some((Arc::clone(name), Arc::clone(profile))),
            Place::Disk { .. } => None,
        }
    }

    /// The first on disk to go when room is needed, except for those that cannot: what is of a time to come was written before
    /// the clock was set back, so it is older than whatever is written now; then what is oldest.
    pub(super) fn first_to_go(
        &self,
        now: SystemTime,
        stuck: &HashSet<Arc<str>>,
    ) -> Option<Arc<str>> {
        let on_disk = || {
            let windows = self.entries.values();
            let on_disk = windows.filter(|entry| matches!(entry.place, Place::Disk { .. }));
            on_disk
                .map(|entry| &entry.window)
                .filter(|window| !stuck.contains(&window.name))
        };
        let to_come = on_disk().rev().take_while(|window| window.started_at > now);
        let first = to_come.last().or_else(|| on_disk().next());
        first.map(|window| Arc::clone(&window.name))
    }

    /// Those on disk that ended longer than `retain` ago, oldest first.
    pub(super) fn expired(&self, now: SystemTime, retain: Duration) -> Vec<Arc<str>> {
        let Some(limit) = now.checked_sub(retain) else {
            return Vec::new();
        };
        let old = self.entries.values();
        let old = old.take_while(|entry| entry.window.started_at <= limit);
        let expired = old.filter(|entry| {
            matches!(entry.place, Place::Disk { .. }) && entry.window.end() <= limit
        });
        expired
            .map(|entry| Arc::clone(&entry.window.name))
            .collect()
    }

    /// All windows, newest first.
    pub(super) fn newest_first(&self) -> Vec<StoredWindow> {
        self.entries
            .values()
            .rev()
            .map(|entry| entry.window.clone())
            .collect()
    }

    pub(super) fn disk(&self) -> Amount {
        self.disk
    }

    pub(super) fn memory(&self) -> Amount {
        self.memory
    }

    /// Whether there is a window of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn amount(&mut self, place: &Place) -> &mut Amount {
        match place {
            Place::Memory(_) => &mut self.memory,
            Place::Disk { .. } => &mut self.disk,
        }
    }
}
