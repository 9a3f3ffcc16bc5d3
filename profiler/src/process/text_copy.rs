//! Anonymous memory that holds the text of a file: what a program that has moved its code onto huge pages runs.
//!
//! Nothing in `/proc` says so. What is at hand is compared: the memory lies where the file's executable segment was
//! loaded, and says what the file says there. A compiler's code in such a place says something else, and stays nobody's.

use std::fs::File;

use super::join::Verdict;
use super::mapping::Mapping;
use crate::addr::{FileOffset, ProcAddr};
use crate::binary::{Binary, FileRange, Placement, ReadAt, Segment, page_ceil, page_floor};

/// How much is compared, in pieces evenly spread: what it costs does not depend on the size of the program.
const PIECES: u64 = 8;
const PIECE: usize = 4096;
/// Bytes that have to be alike at least. Those that fill gaps between functions do not count where both have them.
const LEAST: usize = 64;
/// One of so many bytes may differ: programs patch their text, and so does who traces them.
const TOLERANCE: usize = 16;
/// Zeros, `int3` and `nop`.
const FILLING: [u8; 3] = [0, 0xcc, 0x90];

/// Decides whether a hole holds the text of the file that is mapped by a neighbour, or was mapped here.
pub(super) fn judge(hole: &FileRange, file: &Mapping) -> Verdict {
    let Some((binary, placement)) = file
        .image()
        .and_then(|image| Some((&image.binary, image.placement?)))
    else {
        return Verdict::Unknown;
    };
    let page_size = file.parts.source.page_size();
    let Some(text) = text_at(hole, binary, &placement, page_size) else {
        return Verdict::Other;
    };
    let Ok(memory) = file.parts.source.memory() else {
        return Verdict::Unknown;
    };
    match says_the_same(&memory, &text, binary.file()) {
        Some(true) => Verdict::Text(text.piece),
        Some(false) => Verdict::Other,
        None => Verdict::Unknown,
    }
}

/// The part of a hole that an executable segment was loaded to.
struct Text {
    piece: FileRange,
    /// Where the segment's bytes end in the file.
    file_end: u64,
}

/// Where an executable segment of the file was loaded, as far as that is in the hole.
fn text_at(
    hole: &FileRange,
    binary: &Binary,
    placement: &Placement,
    page_size: u64,
) -> Option<Text> {
    let executable = binary.segments().iter().filter(|all| all.executable);
    executable.clone().find_map(|segment: &Segment| {
        let file_end = segment.file_end()?.0;
        let start = page_floor(segment.offset.0, page_size);
        let size = page_ceil(file_end, page_size).checked_sub(start)?;
        let at = start
            .wrapping_add(segment.delta())
            .wrapping_add(placement.load_bias);
        let limit = at.checked_add(size)?.min(hole.limit.0);
        let first = at.max(hole.start.0);
        (first < limit).then(|| Text {
            piece: FileRange {
                start: ProcAddr(first),
                limit: ProcAddr(limit),
                offset: FileOffset(start + (first - at)),
                executable: true,
            },
            file_end,
        })
    })
}

/// Whether memory and file say the same; `None` when one of them says nothing.
fn says_the_same(memory: &File, text: &Text, file: &File) -> Option<bool> {
    let FileRange {
        start,
        limit,
        offset,
        ..
    } = text.piece;
    let size = (limit.0 - start.0).min(text.file_end.checked_sub(offset.0)?);
    let (mut compared, mut different) = (0, 0);
    let mut ours = [0; PIECE];
    let mut theirs = [0; PIECE];
    for index in 0..PIECES {
        let at = size / PIECES * index;
        let wanted = usize::try_from(size - at).map_or(PIECE, |rest| rest.min(PIECE));
        let count = file.read_at(offset.0 + at, &mut ours[..wanted]).ok()?;
        let count = memory.read_at(start.0 + at, &mut theirs[..count]).ok()?;
        let pairs = ours[..count].iter().zip(&theirs[..count]);
        let is_filling = |byte: &u8| FILLING.contains(byte);
        for (our, their) in pairs.filter(|(our, their)| !is_filling(our) || !is_filling(their)) {
            compared += 1;
            different += usize::from(our != their);
        }
    }
    let is_same = different <= compared / TOLERANCE;
    (!is_same || compared >= LEAST).then_some(is_same)
}
