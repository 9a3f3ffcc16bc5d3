//! Reading windows back.

use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use super::index::{Entry, Index, Place, StoredWindow};
use super::{Store, directory};

impl Store {
    /// The windows that overlap the time between `from` and `to`, by time; those in memory too.
    pub(crate) fn list(
        &self,
        from: Option<SystemTime>,
        to: Option<SystemTime>,
    ) -> Vec<StoredWindow> {
        self.lock().index.list(from, to)
    }

    /// The profile of a window. Only names from [`Self::list`] lead anywhere.
    pub(crate) fn read(&self, name: &str) -> Result<Arc<[u8]>, ReadError> {
        let entry = self.lock().index.get(name).cloned();
        let Some(Entry { window, place }) = entry else {
            return Err(ReadError::Unknown(name.to_owned()));
        };
        let checked = match place {
            Place::Memory(profile) => return Ok(profile),
            Place::Disk { checked } => checked,
        };
        // Names in the index have been made by `name::format`, or read back by `name::parse`: no path among them.
        let bytes = match fs::read(self.path.join(name)) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                self.forget(name);
                return Err(ReadError::Unknown(name.to_owned()));
            }
            Err(cause) => {
                return Err(ReadError::Io {
                    name: name.to_owned(),
                    cause,
                });
            }
        };
        if !checked || bytes.len() as u64 != window.bytes {
            if !directory::is_whole(&bytes) {
                self.remove_damaged(self.lock_directory().as_ref(), name);
                return Err(ReadError::Damaged(name.to_owned()));
            }
            self.lock().index.set_on_disk(name);
        }
        Ok(bytes.into())
    }

    fn forget(&self, name: &str) {
        let mut state = self.lock();
        if state.index.remove(name).is_some() {
            state.counts.vanished += 1;
        }
    }
}

impl Index {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Those that overlap the time between `from` and `to`, by time.
    pub(super) fn list(
        &self,
        from: Option<SystemTime>,
        to: Option<SystemTime>,
    ) -> Vec<StoredWindow> {
        let overlapping = self
            .entries
            .values()
            .map(|entry| &entry.window)
            .filter(|window| {
                from.is_none_or(|from| window.end() > from)
                    && to.is_none_or(|to| window.started_at < to)
            });
        overlapping.cloned().collect()
    }
}

/// Why a window cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// There is none of the name (any more).
    #[error("there is no window {0}; it was removed, or never was; ask for the list again")]
    Unknown(String),
    /// It is not whole. It has been removed.
    #[error(
        "the window {0} was damaged, as by a power cut, and has been removed; there is no other copy"
    )]
    Damaged(String),
    /// The file cannot be read.
    #[error("the window {name} cannot be read: {cause}; look at the disk it is on")]
    Io {
        /// The window.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
}
