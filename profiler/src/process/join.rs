//! Executable lines put together that are parts of one mapping, as a program made it.
//!
//! A range is split when part of its pages get another protection, and loses its name where a program moves its code
//! onto huge pages. Whose text nameless memory holds is asked of a [`Judge`]; without an answer the lines decide.

use super::kind::MappingKind;
use super::maps_line::{MapsLine, Permissions};
use crate::addr::{FileOffset, ProcAddr};
use crate::binary::FileRange;

/// One or more adjacent lines that are one mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Joined {
    pub(super) start: ProcAddr,
    pub(super) limit: ProcAddr,
    pub(super) offset: FileOffset,
    pub(super) kind: MappingKind,
    pub(super) permissions: Permissions,
    /// A line that has the name; its range is the one that `map_files` knows.
    pub(super) line: MapsLine,
}

/// What nameless executable memory holds.
pub(super) enum Verdict {
    /// This part of it holds text of the file in question.
    Text(FileRange),
    /// Something else.
    Other,
    /// That cannot be found out.
    Unknown,
}

/// Who can look at what nameless executable memory holds.
pub(super) trait Judge {
    /// Whether it is text of the file that is mapped beside it.
    fn beside(&self, hole: &FileRange, file: &MapsLine) -> Verdict;

    /// Whether it is text of the file that was mapped there before, and how a line has that.
    fn before(&self, hole: &FileRange) -> Option<(FileRange, MapsLine)>;
}

/// Knows nothing but the lines.
pub(super) struct ByLines;

impl Judge for ByLines {
    fn beside(&self, _: &FileRange, _: &MapsLine) -> Verdict {
        Verdict::Unknown
    }

    fn before(&self, _: &FileRange) -> Option<(FileRange, MapsLine)> {
        None
    }
}

/// The executable ranges of these lines, which are in the order of their addresses.
pub(super) fn join_executable(lines: &[MapsLine], judge: &impl Judge) -> Vec<Joined> {
    let mut joined: Vec<Joined> = Vec::new();
    let mut add = |next: Joined| match joined.last_mut() {
        Some(last) if last.continues_in(&next) => last.limit = next.limit,
        _ => joined.push(next),
    };
    let mut row = Row::default();
    for (index, line) in lines.iter().enumerate() {
        if line.is_nameless_code() {
            if index >= row.end {
                row = Row::beginning_at(lines, index);
            }
            parts_of_hole(line, &row, judge)
                .into_iter()
                .for_each(&mut add);
        } else if line.permissions.execute {
            add(line.into());
        }
    }
    joined
}

/// A row of nameless executable lines without a gap, of which there may be thousands, and the files on both sides of it.
#[derive(Default)]
struct Row<'a> {
    /// The index behind its last line.
    end: usize,
    below: Option<&'a MapsLine>,
    above: Option<&'a MapsLine>,
}

impl<'a> Row<'a> {
    fn beginning_at(lines: &'a [MapsLine], first: usize) -> Self {
        let joins = |pair: &[MapsLine]| pair[0].limit == pair[1].start;
        let length = lines[first..]
            .windows(2)
            .take_while(|pair| joins(pair) && pair[1].is_nameless_code())
            .count();
        let end = first + length + 1;
        let below = first.checked_sub(1).map(|index| &lines[index..=first]);
        let below = below.filter(|pair| joins(pair)).map(|pair| &pair[0]);
        let above = lines.get(end - 1..=end).filter(|pair| joins(pair));
        let above = above.map(|pair| &pair[1]);
        Self {
            end,
            below: below.filter(|line| line.is_file()),
            above: above.filter(|line| line.is_file()),
        }
    }
}

/// Nameless executable memory, each part with the file whose text it holds, if it does.
fn parts_of_hole(line: &MapsLine, row: &Row<'_>, judge: &impl Judge) -> Vec<Joined> {
    let mut rest = line.file_range();
    let mut parts = Vec::new();
    while rest.start < rest.limit {
        let Some((text, file)) = text_of(&rest, row, judge) else {
            parts.push(nameless(line, rest.start, rest.limit));
            break;
        };
        if rest.start < text.start {
            parts.push(nameless(line, rest.start, text.start));
        }
        rest.start = text.limit;
        parts.push(Joined {
            start: text.start,
            limit: text.limit,
            offset: text.offset,
            kind: MappingKind::of_name(&file.path),
            permissions: line.permissions,
            line: file,
        });
    }
    parts
}

/// The first part of the rest of a hole that holds text of a file, and that file.
fn text_of(hole: &FileRange, row: &Row<'_>, judge: &impl Judge) -> Option<(FileRange, MapsLine)> {
    let Row { below, above, .. } = *row;
    let mut may_be_presumed = true;
    for file in [above, below].into_iter().flatten() {
        match judge.beside(hole, file) {
            Verdict::Text(text) => return Some((text, file.clone())),
            Verdict::Other => {
                may_be_presumed &= !above.is_some_and(|above| above.same_file(file));
            }
            Verdict::Unknown => {}
        }
    }
    judge
        .before(hole)
        .or_else(|| presumed(hole, below, above).filter(|_| may_be_presumed))
}

/// What the lines say by themselves: memory in the middle of what else would be one range, the part that fits huge pages;
/// or memory where the file's first byte would be, had the whole file been mapped.
fn presumed(
    hole: &FileRange,
    below: Option<&MapsLine>,
    above: Option<&MapsLine>,
) -> Option<(FileRange, MapsLine)> {
    let above = above?;
    let before = above.start.0 - hole.start.0;
    let offset = FileOffset(above.offset.0.checked_sub(before)?);
    let is_middle = below.is_some_and(|below| {
        below.same_file(above) && below.distance() == above.distance() && below.is_code()
    });
    let is_start =
        offset == FileOffset(0) && MappingKind::of_name(&above.path) == MappingKind::File;
    let is_text = above.is_code() && (is_middle || is_start);
    is_text.then(|| (FileRange { offset, ..*hole }, above.clone()))
}

fn nameless(line: &MapsLine, start: ProcAddr, limit: ProcAddr) -> Joined {
    Joined {
        start,
        limit,
        ..line.into()
    }
}

impl From<&MapsLine> for Joined {
    fn from(line: &MapsLine) -> Self {
        Self {
            start: line.start,
            limit: line.limit,
            offset: line.offset,
            kind: MappingKind::of_name(&line.path),
            permissions: line.permissions,
            line: line.clone(),
        }
    }
}

impl Joined {
    /// The same file, adjacent in memory and in the file.
    fn continues_in(&self, next: &Self) -> bool {
        self.limit == next.start
            && next.line.is_file()
            && self.line.same_file(&next.line)
            && self.start.0.wrapping_sub(self.offset.0) == next.start.0.wrapping_sub(next.offset.0)
    }
}

impl MapsLine {
    /// Memory that is no file's and can be run.
    pub(super) fn is_nameless_code(&self) -> bool {
        self.permissions.execute && MappingKind::of_name(&self.path) == MappingKind::Anonymous
    }

    /// Memory that shows a file.
    pub(super) fn is_file(&self) -> bool {
        let kind = MappingKind::of_name(&self.path);
        matches!(kind, MappingKind::File | MappingKind::Memfd)
    }

    /// A file's memory that can be run.
    fn is_code(&self) -> bool {
        self.permissions.execute && self.is_file()
    }

    /// How far each byte of the file is from its address.
    fn distance(&self) -> u64 {
        self.start.0.wrapping_sub(self.offset.0)
    }
}
