//! Executable lines put together that are parts of one mapping, as a program made it.
//!
//! A range is split when part of its pages get another protection, and its beginning loses its name when a
//! program moves its code onto huge pages.

use super::kind::MappingKind;
use super::maps_line::MapsLine;
use crate::addr::{FileOffset, ProcAddr};

/// One or more adjacent lines that are one mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Joined {
    pub(super) start: ProcAddr,
    pub(super) limit: ProcAddr,
    pub(super) offset: FileOffset,
    pub(super) kind: MappingKind,
    /// The first line that has the name; its range is the one that `map_files` knows.
    pub(super) line: MapsLine,
}

/// The executable ranges of these lines, which are in the order of their addresses.
pub(super) fn join_executable(lines: &[MapsLine]) -> Vec<Joined> {
    let mut joined: Vec<Joined> = Vec::new();
    for line in lines.iter().filter(|line| line.permissions.execute) {
        let next = Joined::from(line);
        match joined.as_mut_slice() {
            [.., last] if last.continues_in(&next) => last.limit = next.limit,
            [.., first, hole] if first.surrounds(hole, &next) => {
                first.limit = next.limit;
                joined.pop();
            }
            [.., last] if last.is_remapped_start_of(&next) => {
                let start = last.start;
                *last = Joined {
                    start,
                    offset: FileOffset(0),
                    ..next
                };
            }
            _ => joined.push(next),
        }
    }
    joined
}

impl From<&MapsLine> for Joined {
    fn from(line: &MapsLine) -> Self {
        Self {
            start: line.start,
            limit: line.limit,
            offset: line.offset,
            kind: MappingKind::of_name(&line.path),
            line: line.clone(),
        }
    }
}

impl Joined {
    /// The same file, adjacent in memory and in the file.
    fn continues_in(&self, next: &Self) -> bool {
        self.is_adjacent(next) && self.shows_same_bytes_as(next)
    }

    /// Nameless memory in the middle of what else would be one range: the part that fits huge pages.
    fn surrounds(&self, hole: &Self, next: &Self) -> bool {
        hole.kind == MappingKind::Anonymous
            && self.is_adjacent(hole)
            && hole.is_adjacent(next)
            && self.shows_same_bytes_as(next)
    }

    /// Nameless memory where the file's first byte would be, had the whole file been mapped.
    fn is_remapped_start_of(&self, next: &Self) -> bool {
        self.kind == MappingKind::Anonymous
            && next.kind == MappingKind::File
            && self.is_adjacent(next)
            && next.start.0.checked_sub(next.offset.0) == Some(self.start.0)
    }

    fn is_adjacent(&self, next: &Self) -> bool {
        self.limit == next.start
    }

    /// The same file, and each byte of it at the same distance from its address.
    fn shows_same_bytes_as(&self, next: &Self) -> bool {
        matches!(next.kind, MappingKind::File | MappingKind::Memfd)
            && self.line.same_file(&next.line)
            && self.start.0.wrapping_sub(self.offset.0) == next.start.0.wrapping_sub(next.offset.0)
    }
}
