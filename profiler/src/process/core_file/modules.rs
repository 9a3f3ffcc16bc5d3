//! The programs and libraries of a process that was dumped, found by the list of mapped files or, without one,
//! by the ELF headers in memory. Finding their files is left to `search`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::file_list::MappedRange;
use super::memory::{Dumped, Memory};
use super::search::FileState;
use crate::addr::{ElfAddr, FileOffset, ProcAddr};
use crate::binary::{
    BuildId, BuildIds, Identity, PT_LOAD, Segment, build_id_of_image, page_ceil, page_floor,
};
use crate::process::Loaded;
use crate::process::kind::DELETED;

/// `ET_EXEC` and `ET_DYN`.
const LOADABLE: [u16; 2] = [2, 3];
/// More segments than any tool writes.
const MAX_SEGMENTS: usize = 128;
/// More modules than any program has; what lies beyond is ignored, as a hostile file might have a million.
const MAX_MODULES: usize = 1 << 14;

/// A program or library that was mapped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Module {
    /// The file's name as the process knew it: raw bytes; `[vdso]` for that; empty when nothing tells.
    pub path: Arc<Path>,
    /// The name ends in ` (deleted)`, which the kernel appends to what is no longer at its path, but which may
    /// be a part of the name as well.
    pub maybe_deleted: bool,
    /// It is the program that the process ran.
    pub is_main: bool,
    /// It is the library that the kernel maps into every process.
    pub is_vdso: bool,
    /// Where its first byte was mapped.
    pub start: ProcAddr,
    /// The first address behind all of it.
    pub limit: ProcAddr,
    /// What is to be added, wrapping, to an address as the file states it; `None` without ELF header.
    pub load_bias: Option<u64>,
    /// The build-ids that the dumped memory has.
    pub build_ids: BuildIds,
    /// The file.
    pub file: FileState,
    pub(super) ranges: Vec<FilePartRange>,
    pub(super) segments: Vec<Segment>,
}

/// A range of memory that showed part of a module's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FilePartRange {
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) offset: u64,
    /// The offset as the list of files has it.
    pub(super) stated: u64,
}

impl Module {
    /// The GNU build-id: that of the file, if it is here, or else that in memory.
    pub fn build_id(&self) -> Option<&BuildId> {
        match &self.file {
            FileState::Found { binary, .. } => binary.build_id(),
            FileState::Memory | FileState::Missing(_) => None,
        }
        .or(self.build_ids.gnu.as_ref())
    }

    /// The Go build id: that in memory, or else that of the file.
    pub fn go_build_id(&self) -> Option<&[u8]> {
        let of_file = match &self.file {
            FileState::Found { binary, .. } => binary.go_build_id(),
            FileState::Memory | FileState::Missing(_) => None,
        };
        self.build_ids.go.as_deref().or(of_file)
    }

    /// Whether the module's code was executable at an address, by its own program headers.
    pub(super) fn is_executable_at(&self, address: u64, page_size: u64) -> bool {
        let Some(bias) = self.load_bias else {
            return false;
        };
        let address = address.wrapping_sub(bias);
        self.segments.iter().any(|segment| {
            segment.executable
                && page_floor(segment.vaddr.0, page_size) <= address
                && address < page_ceil(end(segment), page_size)
        })
    }

    /// A module without anything known but its place.
    fn new(path: Arc<Path>, start: u64, limit: u64) -> Self {
        Self {
            maybe_deleted: path.as_os_str().as_encoded_bytes().ends_with(DELETED),
            path,
            is_main: false,
            is_vdso: false,
            start: ProcAddr(start),
            limit: ProcAddr(limit),
            load_bias: None,
            build_ids: BuildIds::default(),
            file: FileState::missing(),
            ranges: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// What the ELF header in memory says, if there is one.
    fn read_image(&mut self, memory: &Memory) {
        let image = Loaded::new(memory, self.start);
        let Ok(identity) = Identity::read(&image) else {
            return;
        };
        if !LOADABLE.contains(&identity.kind) {
            return;
        }
        let mut segments = Vec::new();
        let read = identity.programs(&image, |program| {
            if program.kind == PT_LOAD && segments.len() < MAX_SEGMENTS {
                segments.push(program.segment());
            }
        });
        let Some(first) = segments.first() else {
            return;
        };
        if let Err(error) = read {
            log::debug!("program headers at {:#x}: {error}", self.start);
        }
        let bias = self.start.0.wrapping_sub(first.delta());
        let last = segments.iter().map(end).max().unwrap_or(0);
        let limit = bias.wrapping_add(last);
        if limit > self.limit.0 {
            self.limit = ProcAddr(limit);
        }
        self.load_bias = Some(bias);
        self.build_ids = build_id_of_image(&image).unwrap_or_default();
        self.segments = segments;
    }
}

/// The modules among the mapped files: those with an ELF header in memory, and those with executable memory.
pub(super) fn of_files(memory: &Memory, files: &[MappedRange], dumped: &[Dumped]) -> Vec<Module> {
    let mut groups: HashMap<&Arc<Path>, Vec<&MappedRange>> = HashMap::new();
    for range in files
        .iter()
        .filter(|range| !range.path.as_os_str().is_empty())
    {
        groups.entry(&range.path).or_default().push(range);
    }
    let mut modules: Vec<Module> = groups
        .into_iter()
        .filter_map(|(path, ranges)| of_ranges(memory, path, &ranges, dumped))
        .collect();
    modules.sort_by_key(|module| module.start);
    modules.truncate(MAX_MODULES);
    modules
}

fn of_ranges(
    memory: &Memory,
    path: &Arc<Path>,
    ranges: &[&MappedRange],
    dumped: &[Dumped],
) -> Option<Module> {
    let first = ranges.first()?;
    let limit = ranges.iter().map(|range| range.limit.0).max()?;
    let headers = ranges.iter().filter(|range| range.offset.0 == 0);
    let mut with_header = headers
        .map(|range| {
            let mut module = Module::new(Arc::clone(path), range.start.0, limit);
            module.read_image(memory);
            module
        })
        .filter(|module| module.load_bias.is_some());
    let mut module = with_header.next().or_else(|| {
        let is_executable = |range: &&&MappedRange| {
            flags_at(dumped, range.start.0).is_some_and(|(flags, _)| flags & 1 != 0)
        };
        ranges.iter().find(is_executable)?;
        Some(Module::new(Arc::clone(path), first.start.0, limit))
    })?;
    module.ranges = ranges
        .iter()
        .map(|range| FilePartRange {
            start: range.start.0,
            limit: range.limit.0,
            offset: range.offset.0,
            stated: range.stated,
        })
        .collect();
    Some(module)
}

/// The modules whose ELF header was dumped at the start of a range, for a core file without list of files.
///
/// Their names are not known here; which parts of their files lay where follows from their program headers.
pub(super) fn of_memory(memory: &Memory, dumped: &[Dumped], page_size: u64) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    for range in dumped.iter().filter(|range| range.size > 0) {
        if modules.len() >= MAX_MODULES || memory.dumped_from(range.start, 4) != object::elf::ELFMAG
        {
            continue;
        }
        let mut module = Module::new(Arc::from(Path::new("")), range.start, range.limit);
        module.read_image(memory);
        if module.load_bias.is_some() {
            modules.push(module);
        }
    }
    for module in &mut modules {
        let first = dumped.partition_point(|range| range.start < module.start.0);
        let inside = dumped[first..]
            .iter()
            .take_while(|range| range.start < module.limit.0);
        module.ranges = inside
            .filter_map(|range| module.part(range, page_size))
            .collect();
    }
    modules
}

impl Module {
    /// The part of the file that lay in a range, by the segment that it can have come from.
    fn part(&self, range: &Dumped, page_size: u64) -> Option<FilePartRange> {
        let address = range.start.wrapping_sub(self.load_bias?);
        let segment = self.segments.iter().find(|segment| {
            let in_file = segment.vaddr.0.saturating_add(segment.file_size);
            page_floor(segment.vaddr.0, page_size) <= address
                && address < page_ceil(in_file, page_size)
        })?;
        let offset = address.wrapping_sub(segment.delta());
        Some(FilePartRange {
            start: range.start,
            limit: range.limit,
            offset,
            stated: offset,
        })
    }
}

/// The vDSO: an image without file, in one range of memory.
pub(super) fn vdso(memory: &Memory, dumped: &[Dumped], start: u64) -> Option<Module> {
    let (_, limit) = flags_at(dumped, start)?;
    let mut module = Module::new(Arc::from(Path::new("[vdso]")), start, limit);
    module.read_image(memory);
    module.limit = ProcAddr(limit);
    module.is_vdso = true;
    module.file = FileState::Memory;
    module.load_bias.is_some().then_some(module)
}

/// The flags of the range that has an address, and its limit.
pub(super) fn flags_at(dumped: &[Dumped], address: u64) -> Option<(u32, u64)> {
    let behind = dumped.partition_point(|range| range.start <= address);
    let range = &dumped[behind.checked_sub(1)?];
    (address < range.limit).then_some((range.flags, range.limit))
}

/// The address behind a segment's memory, as the file states it.
fn end(segment: &Segment) -> u64 {
    segment.vaddr.0.saturating_add(segment.mem_size)
}

/// Which byte of which module's file an address shows, and its address as the file states it.
pub(super) fn locate(
    modules: &[Module],
    address: ProcAddr,
) -> Option<(&Module, Option<FileOffset>, Option<ElfAddr>)> {
    let behind = modules.partition_point(|module| module.start <= address);
    // Ranges of modules do not lie within each other, but one module may have several.
    let module = modules[..behind]
        .iter()
        .rev()
        .find(|module| address < module.limit)?;
    let part = module
        .ranges
        .iter()
        .find(|range| range.start <= address.0 && address.0 < range.limit);
    let offset = part.map(|range| FileOffset((address.0 - range.start).wrapping_add(range.offset)));
    let elf_addr = module
        .load_bias
        .map(|bias| ElfAddr(address.0.wrapping_sub(bias)));
    Some((module, offset, elf_addr))
}
