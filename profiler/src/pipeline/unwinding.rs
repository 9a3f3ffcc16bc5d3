//! Keeps the kernel's tables for unwinding in step with the processes: rows of each binary once, mappings of each
//! process whenever they change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use profiler_common::{MAX_USER_FRAMES, MappingRun, PAGE_SHIFT, Rule};

use crate::addr::{CodeAddr, ElfAddr, ProcAddr};
use crate::binary::{Binary, FileId};
use crate::process::{Mapping, MappingKind, Snapshot};
use crate::sampler::{Sample, StackCopy, TableError, Tables};
use crate::unwind::{self, Published, PublishedRegion, Table};

/// What is in the kernel's tables, and for whom.
#[derive(Debug)]
pub(super) struct Unwinding {
    /// Whether the kernel walks by tables at all.
    wanted: bool,
    binaries: HashMap<FileId, Loaded>,
    processes: HashMap<u32, Known>,
    /// Order of use of binaries.
    clock: u64,
    counts: Counts,
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
}

/// A binary in the tables.
#[derive(Debug)]
struct Loaded {
    /// Where its rows are; `None` if it has none.
    published: Option<Published>,
    /// The rule where it has no rows.
    gap: Rule,
    processes: u32,
    last_used: u64,
}

impl Unwinding {
    /// Nothing in the tables yet; nothing ever if they are not wanted.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            binaries: HashMap::new(),
            processes: HashMap::new(),
            clock: 0,
            counts: Counts::default(),
        }
    }

    /// Sees to it that walks of this process use what the snapshot says.
    pub(super) fn update(&mut self, pid: u32, snapshot: &Arc<Snapshot>, tables: &mut Tables) {
        let known = self.processes.get(&pid);
        if !self.wanted || known.is_some_and(|known| Arc::ptr_eq(&known.snapshot, snapshot)) {
            return;
        }
        let mut runs = Vec::new();
        let mut binaries = Vec::new();
        for mapping in snapshot.mappings() {
            self.add_runs(mapping, tables, &mut runs, &mut binaries);
        }
        if let Err(error) = tables.set_process(pid, &runs) {
            log::debug!("process {pid} is walked by frame pointers only: {error}");
            self.counts.full += 1;
        }
        let known = Known {
            snapshot: Arc::clone(snapshot),
            binaries,
        };
        if let Some(old) = self.processes.insert(pid, known) {
            self.release_users(&old.binaries);
        }
    }

    /// Forgets a process that has ended.
    pub(super) fn remove(&mut self, pid: u32, tables: &mut Tables) {
        if let Some(known) = self.processes.remove(&pid) {
            tables.remove_process(pid);
            self.release_users(&known.binaries);
        }
    }

    /// What a user should know, one sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.counts.full > 0 {
            notes.push(format!(
                "there was no room for unwind tables {} times, so some stacks are cut; give them more: --unwind-memory",
                self.counts.full
            ));
        }
        notes
    }

    /// What was done so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    fn release_users(&mut self, binaries: &[FileId]) {
        for id in binaries {
            if let Some(loaded) = self.binaries.get_mut(id) {
                loaded.processes = loaded.processes.saturating_sub(1);
            }
        }
    }

    /// Appends the runs of one mapping: the parts that have rows, and one rule for each part that has not.
    fn add_runs(
        &mut self,
        mapping: &Mapping,
        tables: &mut Tables,
        runs: &mut Vec<MappingRun>,
        binaries: &mut Vec<FileId>,
    ) {
        let whole = |rule: Rule| MappingRun {
            start: mapping.start.0,
            limit: mapping.limit.0,
            rule: rule.bits(),
            ..MappingRun::default()
        };
        let (Some(binary), Some(bias)) = (mapping.binary(), mapping.load_bias()) else {
            // Code that no file has was written by a JIT, which usually keeps frame pointers.
            let rule = match mapping.kind {
                MappingKind::Anonymous | MappingKind::Memfd => Rule::NO_CFI,
                _ => Rule::NO_TABLE,
            };
            runs.push(whole(rule));
            return;
        };
        self.clock += 1;
        let clock = self.clock;
        let loaded = self.load(binary, tables);
        loaded.last_used = clock;
        // Counted at once: the next binary of this process may need room, and must not take it from this one.
        loaded.processes += 1;
        binaries.push(binary.id());
        let gap = loaded.gap;
        let Some(published) = &loaded.published else {
            runs.push(whole(gap));
            return;
        };
        let mut at = mapping.start.0;
        for region in &published.regions {
            let start = region.start.0.wrapping_add(bias).max(at);
            let limit = region.end.0.wrapping_add(bias).min(mapping.limit.0);
            if start >= limit {
                continue;
            }
            if at < start {
                runs.push(MappingRun {
                    limit: start,
                    start: at,
                    ..whole(gap)
                });
            }
            runs.push(MappingRun {
                start,
                limit,
                bias,
                rule: 0,
                page_base: page_base(region),
                reserved: 0,
            });
            at = limit;
        }
        if at < mapping.limit.0 {
            runs.push(MappingRun {
                start: at,
                ..whole(gap)
            });
        }
    }

    /// The binary's place in the tables, made now if it has none.
    fn load(&mut self, binary: &Binary, tables: &mut Tables) -> &mut Loaded {
        let id = binary.id();
        if !self.binaries.contains_key(&id) {
            let loaded = self.make(binary, tables);
            self.binaries.insert(id, loaded);
        }
        self.binaries.entry(id).or_insert_with(Loaded::nothing)
    }

    fn make(&mut self, binary: &Binary, tables: &mut Tables) -> Loaded {
        let began = Instant::now();
        let rows = match unwind::for_binary(binary) {
            Ok(rows) => rows,
            Err(error) => {
                log::debug!("no unwind rows of {}: {error}", binary.path().display());
                return Loaded::nothing();
            }
        };
        let table = Table::new(&rows);
        self.counts.time += began.elapsed();
        self.counts.binaries += 1;
        self.counts.rows += rows.len() as u64;
        let mut loaded = Loaded {
            published: None,
            gap: rows.gap(),
            ..Loaded::nothing()
        };
        if rows.is_empty() {
            return loaded;
        }
        loop {
            let result = table.publish(tables);
            tables.settle(result.is_ok());
            match result {
                Ok(published) => {
                    loaded.published = Some(published);
                    return loaded;
                }
                Err(TableError::Full(what)) if self.evict(tables) => {
                    log::debug!(
                        "the table of {what} was full; rows of a binary not in use were taken out"
                    );
                }
                Err(error) => {
                    log::debug!(
                        "no room for the rows of {}: {error}",
                        binary.path().display()
                    );
                    self.counts.full += 1;
                    loaded.gap = Rule::NO_TABLE;
                    return loaded;
                }
            }
        }
    }

    /// Takes the rows of the binary out of the tables that no process uses and that was used longest ago.
    fn evict(&mut self, tables: &mut Tables) -> bool {
        let unused = self
            .binaries
            .iter()
            .filter(|(_, loaded)| loaded.processes == 0 && loaded.published.is_some())
            .min_by_key(|(_, loaded)| loaded.last_used)
            .map(|(id, _)| *id);
        let Some(loaded) = unused.and_then(|id| self.binaries.remove(&id)) else {
            return false;
        };
        if let Some(published) = &loaded.published {
            tables.release(published);
        }
        self.counts.evicted += 1;
        true
    }
}

/// Walks a copied stack as the kernel would have, with the tables as they are now.
pub(super) fn walk(copy: StackCopy, tables: &Tables) -> Sample {
    let StackCopy {
        registers,
        sample: Sample { pid, .. },
        ..
    } = copy;
    let stack = unwind::walk(
        registers,
        MAX_USER_FRAMES,
        |address| tables.rule_at(pid, address),
        &mut &copy,
    );
    Sample {
        user: stack.frames,
        stop: stack.stop,
        ..copy.sample
    }
}

/// What is known of a copied stack without walking it: the frame that was interrupted.
pub(super) fn innermost_only(copy: StackCopy) -> Sample {
    Sample {
        user: vec![CodeAddr::Exact(ProcAddr(copy.registers.ip))],
        ..copy.sample
    }
}

impl Loaded {
    fn nothing() -> Self {
        Self {
            published: None,
            gap: Rule::NO_TABLE,
            processes: 0,
            last_used: 0,
        }
    }
}

/// What is to be added to the number of a page of the file's addresses to get its entry in the page index.
fn page_base(region: &PublishedRegion) -> u32 {
    let ElfAddr(start) = region.start;
    region.first_page.wrapping_sub((start >> PAGE_SHIFT) as u32)
}
