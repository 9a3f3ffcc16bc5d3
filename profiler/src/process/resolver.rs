//! From a process id and an address to a mapping, with what was read kept per process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::counters::{Counters, ResolverStats, Warning, add};
use super::image::Shared;
use super::mapping::Mapping;
use super::maps_line::MapsLine;
use super::slot::Slot;
use super::slow_files::SlowFiles;
use super::timeline::monotonic_ns;
use super::{ProcFs, ProcessError, Snapshot};
use crate::addr::ProcAddr;
use crate::binary::{BinaryCache, BinaryError, BuildId, open_regular};

/// As many processes are remembered at once. Whoever follows processes tells when they end, and never
/// comes near; for others the ones that were met first are forgotten.
const MAX_PROCESSES: usize = 1 << 15;

/// Knows the mappings of processes, each read when it is first asked about.
///
/// A process is known by its id and its start time, and read anew when another has got its id or it has
/// executed another program. That is looked after at most ten times a second; whoever learns of it earlier
/// says so with [`Self::invalidate`]. Whoever hears of everything that changes memory says so with
/// [`Self::follow_events`], and may then ask what was mapped at a time.
///
/// It can be used by several threads at once.
#[derive(Debug)]
pub struct Resolver {
    pub(super) shared: Arc<Shared>,
    slots: RwLock<HashMap<u32, Arc<Slot>>>,
    ages: AtomicU64,
}

impl Resolver {
    /// A resolver for the processes of this system.
    pub fn new() -> Self {
        Self::with_proc_root("/proc")
    }

    /// A resolver that finds the processes below another directory than `/proc`.
    pub fn with_proc_root(proc_root: impl Into<PathBuf>) -> Self {
        Self::with_times(
            proc_root.into(),
            Duration::from_millis(100),
            Duration::from_secs(1),
        )
    }

    pub(super) fn with_times(
        proc_root: PathBuf,
        recheck_after: Duration,
        retry_after: Duration,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                proc_root,
                binaries: BinaryCache::default(),
                slow_files: SlowFiles::default(),
                vdsos: Mutex::default(),
                counters: Counters::default(),
                warned: AtomicBool::new(false),
                told: AtomicBool::new(false),
                page_size: rustix::param::page_size() as u64,
                recheck_after,
                retry_after,
            }),
            slots: RwLock::default(),
            ages: AtomicU64::new(0),
        }
    }

    /// The mapping that has an address of a process; its binary is opened if that was not tried before.
    ///
    /// `None` when there is no such mapping or process, or when its mappings cannot be read, which is
    /// counted.
    pub fn lookup(&self, pid: u32, address: ProcAddr) -> Option<Arc<Mapping>> {
        self.snapshot(pid)?.lookup(address).map(Arc::clone)
    }

    /// The mappings of a process to look up several addresses in, without a lock for each.
    pub fn snapshot(&self, pid: u32) -> Option<Arc<Snapshot>> {
        self.slot(pid).get(&self.shared, pid).ok().flatten()
    }

    /// The executable mappings of a process, in the order of their addresses; none when there is no such
    /// process.
    ///
    /// # Errors
    ///
    /// The mappings cannot be read: rights or descriptors are missing. This is not remembered.
    pub fn mappings(&self, pid: u32) -> Result<Vec<Arc<Mapping>>, ProcessError> {
        let snapshot = self.slot(pid).get(&self.shared, pid)?;
        Ok(snapshot
            .map(|snapshot| snapshot.mappings().to_vec())
            .unwrap_or_default())
    }

    /// The mappings of a process, read again unless that was done just now; for an address that the last
    /// snapshot does not have.
    ///
    /// Addresses that lie nowhere are common where stacks are cut, so at most a twentieth of the time is
    /// spent reading per process, however often this is called. Of a process that has gone meanwhile, what
    /// was known stays known.
    pub fn refresh(&self, pid: u32) -> Option<Arc<Snapshot>> {
        let slot = self.slot(pid);
        slot.refresh();
        slot.get(&self.shared, pid).ok().flatten()
    }

    /// Forgets a process: it has executed another program, or it has ended and all its samples are done.
    pub fn invalidate(&self, pid: u32) {
        self.slots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pid);
    }

    /// Has the mappings of a process read again if the known ones do not have this address.
    pub fn invalidate_addr(&self, pid: u32, address: ProcAddr) {
        if let Some(slot) = self.known_slot(pid) {
            slot.invalidate_addr(address);
        }
    }

    /// Puts what the kernel has just mapped over what is known of a process, if anything is.
    ///
    /// This is for memory-mapping events. Unlike reading again, it is right about what was there when the
    /// event was written. Events about memory that is not executable matter as well: they replace.
    pub fn replace(&self, pid: u32, line: MapsLine) {
        if line.start < line.limit
            && let Some(slot) = self.known_slot(pid)
        {
            slot.change(|state| {
                state.mapped(&self.shared, pid, monotonic_ns(), line);
                state.take_in_all(&self.shared, pid);
            });
        }
    }

    /// The build-id of a file at a path of this process's own view; open files are shared with the mappings.
    ///
    /// # Errors
    ///
    /// As [`read_build_id`](crate::binary::read_build_id). Failures are not remembered.
    pub fn build_id(&self, path: &Path) -> Result<Option<BuildId>, BinaryError> {
        let (file, _) = open_regular(path)?;
        let binary = self.shared.binaries.get(file, path)?;
        Ok(binary.build_id().cloned())
    }

    /// Forgets all processes; binaries stay known. The resolver can be used on.
    pub fn close(&self) {
        self.slots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The process file system that the processes are found in.
    pub fn procfs(&self) -> ProcFs {
        ProcFs::with_root(&self.shared.proc_root)
    }

    /// What was done and missed so far.
    pub fn stats(&self) -> ResolverStats {
        ResolverStats {
            binaries_evicted: self.shared.binaries.evicted(),
            ..self.shared.counters.read()
        }
    }

    /// Waits, within reason, for the files that have been asked for and whose file systems have not answered yet. What has come
    /// by then is found by [`Mapping::binary`].
    pub fn settle(&self) {
        self.shared.slow_files.settle();
    }

    /// Something that a user should be told, given out once.
    pub fn take_warning(&self) -> Option<Warning> {
        let due =
            self.stats().map_files_denied > 0 && !self.shared.warned.swap(true, Ordering::Relaxed);
        due.then_some(Warning::MapFilesDenied)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.values().map(Arc::clone).collect()
    }

    pub(super) fn known_slot(&self, pid: u32) -> Option<Arc<Slot>> {
        self.slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&pid)
            .map(Arc::clone)
    }

    pub(super) fn slot(&self, pid: u32) -> Arc<Slot> {
        if let Some(slot) = self.known_slot(pid) {
            return slot;
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_PROCESSES && !slots.contains_key(&pid) {
            let before = slots.len();
            forget_some(&mut slots);
            let forgotten = (before - slots.len()) as u64;
            add(&self.shared.counters.forgotten, forgotten);
        }
        let slot = slots.entry(pid).or_insert_with(|| {
            let age = self.ages.fetch_add(1, Ordering::Relaxed);
            Arc::new(Slot::new(age))
        });
        Arc::clone(slot)
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes room: first without those that were not there at all, then without the older half.
fn forget_some(slots: &mut HashMap<u32, Arc<Slot>>) {
    slots.retain(|_, slot| !slot.is_gone());
    if slots.len() >= MAX_PROCESSES {
        let mut ages: Vec<u64> = slots.values().map(|slot| slot.age).collect();
        ages.sort_unstable();
        let middle = ages[ages.len() / 2];
        slots.retain(|_, slot| slot.age >= middle);
    }
}
