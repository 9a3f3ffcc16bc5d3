//! The mappings of one process at one time, to be searched without locks.

use std::sync::Arc;

use super::OpenError;
use super::image::{Shared, Source, Started};
use super::layout;
use super::main_binary::{MappedFile, main_file};
use super::mapping::Mapping;
use super::maps::Maps;
use super::maps_line::MapsLine;
use super::name::is_ambiguous;
use super::procdir::ProcDir;
use crate::addr::{FileOffset, ProcAddr};

/// The mappings of one process at one time.
///
/// Looking up is a binary search without a lock: get the snapshot once per sample with
/// [`Resolver::snapshot`](super::Resolver::snapshot), then look up each frame in it.
#[derive(Debug)]
pub struct Snapshot {
    source: Arc<Source>,
    auxv: Vec<u8>,
    main: Option<MappedFile>,
    lines: Vec<MapsLine>,
    mappings: Box<[Arc<Mapping>]>,
    /// The ranges of the mappings by themselves, so that a search touches little memory.
    ranges: Box<[(ProcAddr, ProcAddr)]>,
}

impl Snapshot {
    /// The mapping that has an address; its binary is opened if that was not tried before.
    pub fn lookup(&self, address: ProcAddr) -> Option<&Arc<Mapping>> {
        let mapping = &self.mappings[self.index_of(address)?];
        mapping.binary();
        Some(mapping)
    }

    /// Whether an address lies in a mapping; opens nothing.
    pub fn contains(&self, address: ProcAddr) -> bool {
        self.index_of(address).is_some()
    }

    /// Whether an address shows the same in another snapshot of the process; code that no file has is all alike.
    pub(crate) fn agrees_at(&self, other: &Self, address: ProcAddr) -> bool {
        let mapping = |snapshot: &Self| {
            let mapping = snapshot
                .index_of(address)
                .map(|at| Arc::clone(&snapshot.mappings[at]));
            mapping.filter(|mapping| mapping.kind.has_image())
        };
        match (mapping(self), mapping(other)) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                Arc::ptr_eq(&one, &other) || one.shows_same_as(&other, address)
            }
            _ => false,
        }
    }

    /// All executable mappings, in the order of their addresses.
    pub fn mappings(&self) -> &[Arc<Mapping>] {
        &self.mappings
    }

    /// Whether there are files among them that have not come yet, as their file system has not answered.
    pub(crate) fn waits_for_files(&self) -> bool {
        let mut errors = self.mappings.iter().filter_map(|all| all.binary_error());
        errors.any(|error| matches!(*error, OpenError::NoAnswer))
    }

    /// The first mapping of the process's main binary.
    pub fn main(&self) -> Option<&Arc<Mapping>> {
        self.mappings.iter().find(|mapping| mapping.is_main)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.source.pid
    }

    /// When the process was started, in clock ticks since boot; `None` when `/proc` did not tell.
    pub fn start_time(&self) -> Option<u64> {
        match self.source.started {
            Started::At(time) => time,
            Started::By(_) => None,
        }
    }

    /// A process that has not mapped anything yet.
    pub(super) fn empty(source: Arc<Source>) -> Self {
        Self::from_parts(source, Vec::new(), None, Vec::new(), Vec::new())
    }

    /// Makes sense of a maps file's lines.
    pub(super) fn new(
        source: Arc<Source>,
        maps: Maps,
        auxv: Vec<u8>,
        directory: &ProcDir,
        previous: Option<&Self>,
    ) -> Self {
        let may_ask = source.may_ask(&maps.lines);
        let main = main_file(directory, may_ask, &maps.lines, &auxv);
        let lines = layout::relevant(maps.lines);
        let previous = previous
            .filter(|previous| previous.auxv.is_empty() || previous.auxv == auxv)
            .map_or(&[][..], |previous| &previous.mappings);
        let mappings = layout::mappings(
            &lines,
            main,
            may_ask.then_some(directory),
            &source,
            previous,
        );
        Self::from_parts(source, auxv, main, lines, mappings)
    }

    /// This snapshot after something was mapped, as events say.
    pub(super) fn replace(&self, new: Vec<MapsLine>, shared: &Shared, pid: u32) -> Self {
        // Only a name that may mean two things has to be asked about.
        let directory = new
            .iter()
            .any(|line| is_ambiguous(&line.path) && !self.source.may_hang(line.device))
            .then(|| ProcDir::open(&shared.proc_root, pid).ok())
            .flatten()
            .filter(|directory| self.source.started.fits(directory.start_time()));
        let mut lines = self.lines.clone();
        for line in new {
            put_over(&mut lines, line);
        }
        // A program's own file is the first that is mapped for it.
        let main = self.main.or_else(|| {
            let mut files = lines.iter().filter(|line| line.inode != 0);
            files.find_map(|line| line.permissions.execute.then_some(line.file()))
        });
        self.with_lines(lines, main, directory.as_ref())
    }

    /// This snapshot with what another of the same process has where this one has nothing.
    pub(super) fn completed_by(&self, other: &Self) -> Self {
        let mut lines = self.lines.clone();
        for line in &other.lines {
            let at = lines.partition_point(|known| known.limit <= line.start);
            if lines.get(at).is_none_or(|next| line.limit <= next.start) {
                lines.insert(at, line.clone());
            }
        }
        self.with_lines(lines, self.main, None)
    }

    /// Whether both say the same about executable memory.
    pub(super) fn shows_same_as(&self, other: &Self) -> bool {
        self.main == other.main && self.lines == other.lines
    }

    fn with_lines(
        &self,
        lines: Vec<MapsLine>,
        main: Option<MappedFile>,
        directory: Option<&ProcDir>,
    ) -> Self {
        let mappings = layout::mappings(&lines, main, directory, &self.source, &self.mappings);
        Self::from_parts(
            Arc::clone(&self.source),
            self.auxv.clone(),
            main,
            lines,
            mappings,
        )
    }

    /// Whether this is of a process that was started then, in clock ticks since boot.
    pub(super) fn is_of_one_started_at(&self, start_time: Option<u64>) -> bool {
        self.source.started.fits(start_time)
    }

    /// Whether a process is still the one that this snapshot is of, and still runs the same program.
    ///
    /// The auxiliary vector holds addresses that are chosen at random for each exec. It is empty once the
    /// process has given up its memory, and then there is nothing newer to be read either.
    pub(super) fn is_of(&self, directory: &ProcDir) -> bool {
        self.is_of_one_started_at(directory.start_time())
            && directory.auxv().map_or(true, |auxv| {
                auxv.is_empty() || self.auxv.is_empty() || auxv == self.auxv
            })
    }

    fn from_parts(
        source: Arc<Source>,
        auxv: Vec<u8>,
        main: Option<MappedFile>,
        lines: Vec<MapsLine>,
        mappings: Vec<Arc<Mapping>>,
    ) -> Self {
        Self {
            source,
            auxv,
            main,
            lines,
            ranges: mappings
                .iter()
                .map(|mapping| (mapping.start, mapping.limit))
                .collect(),
            mappings: mappings.into(),
        }
    }

    fn index_of(&self, address: ProcAddr) -> Option<usize> {
        let behind = self.ranges.partition_point(|(start, _)| *start <= address);
        let index = behind.checked_sub(1)?;
        (address < self.ranges[index].1).then_some(index)
    }
}

/// Puts a range over those that are there, which are in the order of their addresses.
fn put_over(lines: &mut Vec<MapsLine>, new: MapsLine) {
    let first = lines.partition_point(|line| line.limit <= new.start);
    let behind = lines.partition_point(|line| line.start < new.limit);
    let (start, limit) = (new.start, new.limit);
    let covered = &lines[first..behind.max(first)];
    let before = covered.first().and_then(|line| line.before(start));
    let rest = covered.last().and_then(|line| line.from(limit));
    let parts = before.into_iter().chain([new]).chain(rest);
    lines.splice(first..behind.max(first), parts);
}

impl MapsLine {
    /// The part of the range below an address.
    fn before(&self, address: ProcAddr) -> Option<Self> {
        let limit = self.limit.min(address);
        (self.start < limit).then(|| Self {
            limit,
            ..self.clone()
        })
    }

    /// The part of the range from an address on.
    fn from(&self, address: ProcAddr) -> Option<Self> {
        let start = self.start.max(address);
        let skipped = start.0 - self.start.0;
        (start < self.limit).then(|| Self {
            start,
            offset: FileOffset(self.offset.0.wrapping_add(skipped)),
            ..self.clone()
        })
    }
}
