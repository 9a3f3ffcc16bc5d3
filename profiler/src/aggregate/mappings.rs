//! The mappings that frames refer to, each once: also once for all processes that have mapped the same part of the same file.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use super::Frame;
use crate::addr::ProcAddr;
use crate::process::Mapping;

/// Where frames lie.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A mapping of a process.
    User {
        /// The process that it was first seen in.
        pid: u32,
        /// The mapping.
        mapping: Arc<Mapping>,
    },
    /// The kernel.
    Kernel,
}

/// Index of a [`Place`] in a [`MappingTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct MappingIndex(u32);

/// Every place that has a frame or was asked to be kept.
///
/// The same part of a file lies elsewhere in each process. It is kept as it lies in the process in which it was seen first, and
/// frames of others are moved there, as pprof does when it merges profiles. A thousand processes of one program then take the
/// memory of one, and nothing keeps what is known of those that have ended.
#[derive(Debug, Default)]
pub(crate) struct MappingTable {
    places: Vec<Place>,
    parts: HashMap<PartOfFile, MappingIndex>,
    /// By the address of the shared mapping, which stays unique because `places` keeps the mapping alive: what cannot be shared.
    alone: HashMap<usize, MappingIndex>,
    kernel: Option<MappingIndex>,
    main: Vec<MappingIndex>,
}

/// What makes mappings of two processes show the same.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PartOfFile {
    /// Address of the shared binary, which the place's mapping keeps alive.
    binary: usize,
    path: Arc<Path>,
    deleted: bool,
    offset: u64,
    size: u64,
    /// From the load bias to the mapping, and from the beginning of its segment.
    behind_bias: Option<u64>,
    behind_segment: u64,
    segment_size: u64,
}

/// By what tells nearly all of them apart: this is asked for each mapping of each stack, and names of files are long.
impl Hash for PartOfFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.binary.hash(state);
        self.offset.hash(state);
    }
}

impl PartOfFile {
    /// `None` for what is no file's, or of a file that could not be opened.
    fn of(mapping: &Mapping) -> Option<Self> {
        let binary = mapping.image_binary()?;
        let segment = mapping.profile_range();
        let (start, limit) = (mapping.start.0, mapping.limit.0);
        Some(Self {
            binary: Arc::as_ptr(binary) as usize,
            path: Arc::clone(&mapping.path),
            deleted: mapping.deleted,
            offset: mapping.offset.0,
            size: limit.wrapping_sub(start),
            behind_bias: mapping.load_bias().map(|bias| start.wrapping_sub(bias)),
            behind_segment: start.wrapping_sub(segment.start.0),
            segment_size: segment.limit.0.wrapping_sub(segment.start.0),
        })
    }
}

impl MappingTable {
    /// The index of a process's mapping.
    pub(crate) fn user(&mut self, pid: u32, mapping: &Arc<Mapping>) -> MappingIndex {
        let Self { places, alone, .. } = self;
        let part = PartOfFile::of(mapping);
        let known = part.as_ref().and_then(|part| self.parts.get(part));
        if let Some(index) = known.filter(|index| is_one(&places[index.position()], pid, mapping)) {
            return *index;
        }
        let is_first = known.is_none();
        let new = || {
            let mapping = Arc::clone(mapping);
            push(places, Place::User { pid, mapping })
        };
        match part {
            Some(part) if is_first => *self.parts.entry(part).or_insert_with(new),
            _ => *alone
                .entry(Arc::as_ptr(mapping) as usize)
                .or_insert_with(new),
        }
    }

    /// The frame of an address in a process's mapping.
    pub(crate) fn frame(&mut self, pid: u32, mapping: &Arc<Mapping>, address: ProcAddr) -> Frame {
        let index = self.user(pid, mapping);
        self.frame_in(index, mapping, address)
    }

    /// The same, when the mapping's index is known.
    pub(crate) fn frame_in(
        &self,
        index: MappingIndex,
        mapping: &Mapping,
        address: ProcAddr,
    ) -> Frame {
        let shown = match &self.places[index.position()] {
            Place::User { mapping, .. } => mapping.start,
            Place::Kernel => mapping.start,
        };
        let moved = shown.0.wrapping_sub(mapping.start.0);
        Frame {
            mapping: Some(index),
            address: address.0.wrapping_add(moved),
        }
    }

    /// The index of the kernel.
    pub(crate) fn kernel(&mut self) -> MappingIndex {
        let places = &mut self.places;
        *self
            .kernel
            .get_or_insert_with(|| push(places, Place::Kernel))
    }

    /// Remembers that this is the main binary of a process that was asked for.
    pub(crate) fn add_main(&mut self, index: MappingIndex) {
        if !self.main.contains(&index) {
            self.main.push(index);
        }
    }

    /// The main binaries of the processes that were asked for, in the order in which they were seen.
    pub(crate) fn mains(&self) -> &[MappingIndex] {
        &self.main
    }

    /// Every place with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MappingIndex, &Place)> {
        (0..).map(MappingIndex).zip(&self.places)
    }
}

impl MappingIndex {
    /// Position in the order of [`MappingTable::iter`].
    pub(crate) fn position(self) -> usize {
        self.0 as usize
    }
}

/// Whether a process's mapping may be shown as this place: one process that has mapped a file twice has two.
fn is_one(place: &Place, pid: u32, mapping: &Mapping) -> bool {
    match place {
        Place::User {
            pid: first,
            mapping: shown,
        } => *first != pid || shown.start == mapping.start,
        Place::Kernel => false,
    }
}

fn push(places: &mut Vec<Place>, place: Place) -> MappingIndex {
    places.push(place);
    MappingIndex(places.len() as u32 - 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::addr::FileOffset;
    use crate::process::{Device, MapsLine, Permissions, Resolver};

    const FILE: &str = "/bin/true";

    fn line(start: u64, pages: u64, offset: u64) -> MapsLine {
        let file = std::fs::metadata(FILE).unwrap();
        let device = file.dev();
        MapsLine {
            start: ProcAddr(start),
            limit: ProcAddr(start + pages * 0x1000),
            permissions: Permissions {
                execute: true,
                ..Permissions::default()
            },
            offset: FileOffset(offset),
            device: Device {
                major: rustix::fs::major(device),
                minor: rustix::fs::minor(device),
            },
            inode: file.ino(),
            path: Path::new(FILE).into(),
        }
    }

    /// What each of two processes has mapped there.
    fn mapping(resolver: &Resolver, pid: u32, address: u64) -> Arc<Mapping> {
        let snapshot = resolver.snapshot_at(pid, 2).unwrap();
        Arc::clone(snapshot.lookup(ProcAddr(address)).unwrap())
    }

    /// The same bytes of a file are one frame in two processes, wherever they lie; in one process that has them twice they are
    /// two, and other bytes, or memory that is no file's, are others.
    #[test]
    fn processes_of_one_program() {
        const PIDS: [u32; 2] = [1 << 30, (1 << 30) + 1];
        let resolver = Resolver::default();
        resolver.follow_events();
        resolver.build_id(Path::new(FILE)).unwrap();
        for pid in PIDS {
            resolver.executed(pid, 0);
        }
        let anonymous = MapsLine {
            inode: 0,
            device: Device::default(),
            path: Path::new("").into(),
            ..line(0x40_0000, 1, 0)
        };
        let mapped = [
            (PIDS[0], line(0x10_0000, 4, 0)),
            (PIDS[0], line(0x20_0000, 4, 0)),
            (PIDS[1], line(0x30_0000, 4, 0)),
            (PIDS[1], line(0x38_0000, 4, 0x1000)),
            (PIDS[0], anonymous.clone()),
            (PIDS[1], anonymous),
        ];
        for (pid, line) in &mapped {
            resolver.mapped(*pid, 1, line.clone());
        }
        let mut table = MappingTable::default();
        let frames: Vec<Frame> = mapped
            .iter()
            .map(|(pid, line)| {
                let address = line.start.0 + 5;
                let mapping = mapping(&resolver, *pid, address);
                assert_eq!(mapping.binary().is_some(), line.inode != 0);
                table.frame(*pid, &mapping, ProcAddr(address))
            })
            .collect();
        assert_eq!(frames[2], frames[0]);
        assert_eq!(frames[0].address, 0x10_0005);
        assert_eq!(frames[3].address, 0x38_0005);
        let indices: Vec<Option<u32>> = frames.iter().map(|frame| Some(frame.mapping?.0)).collect();
        assert_eq!(indices, [0, 1, 0, 2, 3, 4].map(Some));
        assert_eq!(table.iter().count(), 5);
    }
}
