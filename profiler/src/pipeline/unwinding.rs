//! Keeps the kernel's tables for unwinding in step with the processes: rows of each binary once, mappings of each
//! process whenever they change.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use profiler_common::{MAX_USER_FRAMES, MappingRun, Memory, Registers, Rule, Stop};

use super::in_force::InForce;
use super::row_maker::{Made, RowMaker};
use super::{monotonic_ns, runs};
use crate::addr::ProcAddr;
use crate::binary::{Binary, FileId};
use crate::process::Snapshot;
use crate::sampler::{StackCopy, TableError, Tables};
use crate::unwind::{self, Published, Stack, Table};

/// How long to wait for rows when nothing can go on without them. The largest library known takes a twentieth of this
/// from a slow disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is in the kernel's tables, and for whom.
#[derive(Debug)]
pub(super) struct Unwinding {
    /// Whether the kernel walks by tables at all.
    wanted: bool,
    pub(super) maker: RowMaker,
    pub(super) binaries: HashMap<FileId, Loaded>,
    processes: HashMap<u32, Known>,
    /// What walks went by, and when.
    pub(super) in_force: InForce,
    /// Order of use of binaries.
    clock: u64,
    pub(super) counts: Counts,
    /// How often there was no room for tables and for mappings when notes were taken last.
    noted: (u64, u64),
}

/// What was done and what could not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// Rows that were made.
    pub(super) rows: u64,
    /// Binaries that rows were made of.
    pub(super) binaries: u64,
    /// Binaries whose rows were taken out of the tables to make room.
    pub(super) evicted: u64,
    /// Times that only those mappings of a process had room that have rows.
    pub(super) crowded: u64,
    /// Times that there was no room left for something.
    pub(super) full: u64,
    /// Time that making rows took.
    pub(super) time: Duration,
}

/// A process in the tables.
#[derive(Debug)]
struct Known {
    snapshot: Arc<Snapshot>,
    binaries: Vec<FileId>,
    /// Some of what is mapped there has not come yet.
    waits: bool,
}

/// A binary in the tables, or on its way there.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Its rows stay although nobody has it open any more.
    pub(super) binary: Weak<Binary>,
    pub(super) stage: Stage,
    pub(super) processes: u32,
    pub(super) last_used: u64,
}

/// How far a binary is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its rows are being made.
    Asked,
    /// Its rows are in the tables; the rule is for where it has none.
    Published(Published, Rule),
    /// It has no rows; this rule is for all of it.
    NoRows(Rule),
    /// There was no room for its rows.
    NoRoom,
}

impl Unwinding {
    /// Nothing in the tables yet; nothing ever if they are not wanted.
    pub(super) fn new(wanted: bool) -> rustix::io::Result<Self> {
        Ok(Self {
            wanted,
            maker: RowMaker::new()?,
            binaries: HashMap::new(),
            processes: HashMap::new(),
            in_force: InForce::default(),
            clock: 0,
            counts: Counts::default(),
            noted: (0, 0),
        })
    }

    /// Sees to it that walks of this process use what the snapshot says, each binary as soon as its rows are there. Until
    /// then the kernel sends copies of stacks that lead through it.
    pub(super) fn update(&mut self, pid: u32, snapshot: &Arc<Snapshot>, tables: &mut Tables) {
        let is_same = |known: &Known| Arc::ptr_eq(&known.snapshot, snapshot) && !known.waits;
        if !self.wanted || self.processes.get(&pid).is_some_and(is_same) {
            return;
        }
        let binaries = self.use_binaries(snapshot);
        let known = Known {
            snapshot: Arc::clone(snapshot),
            binaries,
            waits: snapshot.waits_for_files(),
        };
        if let Some(old) = self.processes.insert(pid, known) {
            self.release_users(&old.binaries);
        }
        self.publish_process(pid, tables);
    }

    /// Has the rows made of all that is mapped in a snapshot, for walks of copied stacks.
    pub(super) fn ask_for(&mut self, snapshot: &Snapshot) {
        if self.wanted {
            let binaries = self.use_binaries(snapshot);
            self.release_users(&binaries);
        }
    }

    /// A child goes by its parent's tables from its first moment on.
    pub(super) fn forked(&mut self, parent: u32, child: u32, time_ns: u64) {
        self.in_force.copy(parent, child, time_ns);
    }

    /// The kernel side has forgotten the tables of a process, which runs another program.
    pub(super) fn executed(&mut self, pid: u32, time_ns: u64) {
        self.in_force.set(pid, time_ns, None);
        // Perhaps what was published since was made of the old program.
        if let Some(known) = self.processes.remove(&pid) {
            self.release_users(&known.binaries);
        }
    }

    /// Forgets a process that has ended.
    pub(super) fn remove(&mut self, pid: u32, tables: &mut Tables) {
        self.in_force.remove(pid);
        // Also of one that has run another program since, which nothing is known of here any more.
        tables.remove_process(pid);
        if let Some(known) = self.processes.remove(&pid) {
            self.release_users(&known.binaries);
            self.ask_again();
            self.forget_unused(tables);
        }
    }

    /// Publishes the rows that have been made by now, and the processes that were waiting for them.
    pub(super) fn take_made(&mut self, tables: &mut Tables) {
        let made = self.maker.take_made();
        self.publish(made, tables);
    }

    /// Waits until all rows that were asked for are published, within reason.
    pub(super) fn wait(&mut self, tables: &mut Tables) {
        let deadline = Instant::now() + PATIENCE;
        while self.maker.outstanding() > 0 {
            let made = self.maker.wait(deadline);
            if made.is_empty() && Instant::now() >= deadline {
                log::warn!(
                    "the unwind rows of {} binaries took too long; their stacks may be cut",
                    self.maker.outstanding()
                );
                return;
            }
            self.publish(made, tables);
        }
    }

    /// Ends the threads that make rows, until there are rows to be made again.
    pub(super) fn dismiss_threads(&mut self) {
        self.maker.dismiss();
    }

    /// Whether the rows of all that is mapped there have been made, as far as they can be.
    pub(super) fn is_ready(&self, snapshot: &Snapshot) -> bool {
        let mut binaries = snapshot.mappings().iter().filter_map(|all| all.binary());
        binaries.all(|binary| {
            let loaded = self.binaries.get(&binary.id());
            !loaded.is_some_and(|loaded| matches!(loaded.stage, Stage::Asked))
        })
    }

    /// Walks a copied stack as the kernel would have, with what was mapped then.
    pub(super) fn walk(&self, copy: &StackCopy, snapshot: &Snapshot, tables: &Tables) -> Stack {
        self.walk_in(copy.registers, &mut &*copy, snapshot, tables)
    }

    /// The same in any memory.
    pub(super) fn walk_in(
        &self,
        registers: Registers,
        memory: &mut impl Memory,
        snapshot: &Snapshot,
        tables: &Tables,
    ) -> Stack {
        let runs = self.runs(snapshot);
        let rule_at = |registers: &Registers| tables.rule_at(&runs, ProcAddr(registers.lookup()));
        let mut stack = unwind::walk(registers, MAX_USER_FRAMES, rule_at, memory);
        // What asks the kernel for a copy is no answer to one that could not wait.
        if stack.stop == Stop::NoMapping && !self.is_ready(snapshot) {
            stack.stop = Stop::NoTable;
        }
        stack
    }

    /// What a user should know, one sentence each.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let (full, crowded) = (self.counts.full, self.counts.crowded);
        let before = std::mem::replace(&mut self.noted, (full, crowded));
        let (full, crowded) = (full - before.0, crowded - before.1);
        let mut notes = Vec::new();
        if full > 0 {
            notes.push(format!(
                "there was no room for unwind tables {full} times, so some stacks are cut; give them more: --unwind-memory"
            ));
        }
        if crowded > 0 {
            notes.push(format!(
                "there was no room for all mappings of a process {crowded} times, so its code without unwind rows was walked as if it \
                 was in no mapping"
            ));
        }
        notes
    }

    /// What was done so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts a process as a user of all that it has mapped, and has rows made of what is new.
    fn use_binaries(&mut self, snapshot: &Snapshot) -> Vec<FileId> {
        self.clock += 1;
        let mut ids = Vec::new();
        for mapping in snapshot.mappings() {
            let (Some(binary), Some(_)) = (mapping.binary(), mapping.load_bias()) else {
                continue;
            };
            let loaded = self.binaries.entry(binary.id()).or_insert_with(|| {
                self.maker.ask(binary);
                Loaded {
                    binary: Weak::new(),
                    stage: Stage::Asked,
                    processes: 0,
                    last_used: 0,
                }
            });
            loaded.binary = Arc::downgrade(binary);
            loaded.last_used = self.clock;
            // Counted at once: the next binary of this process may need room, and must not take it from this one.
            loaded.processes += 1;
            ids.push(binary.id());
        }
        ids
    }

    fn release_users(&mut self, binaries: &[FileId]) {
        for id in binaries {
            if let Some(loaded) = self.binaries.get_mut(id) {
                loaded.processes = loaded.processes.saturating_sub(1);
            }
        }
    }

    fn publish(&mut self, made: Vec<Made>, tables: &mut Tables) {
        let mut users = HashSet::new();
        for made in made {
            let id = made.id;
            self.counts.time += made.time;
            self.counts.binaries += 1;
            self.counts.rows += made.rows;
            let stage = match &made.table {
                Some(table) => self.publish_table(table, made.gap, tables),
                None => Stage::NoRows(made.gap),
            };
            if let Some(loaded) = self.binaries.get_mut(&id) {
                loaded.stage = stage;
            }
            let with_it = self.processes.iter();
            let with_it = with_it.filter(|(_, known)| known.binaries.contains(&id));
            users.extend(with_it.map(|(pid, _)| *pid));
        }
        for pid in users {
            self.publish_process(pid, tables);
        }
    }

    /// Has the kernel walk a process by the rows that are there.
    fn publish_process(&mut self, pid: u32, tables: &mut Tables) {
        let Some(known) = self.processes.get(&pid) else {
            return;
        };
        let mut runs = self.runs(&known.snapshot);
        let mut result = tables.set_process(pid, &runs, true);
        if result.is_err() {
            // What a compiler at run time wrote can be in any number of mappings, and is walked by frame pointers anyway.
            let all = runs.len();
            runs.retain(|run| run.rule == 0);
            if runs.len() < all {
                result = tables.set_process(pid, &runs, false);
                self.counts.crowded += u64::from(result.is_ok());
            }
        }
        if let Err(error) = result {
            log::debug!("process {pid} is walked by frame pointers only: {error}");
            self.counts.full += 1;
        } else {
            let snapshot = Arc::clone(&known.snapshot);
            self.in_force.set(pid, monotonic_ns(), Some(snapshot));
        }
    }

    /// What the walk needs to know of all that is mapped in a process.
    fn runs(&self, snapshot: &Snapshot) -> Vec<MappingRun> {
        runs::of_process(snapshot, |id| Some(&self.binaries.get(&id)?.stage))
    }

    /// Puts the rows of a binary into the tables, in the place of others if need be.
    fn publish_table(&mut self, table: &Table, gap: Rule, tables: &mut Tables) -> Stage {
        loop {
            let result = table.publish(tables);
            tables.settle(result.is_ok());
            match result {
                Ok(published) => return Stage::Published(published, gap),
                Err(TableError::Full(what)) if self.evict(tables) => {
                    log::debug!(
                        "the table of {what} was full; rows of a binary not in use were taken out"
                    );
                }
                Err(error) => {
                    log::debug!("no room for the rows of a binary: {error}");
                    self.counts.full += 1;
                    return Stage::NoRoom;
                }
            }
        }
    }
}

impl AsFd for Unwinding {
    /// Readable when rows have been made.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.maker.as_fd()
    }
}
