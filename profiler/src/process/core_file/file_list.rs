//! The list of mapped files (`NT_FILE`, written by `fill_files_note` in fs/binfmt_elf.c).
//!
//! ```text
//! count, page size, then for each range: start, limit, offset in pages; then for each a name and a zero
//! ```
//!
//! Words are as wide as an address. The kernel counts in pages, gdb in bytes with a page size of 1, and an old
//! .NET dumper in bytes with a page size of 4096.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::bytes::Format;
use super::error::Damage;
use crate::addr::{FileOffset, ProcAddr};

/// A range of memory that showed a file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MappedRange {
    /// The first address.
    pub start: ProcAddr,
    /// The first address behind.
    pub limit: ProcAddr,
    /// Where in the file the range begins.
    pub offset: FileOffset,
    /// The offset as the list has it, in whatever unit.
    pub(super) stated: u64,
    /// The file's name as the kernel had it: raw bytes, with ` (deleted)` if it said so; empty if it is missing.
    pub path: Arc<Path>,
}

/// Reads the list; what cannot be right costs the range that it is about, or is refused as a whole.
pub(super) fn parse(
    format: Format,
    bytes: &[u8],
    damages: &mut Vec<Damage>,
) -> Result<Vec<MappedRange>, Damage> {
    let size = format.word_size();
    let too_short = Damage::FileList("it is cut off");
    let count = format.word(bytes, 0).ok_or(too_short.clone())?;
    let unit = format.word(bytes, size).ok_or(too_short.clone())?.max(1);
    let room = (bytes.len() / size).saturating_sub(2) / 3;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= room)
        .ok_or(Damage::FileList("it has more files than room"))?;
    let mut names = bytes.get((2 + 3 * count) * size..).unwrap_or_default();
    let mut ranges: Vec<MappedRange> = Vec::with_capacity(count);
    let mut missing = 0;
    for index in 0..count {
        let (name, is_whole) = next_name(&mut names);
        missing += u64::from(!is_whole);
        let word = |field| format.word(bytes, (2 + 3 * index + field) * size);
        let (Some(start), Some(limit), Some(stated)) = (word(0), word(1), word(2)) else {
            return Err(too_short);
        };
        if start >= limit {
            damages.push(Damage::Range(ProcAddr(start)));
            continue;
        }
        let path = Path::new(OsStr::from_bytes(name));
        let previous = ranges.last().map(|range| &range.path);
        ranges.push(MappedRange {
            start: ProcAddr(start),
            limit: ProcAddr(limit),
            offset: FileOffset(stated.checked_mul(unit).unwrap_or(stated)),
            stated,
            path: match previous {
                Some(previous) if previous.as_os_str() == path.as_os_str() => Arc::clone(previous),
                _ => Arc::from(path),
            },
        });
    }
    if missing > 0 {
        damages.push(Damage::FileNames { missing });
    }
    ranges.sort_by_key(|range| range.start);
    Ok(ranges)
}

/// Takes the next name off, and says whether it is whole.
fn next_name<'a>(names: &mut &'a [u8]) -> (&'a [u8], bool) {
    match names.iter().position(|byte| *byte == 0) {
        Some(end) => {
            let (name, rest) = names.split_at(end);
            *names = &rest[1..];
            (name, true)
        }
        None => (std::mem::take(names), false),
    }
}
