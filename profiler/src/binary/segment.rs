//! Loadable segments, and the way from a file offset to the address that the file states for it.
//!
//! Which segment a mapping of a process came from is left to the placement of the file.

use crate::addr::{ElfAddr, FileOffset};

/// One `PT_LOAD` program header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// `p_offset`: where its bytes begin in the file.
    pub offset: FileOffset,
    /// `p_vaddr`: where the linker put its first byte.
    pub vaddr: ElfAddr,
    /// `p_filesz`: how many bytes of it are in the file.
    pub file_size: u64,
    /// `p_memsz`: how many bytes it has in memory.
    pub mem_size: u64,
    /// `p_align`: 0 and 1 mean none.
    pub align: u64,
    /// `PF_X` is set.
    pub executable: bool,
}

impl Segment {
    /// The first file offset behind the segment, or `None` when there is no such number.
    pub fn file_end(&self) -> Option<FileOffset> {
        self.offset.0.checked_add(self.file_size).map(FileOffset)
    }

    /// What turns a file offset into an address as the file states it: `p_vaddr - p_offset`, wrapping.
    pub fn delta(&self) -> u64 {
        self.vaddr.0.wrapping_sub(self.offset.0)
    }

    /// Whether the kernel maps this byte of the file when it maps the segment.
    ///
    /// The bounds are not alike: mapping begins at the page that holds the first byte, so the bytes before
    /// it in that page belong to the segment's memory, but what follows `p_filesz` in the last page is
    /// either cleared or another segment's.
    pub fn contains(&self, offset: FileOffset, page_size: u64) -> bool {
        self.file_end()
            .is_some_and(|end| page_floor(self.offset.0, page_size) <= offset.0 && offset < end)
    }

    /// The address that the file states for one of its bytes, if the segment has it.
    pub fn elf_addr(&self, offset: FileOffset, page_size: u64) -> Option<ElfAddr> {
        self.contains(offset, page_size)
            .then(|| ElfAddr(offset.0.wrapping_add(self.delta())))
    }
}

/// Turns file offsets of executable code into the addresses that the file states for it.
///
/// This needs nothing but the file, and so cannot decide between two segments that share a page of the
/// file (LLD makes such files): the first in file order answers. [`crate::process::Mapping::elf_addr`]
/// knows which mapping the address came from, and is exact.
#[derive(Clone, Debug)]
pub struct AddressMapper {
    segments: Box<[Segment]>,
    page_size: u64,
}

impl AddressMapper {
    /// Takes the executable ones of these segments; one that ends beyond the last file offset is ignored.
    ///
    /// `page_size` is that of the system that runs the file, a power of two.
    pub fn new(segments: &[Segment], page_size: u64) -> Self {
        let mut segments: Box<[Segment]> = segments
            .iter()
            .filter(|segment| segment.executable && segment.file_end().is_some())
            .copied()
            .collect();
        segments.sort_by_key(|segment| segment.offset);
        Self {
            segments,
            page_size,
        }
    }

    /// The address that the file states for one of its bytes, if an executable segment has it.
    pub fn elf_addr(&self, offset: FileOffset) -> Option<ElfAddr> {
        self.segments
            .iter()
            .find_map(|segment| segment.elf_addr(offset, self.page_size))
    }
}

/// The start of the page that `value` lies in; `page_size` is a power of two.
pub(crate) fn page_floor(value: u64, page_size: u64) -> u64 {
    value & !(page_size.wrapping_sub(1))
}

/// The first page boundary at or behind `value`, or the last one there is.
pub(crate) fn page_ceil(value: u64, page_size: u64) -> u64 {
    page_floor(value.saturating_add(page_size.wrapping_sub(1)), page_size)
}
