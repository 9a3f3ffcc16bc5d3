//! Bytes of unwind sections to rows: one pure function, whatever the bytes are.
//!
//! `entries` finds the descriptions of functions in a section, `program` runs the instructions of one of them,
//! `state` turns what they say into a rule, `linkage` knows code that has rules without a description. Here all
//! of them come together, in the order of addresses. Reading the sections is left to `sections`.
//!
//! The interpreter is our own because it follows three columns only, CFA, rbp and return address, and so is three
//! to four times as fast as gimli's, which has to know all registers. Tests compare the two row for row.

mod entries;
mod go;
mod linkage;
mod pointer;
mod program;
mod reader;
pub(super) mod start_files;
mod state;

#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod every_file_tests;
#[cfg(test)]
mod go_tests;
#[cfg(test)]
mod hand_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod oracle_tests;

use std::cmp::Reverse;
use std::ops::Range;

use profiler_common::Rule;

use self::entries::{Entries, Kind};
pub(super) use self::linkage::ENDBR64;
pub use self::linkage::{Framed, Plt};
use super::rows::Builder;
use super::{Miss, Rows};

/// A space between functions that is at least this long gets a row that says that nothing is known there.
///
/// What is shorter is padding, which never runs, and takes 10 to 25 % of the rows if it is marked.
const SMALLEST_GAP: u64 = 64;

/// A section: where the file says that its bytes lie in memory, and the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    /// `sh_addr`.
    pub address: u64,
    /// The content, unpacked.
    pub data: &'a [u8],
}

/// What rows are made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// `.eh_frame`, or nothing.
    pub eh_frame: Section<'a>,
    /// `.debug_frame`, or nothing. It is used for functions that `.eh_frame` does not describe.
    pub debug_frame: Section<'a>,
    /// `.gopclntab`, or nothing. It is used for functions that neither of the others describes.
    pub go_functions: Section<'a>,
    /// Where the code begins that `.gopclntab` speaks of; without it there are no rows from there.
    pub go_text: Option<u64>,
    /// Address of `.text`, for pointers that are relative to it.
    pub text_address: u64,
    /// Address of `.got`, for pointers that are relative to it.
    pub data_address: u64,
    /// Executable ranges, as addresses that the file states.
    pub text: &'a [Range<u64>],
    /// `e_entry`, if there is an entry point.
    pub entry: Option<u64>,
    /// Procedure linkage tables.
    pub plts: &'a [Plt],
    /// `.init` and `.fini`, and the functions of gcc's start files.
    pub framed: &'a [Framed],
    /// Code that nothing describes keeps frame pointers, as Go's does.
    pub keeps_frame_pointers: bool,
    /// Parts of the input that could not be read at all.
    pub unreadable: u32,
}

/// Code whose rows come from one place.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    end: u64,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// Instructions of an entry of one of the sections.
    Entry { kind: Kind, index: u32 },
    /// The same rule everywhere.
    Rule(Rule),
    /// A function that Go's linker describes.
    Go(go::Frame),
}

/// The rows for the code that these sections describe.
///
/// It takes time and memory in proportion to the input, whatever that contains; what makes no sense is counted
/// in the rows' misses and costs no other function its rows.
pub fn rows_of(input: &Input<'_>) -> Rows {
    let text = normalized(input.text);
    let eh_frame = Entries::scan(Kind::EhFrame, input);
    let debug_frame = Entries::scan(Kind::DebugFrame, input);
    let none = eh_frame.functions.is_empty() && debug_frame.functions.is_empty();
    let by_frame_pointer = none || input.keeps_frame_pointers;
    let gap = if by_frame_pointer {
        Rule::NO_CFI
    } else {
        Rule::NO_ROW
    };
    let mut builder = Builder::new(&text, gap);
    for _ in 0..input.unreadable {
        builder.miss(Miss::Section);
    }
    for entries in [&eh_frame, &debug_frame] {
        entries.misses.iter().for_each(|miss| builder.miss(*miss));
    }
    let mut pieces = pieces(&eh_frame, &text, &mut builder);
    let described = pieces.len();
    let extra = self::pieces(&debug_frame, &text, &mut builder);
    add_uncovered(&mut pieces, described, extra);
    let described = pieces.len();
    let mut functions = go::Functions::read(input, &mut builder);
    let go = in_text(std::mem::take(&mut functions.pieces), &text, &mut builder);
    add_uncovered(&mut pieces, described, go);
    let described = pieces.len();
    let linkage = linkage::pieces(input, &pieces);
    add_uncovered(&mut pieces, described, linkage);
    emit(&pieces, [&eh_frame, &debug_frame], &functions, &mut builder);
    builder.finish()
}

/// Ranges in ascending order, without empty ones and overlaps.
fn normalized(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .cloned()
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut normalized: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match normalized.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => normalized.push(range),
        }
    }
    normalized
}

/// The functions of a section that lie in the code, in the order of their addresses.
fn pieces(entries: &Entries<'_>, text: &[Range<u64>], builder: &mut Builder) -> Vec<Piece> {
    let functions = (0..).zip(&entries.functions);
    let pieces = functions.map(|(index, function)| Piece {
        start: function.start,
        end: function.end,
        source: Source::Entry {
            kind: entries.kind,
            index,
        },
    });
    in_text(pieces.collect(), text, builder)
}

/// Those that lie in the code, in the order of their addresses.
fn in_text(mut pieces: Vec<Piece>, text: &[Range<u64>], builder: &mut Builder) -> Vec<Piece> {
    let last = builder.end();
    pieces.retain(|piece| {
        let behind = text.partition_point(|range| range.start <= piece.start);
        let range = behind.checked_sub(1).and_then(|index| text.get(index));
        let is_inside = range.is_some_and(|range| piece.end <= range.end) && piece.end <= last;
        if !is_inside {
            builder.miss(Miss::OutsideText);
        }
        is_inside
    });
    sort(&mut pieces);
    pieces
}

/// Of those that begin at the same address the longest first.
fn sort(pieces: &mut [Piece]) {
    // Stable, so that of equal ones the first of the section comes first.
    pieces.sort_by_key(|piece| (piece.start, Reverse(piece.end)));
}

/// Adds those of `extra` that overlap none of the first `described` pieces, which are sorted.
fn add_uncovered(pieces: &mut Vec<Piece>, described: usize, mut extra: Vec<Piece>) {
    extra.retain(|piece| is_uncovered(&pieces[..described], piece.start, piece.end));
    if !extra.is_empty() {
        pieces.append(&mut extra);
        sort(pieces);
    }
}

/// Whether none of these sorted pieces overlaps a range. One that reaches over its successor is not seen.
fn is_uncovered(pieces: &[Piece], start: u64, end: u64) -> bool {
    let behind = pieces.partition_point(|piece| piece.start < end);
    behind
        .checked_sub(1)
        .is_none_or(|index| pieces[index].end <= start)
}

fn emit(
    pieces: &[Piece],
    sections: [&Entries<'_>; 2],
    go: &go::Functions<'_>,
    builder: &mut Builder,
) {
    let gap = builder.gap();
    let mut budget = go.budget();
    let mut covered = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let previous = index.checked_sub(1).map(|index| pieces[index]);
        if previous.is_some_and(|previous| previous.start == piece.start) {
            // Functions that the linker found to be the same share their address, with the same description.
            if previous.is_some_and(|previous| previous.end != piece.end) {
                builder.miss(Miss::Overlap);
            }
            continue;
        }
        let later = pieces[index..]
            .iter()
            .find(|later| later.start > piece.start);
        let end = later.map_or(piece.end, |later| later.start.min(piece.end));
        if end < piece.end {
            builder.miss(Miss::Overlap);
        }
        if piece.start.saturating_sub(covered) >= SMALLEST_GAP {
            builder.push(covered, gap);
        }
        match piece.source {
            Source::Rule(rule) => builder.push(piece.start, rule),
            Source::Go(frame) => {
                builder.function();
                go.emit(frame, piece.start, end, &mut budget, builder);
            }
            Source::Entry { kind, index } => {
                builder.function();
                sections[kind as usize].emit(index, end, builder);
            }
        }
        covered = end;
    }
    builder.push(covered, gap);
}
