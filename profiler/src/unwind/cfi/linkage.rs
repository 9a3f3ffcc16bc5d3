//! Rows for code that needs none in the file: procedure linkage tables, and the entry point.

use std::ops::Range;

use profiler_common::{Cfa, Rule, SavedFp};

use super::{Input, Piece, Source, is_uncovered};

/// Size of one entry of a `.plt` (System V ABI for x86-64, figure 5.2, "Procedure Linkage Table").
const ENTRY: u64 = 16;

/// What of an entry point without a description is taken for it: it sets up the first call and comes to an end.
const ENTRY_POINT: u64 = 128;

/// A procedure linkage table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plt {
    /// `.plt`: its first entry calls the dynamic loader, with two words on the stack.
    Lazy {
        /// Where it lies, as the file states it.
        range: Range<u64>,
        /// Byte of an entry from which on its number has been pushed.
        threshold: i16,
    },
    /// `.plt.sec`, `.plt.got`: single jumps, which use no stack.
    Jumps(Range<u64>),
}

/// Those pieces of such code that none of the others, which are sorted, overlaps.
pub(super) fn pieces(input: &Input<'_>, others: &[Piece]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = input.plts.iter().flat_map(plt).collect();
    if let Some(start) = input.entry {
        let range = input.text.iter().find(|range| range.contains(&start));
        let next = others.partition_point(|piece| piece.start <= start);
        let limit = start.saturating_add(ENTRY_POINT);
        let limit = others.get(next).map_or(limit, |next| limit.min(next.start));
        pieces.extend(range.map(|range| fixed(start, limit.min(range.end), Rule::OUTERMOST)));
    }
    pieces.retain(|piece| {
        let in_text = |range: &Range<u64>| range.start <= piece.start && piece.end <= range.end;
        piece.start < piece.end
            && input.text.iter().any(in_text)
            && is_uncovered(others, piece.start, piece.end)
    });
    pieces
}

fn plt(plt: &Plt) -> Vec<Piece> {
    match plt {
        // push GOT+8 (6 bytes), jmp *GOT+16; the caller has pushed the number already.
        Plt::Lazy { range, threshold } => {
            let pushed = range.start.saturating_add(6);
            let first = range.start.saturating_add(ENTRY);
            let rule = Cfa::Plt {
                offset: 8,
                threshold: *threshold,
            };
            vec![
                fixed(range.start, pushed.min(range.end), sp(16)),
                fixed(pushed, first.min(range.end), sp(24)),
                fixed(first, range.end, Rule::new(rule, SavedFp::Same)),
            ]
        }
        Plt::Jumps(range) => vec![fixed(range.start, range.end, sp(8))],
    }
}

fn sp(offset: i32) -> Rule {
    Rule::new(Cfa::Sp(offset), SavedFp::Same)
}

fn fixed(start: u64, end: u64, rule: Rule) -> Piece {
    Piece {
        start,
        end,
        source: Source::Rule(rule),
    }
}
