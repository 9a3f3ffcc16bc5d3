//! Open binaries, shared between all processes that have them mapped.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::fstat;

use super::{Binary, BinaryError, FileId};

/// Open binaries by file identity: each file is opened and parsed once, however many processes map it.
///
/// A binary that is in use elsewhere stays, since its descriptor is open anyway and a second copy would be
/// taken for another binary. Of the others at most the given number is kept, the last used ones. Failures
/// are not kept.
///
/// No more are open than leave this process the descriptors that it needs for other things.
#[derive(Debug)]
pub struct BinaryCache {
    entries: Mutex<Entries>,
    capacity: usize,
    most: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<FileId, Entry>,
    /// The newest binary of each device and inode, as `stat` names them and as `/proc/PID/maps` does: some file systems
    /// (btrfs, overlayfs) have two numbers for one device.
    by_inode: HashMap<(u64, u64), FileId>,
    clock: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    binary: Arc<Binary>,
    last_used: u64,
    /// The other name of its device and inode.
    alias: Option<(u64, u64)>,
}

impl BinaryCache {
    /// A cache that keeps at most `capacity` binaries which nobody else uses, and in all no more than what the limit of open files
    /// (`RLIMIT_NOFILE`) allows by now.
    pub fn new(capacity: usize) -> Self {
        Self::with_most(capacity, most_binaries())
    }

    pub(super) fn with_most(capacity: usize, most: usize) -> Self {
        Self {
            entries: Mutex::default(),
            capacity,
            most,
        }
    }

    /// The binary that this open file is; `path` is the name it gets if it was not known before.
    ///
    /// # Errors
    ///
    /// The file has no readable ELF and program headers, or too many are open.
    pub fn get(&self, file: File, path: &Path) -> Result<Arc<Binary>, BinaryError> {
        let id = FileId::from(&fstat(&file)?);
        if let Some(binary) = self.lock().find(id) {
            return Ok(binary);
        }
        if !self.has_room() {
            return Err(BinaryError::NoDescriptor);
        }
        // Read without the lock: a slow file system must not hold up everybody else.
        let binary = Arc::new(Binary::from_file(file, path)?);
        let mut entries = self.lock();
        if let Some(first) = entries.find(id) {
            return Ok(first);
        }
        entries.insert(id, &binary);
        entries.evict(self.capacity);
        Ok(binary)
    }

    /// The binary of a device and inode, if it is held and its content has not changed since.
    ///
    /// The number of an inode is not given away while a descriptor of it is open, and here one is.
    pub(crate) fn find_inode(&self, device: u64, inode: u64) -> Option<Arc<Binary>> {
        let binary = {
            let mut entries = self.lock();
            let id = *entries.by_inode.get(&(device, inode))?;
            entries.find(id)?
        };
        let now = FileId::from(&fstat(binary.file()).ok()?);
        (now == binary.id()).then_some(binary)
    }

    /// The same binary is known by another device and inode as well.
    pub(crate) fn learn_alias(&self, binary: &Binary, device: u64, inode: u64) {
        let (id, alias) = (binary.id(), (device, inode));
        if (id.device, id.inode) == alias {
            return;
        }
        let mut entries = self.lock();
        if let Some(entry) = entries.by_id.get_mut(&id)
            && let Some(old) = entry.alias.replace(alias).filter(|old| *old != alias)
        {
            entries.forget_inode(old, id);
        }
        entries.by_inode.insert(alias, id);
    }

    /// Whether one more may be open, after those that nobody uses have made room.
    fn has_room(&self) -> bool {
        let mut entries = self.lock();
        for unused in [self.capacity.min(self.most / 4), 0] {
            if entries.by_id.len() >= self.most {
                entries.evict(unused);
            }
        }
        entries.by_id.len() < self.most
    }

    /// How many binaries were closed to make room for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// How many binaries are held.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether no binary is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing is left half done when a thread dies here, so what it leaves is good.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the limit of open files leaves for binaries: the kernel's events take some for each CPU, and tables, threads and files that
/// are read a moment the rest.
fn most_binaries() -> usize {
    const OTHERS: u64 = 72;
    const FOR_EACH_CPU: u64 = 6;
    const LEAST: u64 = 16;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let others = OTHERS + FOR_EACH_CPU * cpus;
    let most = limit.map_or(u64::MAX, |limit| limit.saturating_sub(others).max(LEAST));
    most.try_into().unwrap_or(usize::MAX)
}

impl Default for BinaryCache {
    /// Keeps up to 256 unused binaries: the libraries of many short-lived processes, well below the usual
    /// limit of 1024 descriptors.
    fn default() -> Self {
        Self::new(256)
    }
}

impl Entries {
    fn find(&mut self, id: FileId) -> Option<Arc<Binary>> {
        self.clock += 1;
        let entry = self.by_id.get_mut(&id)?;
        entry.last_used = self.clock;
        Some(Arc::clone(&entry.binary))
    }

    fn insert(&mut self, id: FileId, binary: &Arc<Binary>) {
        self.clock += 1;
        let entry = Entry {
            binary: Arc::clone(binary),
            last_used: self.clock,
            alias: None,
        };
        self.by_id.insert(id, entry);
        self.by_inode.insert((id.device, id.inode), id);
    }

    fn evict(&mut self, capacity: usize) {
        let mut unused: Vec<(u64, FileId)> = self
            .by_id
            .iter()
            .filter(|(_, entry)| Arc::strong_count(&entry.binary) == 1)
            .map(|(id, entry)| (entry.last_used, *id))
            .collect();
        let excess = unused.len().saturating_sub(capacity);
        if excess > 0 {
            unused.sort_unstable();
            for (_, id) in &unused[..excess] {
                let entry = self.by_id.remove(id);
                self.evicted += 1;
                self.forget_inode((id.device, id.inode), *id);
                if let Some(alias) = entry.and_then(|entry| entry.alias) {
                    self.forget_inode(alias, *id);
                }
            }
        }
    }

    fn forget_inode(&mut self, inode: (u64, u64), id: FileId) {
        if self.by_inode.get(&inode) == Some(&id) {
            self.by_inode.remove(&inode);
        }
    }
}
