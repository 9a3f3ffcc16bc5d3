//! Windows on disk: one file each, kept for some time and up to some size, whatever the disk does.
//!
//! Files are the only state. What a store says of a window is in its name, so a restart needs no more than a list of the
//! directory. Files that are not of its own form are never touched and count nothing. What the profiles say is left to
//! [`crate::pprof`].

mod counts;
mod directory;
mod error;
mod index;
mod name;
mod reading;
#[cfg(test)]
mod tests;
mod upkeep;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub(crate) use counts::StoreCounts;
pub(crate) use error::StoreError;
pub(crate) use index::StoredWindow;
pub(crate) use reading::ReadError;

use super::Window;
use directory::Directory;
use index::{Index, Place};
use name::Parts;

/// Where windows are kept, how long, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoreSettings {
    /// The directory; made if it is not there.
    pub(crate) dir: PathBuf,
    /// Windows that ended longer ago are removed.
    pub(crate) retain: Duration,
    /// The most bytes that the files have together; the oldest are removed before a new one is written.
    pub(crate) max_size: u64,
    /// The most bytes of windows that are kept in memory while they cannot be written.
    pub(crate) backlog: u64,
}

/// The windows of one directory, which is locked as long as this lives.
pub(crate) struct Store {
    path: PathBuf,
    backlog: u64,
    /// Held while files are written and removed, which can take long. Taken before `state`.
    /// Nothing, when the directory has gone and cannot be made again.
    directory: Mutex<Option<Directory>>,
    /// Held for moments only.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    retain: Duration,
    max_size: u64,
    index: Index,
    counts: StoreCounts,
}

impl Store {
    /// Opens the directory, takes what a former run has left for its own, and removes what is unfinished, damaged by a crash,
    /// too old or too much.
    pub(crate) fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let directory = Directory::open(&settings.dir)?;
        match directory.try_out() {
            // It may have room again before the first window is there.
            Err(cause)
                if !matches!(
                    cause.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                return Err(StoreError::NotWritable {
                    directory: settings.dir,
                    cause,
                });
            }
            _ => {}
        }
        let state = State {
            retain: settings.retain,
            max_size: settings.max_size,
            ..State::default()
        };
        let store = Self {
            path: settings.dir,
            backlog: settings.backlog,
            directory: Mutex::new(None),
            state: Mutex::new(state),
        };
        store
            .take_over(&directory)
            .map_err(|cause| StoreError::Directory {
                directory: store.path.clone(),
                cause,
            })?;
        if let Err(cause) = store.retain(&directory, SystemTime::now(), 0) {
            log::warn!("{cause}");
        }
        *store.lock_directory() = Some(directory);
        Ok(store)
    }

    /// Keeps a window. If it cannot be written it stays in memory, up to the bound, until one of the next calls can.
    pub(crate) fn put(&self, window: Window) {
        self.put_at(window, SystemTime::now());
    }

    fn put_at(&self, window: Window, now: SystemTime) {
        let mut directory = self.lock_directory();
        let parts = Parts {
            started_at: window.started_at,
            duration: window.duration,
            samples: window.samples,
            program: window.program,
        };
        self.add(directory.as_ref(), &parts, window.profile);
        let result = self.write_all(&mut directory, now);
        self.note(result);
        self.bound_memory();
    }

    /// What has been done, and what there is.
    pub(crate) fn counts(&self) -> StoreCounts {
        let state = self.lock();
        let (disk, memory) = (state.index.disk(), state.index.memory());
        StoreCounts {
            on_disk: disk.windows,
            bytes: disk.bytes,
            in_memory: memory.windows,
            bytes_in_memory: memory.bytes,
            ..state.counts
        }
    }

    /// Other limits, which hold at once. Waits for the disk.
    pub(crate) fn set(&self, retain: Duration, max_size: u64) {
        let directory = self.lock_directory();
        {
            let mut state = self.lock();
            (state.retain, state.max_size) = (retain, max_size);
        }
        if let Some(directory) = &*directory {
            // What cannot be removed now is tried again before the next window is written.
            if let Err(cause) = self.retain(directory, SystemTime::now(), 0) {
                log::warn!("{cause}");
            }
        }
    }

    /// Takes a window into memory, from where it is written.
    fn add(&self, directory: Option<&Directory>, parts: &Parts, profile: Arc<[u8]>) {
        let name = self.free_name(directory, parts);
        let mut state = self.lock();
        let bytes = profile.len() as u64;
        if bytes > state.max_size {
            state.counts.too_large += 1;
            log::warn!(
                "a window of {bytes} bytes is larger than all windows may be together ({}), and lost; allow more: --max-size",
                state.max_size
            );
            return;
        }
        // What a restart reads from the name is said now already.
        let parts = name::parse(&name).unwrap_or_else(|| parts.clone());
        state
            .index
            .insert(&name, parts, bytes, Place::Memory(profile));
    }

    /// A name that no window has, nor a file of somebody else. The disk is asked while others may ask for numbers, as it may
    /// not answer.
    fn free_name(&self, directory: Option<&Directory>, parts: &Parts) -> String {
        let names = (1..u32::MAX).map(|number| name::format(parts, number));
        let mut free = names.filter(|name| {
            !self.lock().index.has(name) && !directory.is_some_and(|directory| directory.has(name))
        });
        free.next()
            .expect("no directory holds 2^32 files of one name")
    }

    /// Writes what is in memory, oldest first, until the disk refuses.
    fn write_all(&self, slot: &mut Option<Directory>, now: SystemTime) -> Result<(), String> {
        let directory = self.in_place(slot).map_err(|error| error.to_string())?;
        self.retain(directory, now, 0)?;
        loop {
            let Some((name, profile)) = self.lock().index.oldest_in_memory() else {
                return Ok(());
            };
            self.retain(directory, now, profile.len() as u64)?;
            directory.write(&name, &profile).map_err(|cause| {
                format!(
                    "no window can be written to {}: {cause}",
                    self.path.display()
                )
            })?;
            let mut state = self.lock();
            state.index.set_on_disk(&name);
            state.counts.written += 1;
        }
    }

    /// The directory, made again if it has gone.
    fn in_place<'a>(&self, slot: &'a mut Option<Directory>) -> Result<&'a Directory, StoreError> {
        if slot
            .as_ref()
            .is_some_and(|directory| !directory.is_in_place())
        {
            *slot = None;
            let mut state = self.lock();
            let vanished = state.index.forget_disk();
            state.counts.vanished += vanished;
            log::warn!(
                "{} was removed or replaced, and {vanished} windows with it; it is made again",
                self.path.display()
            );
        }
        if slot.is_none() {
            let directory = Directory::open(&self.path)?;
            self.take_over(&directory)
                .map_err(|cause| StoreError::Directory {
                    directory: self.path.clone(),
                    cause,
                })?;
            *slot = Some(directory);
        }
        Ok(slot.as_ref().expect("it was opened just now"))
    }

    /// Says once that writing pauses, and once that it goes on.
    fn note(&self, result: Result<(), String>) {
        let mut state = self.lock();
        match result {
            Err(cause) => {
                state.counts.failed_writes += 1;
                if !state.counts.is_paused {
                    log::error!(
                        "{cause}; writing pauses, and the latest windows stay in memory, up to {} bytes; free some space, or mend the disk",
                        self.backlog
                    );
                }
                state.counts.is_paused = true;
            }
            Ok(()) => {
                if state.counts.is_paused {
                    log::info!("windows are written to {} again", self.path.display());
                }
                state.counts.is_paused = false;
            }
        }
    }

    /// Drops the oldest windows in memory until the rest is within the bound.
    fn bound_memory(&self) {
        let mut state = self.lock();
        while state.index.memory().bytes > self.backlog {
            let Some((name, _)) = state.index.oldest_in_memory() else {
                return;
            };
            state.index.remove(&name);
            state.counts.dropped += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_directory(&self) -> MutexGuard<'_, Option<Directory>> {
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.counts().in_memory == 0 {
            return;
        }
        let mut directory = self.lock_directory();
        if let Err(cause) = self.write_all(&mut directory, SystemTime::now()) {
            let lost = self.lock().index.memory().windows;
            log::error!("{cause}; {lost} windows that were in memory only are lost");
        }
    }
}
