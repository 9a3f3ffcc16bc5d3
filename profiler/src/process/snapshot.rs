//! The mappings of one process at one time, to be searched without locks.

use std::sync::Arc;

use super::image::Source;
use super::layout;
use super::main_binary::{MappedFile, main_file};
use super::mapping::Mapping;
use super::maps::Maps;
use super::maps_line::MapsLine;
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

    /// All executable mappings, in the order of their addresses.
    pub fn mappings(&self) -> &[Arc<Mapping>] {
        &self.mappings
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
        self.source.start_time
    }

    /// Makes sense of a maps file's lines.
    pub(super) fn new(
        source: Arc<Source>,
        maps: Maps,
        auxv: Vec<u8>,
        directory: &ProcDir,
        previous: Option<&Self>,
    ) -> Self {
        let main = main_file(directory, &maps.lines, &auxv);
        let lines = layout::relevant(maps.lines);
        let previous = previous
            .filter(|previous| previous.auxv == auxv && previous.main == main)
            .map_or(&[][..], |previous| &previous.mappings);
        let mappings = layout::mappings(&lines, main, Some(directory), &source, previous);
        Self::from_parts(source, auxv, main, lines, mappings)
    }

    /// This snapshot after something was mapped, as an event says.
    pub(super) fn replace(&self, new: MapsLine, directory: Option<&ProcDir>) -> Self {
        let mut lines: Vec<MapsLine> = Vec::with_capacity(self.lines.len() + 2);
        for line in &self.lines {
            lines.extend(line.before(new.start));
            lines.extend(line.from(new.limit));
        }
        let at = lines.partition_point(|line| line.start < new.start);
        lines.insert(at, new);
        let mappings = layout::mappings(&lines, self.main, directory, &self.source, &self.mappings);
        Self::from_parts(
            Arc::clone(&self.source),
            self.auxv.clone(),
            self.main,
            lines,
            mappings,
        )
    }

    /// Whether a process is still the one that this snapshot is of, and still runs the same program.
    ///
    /// The auxiliary vector holds addresses that are chosen at random for each exec. It is empty once the
    /// process has given up its memory, and then there is nothing newer to be read either.
    pub(super) fn is_of(&self, directory: &ProcDir) -> bool {
        self.start_time() == directory.start_time()
            && directory
                .auxv()
                .map_or(true, |auxv| auxv.is_empty() || auxv == self.auxv)
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
