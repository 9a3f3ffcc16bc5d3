//! Where a binary lies in a process: which segment each mapped range came from, and so the load bias.
//!
//! A mapped range says which bytes of the file are where, but two segments may share a page of the file,
//! and then both could have made the range. LLD links such files:
//!
//! ```text
//! file         page 0                        memory, from the load bias
//!              ┌──────┬───────────┬────┐     0x0000 ┌──────┐ R    range with offset 0
//!              │ R    │ RX        │ RW │     0x1000 ├──────┤ RX   range with offset 0
//!              └──────┴───────────┴────┘     0x2000 ├──────┤ RW   range with offset 0
//!              0      0x640       0x7f0             └──────┘
//! ```
//!
//! Each pair of a range and a segment supposes a load bias. The right one explains the file's other ranges
//! as well, so the supposition that explains most of them wins.

use super::segment::{page_ceil, page_floor};
use super::{Binary, Segment};
use crate::addr::{ElfAddr, FileOffset, ProcAddr};

/// Ranges of one file that are looked at to decide on the load bias; a program that splits its mappings into
/// more has decided already.
const MAX_RANGES: usize = 256;

/// One range of a process's memory that shows part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileRange {
    pub(crate) start: ProcAddr,
    pub(crate) limit: ProcAddr,
    pub(crate) offset: FileOffset,
    pub(crate) executable: bool,
}

/// How one range of memory relates to the binary that it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placement {
    /// What turns an address as the file states it into one of the process: added, wrapping.
    pub(crate) load_bias: u64,
    /// The segment that the range came from.
    pub(crate) segment: Segment,
}

impl Placement {
    /// The placement of `range`, one of `ranges`, which are all ranges of this binary in the process.
    ///
    /// `None` when no segment can have made the range: the file was not mapped by a loader.
    pub(crate) fn find(
        binary: &Binary,
        range: FileRange,
        ranges: &[FileRange],
        page_size: u64,
    ) -> Option<Self> {
        let ranges = &ranges[..ranges.len().min(MAX_RANGES)];
        let segments = binary.segments();
        // A program that is not position-independent is where its file says.
        let fixed = !binary.is_position_independent();
        let preference = |placement: &Self| {
            let explained = ranges
                .iter()
                .filter(|range| explains(segments, placement.load_bias, **range, page_size))
                .count();
            (
                fixed && placement.load_bias == 0,
                explained,
                placement.segment.executable == range.executable,
            )
        };
        let mut best: Option<(_, Self)> = None;
        for segment in segments {
            if !may_show(segment, range, page_size) {
                continue;
            }
            let candidate = Self {
                load_bias: bias(segment, range),
                segment: *segment,
            };
            let preference = preference(&candidate);
            // The first of equals wins.
            if best.is_none_or(|(other, _)| preference > other) {
                best = Some((preference, candidate));
            }
        }
        best.map(|(_, placement)| placement)
    }

    /// The address of `address` as the file states it, if the segment or one that lies in the same row of
    /// pages has that byte.
    pub(crate) fn elf_addr(
        &self,
        segments: &[Segment],
        address: ProcAddr,
        page_size: u64,
    ) -> Option<ElfAddr> {
        let elf_addr = ElfAddr(address.0.wrapping_sub(self.load_bias));
        let offset = FileOffset(elf_addr.0.wrapping_sub(self.segment.delta()));
        segments
            .iter()
            .any(|segment| {
                segment.delta() == self.segment.delta() && segment.contains(offset, page_size)
            })
            .then_some(elf_addr)
    }

    /// Whether another range of the same file was made of the same segment at the same load bias.
    pub(crate) fn covers(&self, range: &FileRange, page_size: u64) -> bool {
        may_show(&self.segment, *range, page_size) && bias(&self.segment, *range) == self.load_bias
    }

    /// Where the segment begins in memory and in the file, as the pprof tools want it.
    ///
    /// That is the start of the first page that was mapped for the segment. `go tool pprof` knows no file
    /// offset and takes the start for `p_vaddr` rounded down to `p_align`, so where that is further down,
    /// the start is moved there, which google/pprof accepts as well.
    pub(crate) fn segment_start(&self, page_size: u64) -> (ProcAddr, FileOffset) {
        let Segment { offset, vaddr, .. } = self.segment;
        let aligned = Some(self.segment.align)
            .filter(|align| align.is_power_of_two() && *align > page_size)
            .map_or(0, |align| vaddr.0 & (align - 1));
        let back = if aligned <= offset.0 {
            aligned.max(vaddr.0 & (page_size - 1))
        } else {
            vaddr.0 & (page_size - 1)
        };
        (
            ProcAddr(vaddr.0.wrapping_sub(back).wrapping_add(self.load_bias)),
            FileOffset(offset.0.saturating_sub(back)),
        )
    }
}

/// Whether the range can be what the kernel mapped for the segment, or a part of that.
fn may_show(segment: &Segment, range: FileRange, page_size: u64) -> bool {
    let size = range.limit.0.saturating_sub(range.start.0);
    segment.file_end().is_some_and(|end| {
        page_floor(segment.offset.0, page_size) <= range.offset.0
            && range.offset.0.saturating_add(size) <= page_ceil(end.0, page_size)
    })
}

/// The load bias that makes the segment the source of the range.
fn bias(segment: &Segment, range: FileRange) -> u64 {
    range
        .start
        .0
        .wrapping_sub(range.offset.0)
        .wrapping_sub(segment.delta())
}

/// Whether some segment, loaded with this bias, would have made the range.
fn explains(segments: &[Segment], load_bias: u64, range: FileRange, page_size: u64) -> bool {
    segments
        .iter()
        .any(|segment| may_show(segment, range, page_size) && bias(segment, range) == load_bias)
}
