//! What keeps a directory in order: taking over what a former run has left, and removing what is too old, too much or damaged.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::SystemTime;

use super::directory::{self, Directory};
use super::index::Place;
use super::{Store, StoreCounts, name};

impl Store {
    /// Takes what is in the directory into the index.
    pub(super) fn take_over(&self, directory: &Directory) -> io::Result<()> {
        let files = directory.files()?;
        let mut foreign = 0;
        for file in files {
            match name::parse(&file.name) {
                Some(parts) => {
                    let place = Place::Disk { checked: false };
                    self.lock()
                        .index
                        .insert(&file.name, parts, file.bytes, place);
                }
                None => foreign += 1,
            }
        }
        if foreign > 0 {
            log::info!(
                "{} has {foreign} files that are no windows; they stay, and do not count against the size",
                self.path.display()
            );
        }
        self.check_newest(directory);
        Ok(())
    }

    /// Looks whether a power cut has damaged the newest windows: those of the newest time, and older ones as long as one of
    /// a time was damaged. All others are checked when they are read.
    fn check_newest(&self, directory: &Directory) {
        let windows = self.lock().index.newest_first();
        for group in windows.chunk_by(|one, other| one.started_at == other.started_at) {
            let mut was_damaged = false;
            for window in group {
                let Ok(bytes) = fs::read(directory.path().join(&*window.name)) else {
                    continue;
                };
                if directory::is_whole(&bytes) {
                    self.lock().index.set_on_disk(&window.name);
                } else {
                    self.remove_damaged(Some(directory), &window.name);
                    was_damaged = true;
                }
            }
            if !was_damaged {
                return;
            }
        }
    }

    /// Removes what is too old, and the oldest windows until there is room for `more` bytes.
    pub(super) fn retain(
        &self,
        directory: &Directory,
        now: SystemTime,
        more: u64,
    ) -> Result<(), String> {
        let expired = {
            let state = self.lock();
            state.index.expired(now, state.retain)
        };
        let mut stuck = HashSet::new();
        for name in expired {
            if self
                .remove(directory, &name, |counts| &mut counts.removed_by_age)
                .is_err()
            {
                stuck.insert(name);
            }
        }
        let mut refusal = None;
        loop {
            let first = {
                let state = self.lock();
                let bytes = state.index.disk().bytes.saturating_add(more);
                if bytes <= state.max_size {
                    return Ok(());
                }
                state.index.first_to_go(now, &stuck)
            };
            let Some(name) = first else {
                return Err(
                    refusal.unwrap_or_else(|| "windows on disk cannot be removed".to_owned())
                );
            };
            if let Err(cause) = self.remove(directory, &name, |counts| &mut counts.removed_by_size)
            {
                refusal = Some(format!(
                    "there is no room within the size, because {name} cannot be removed: {cause}"
                ));
                stuck.insert(name);
            }
        }
    }

    /// Removes a file, and counts it where it belongs.
    fn remove(
        &self,
        directory: &Directory,
        name: &str,
        count: fn(&mut StoreCounts) -> &mut u64,
    ) -> io::Result<()> {
        directory.remove(name)?;
        let mut state = self.lock();
        if state.index.remove(name).is_some() {
            *count(&mut state.counts) += 1;
        }
        Ok(())
    }

    pub(super) fn remove_damaged(&self, directory: Option<&Directory>, name: &str) {
        log::warn!(
            "the window {name} in {} is damaged and is removed",
            self.path.display()
        );
        if let Some(directory) = directory
            && self
                .remove(directory, name, |counts| &mut counts.damaged)
                .is_ok()
        {
            return;
        }
        let mut state = self.lock();
        if state.index.remove(name).is_some() {
            state.counts.damaged += 1;
        }
    }
}
