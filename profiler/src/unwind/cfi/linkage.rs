//! Rows for code that needs none in the file: procedure linkage tables, the entry point, and what runs before and after a
//! program.

use std::ops::Range;

use profiler_common::{Cfa, Rule, SavedFp};

use super::{Input, Piece, Source, is_uncovered};

/// Size of one entry of a `.plt` (System V ABI for x86-64, figure 5.2, "Procedure Linkage Table").
const ENTRY: u64 = 16;

/// What of an entry point without a description is taken for it: it sets up the first call and comes to an end.
const ENTRY_POINT: u64 = 128;

/// `endbr64`, with which functions and the entries of a `.plt` begin when they are made for Intel's indirect branch tracking.
pub(in crate::unwind) const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

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

/// Code that nothing describes, with a frame of 16 bytes in the middle and of 8 around.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Framed {
    /// Where it lies, as the file states it.
    range: Range<u64>,
    /// Where the frame has been made, and where it has been taken away.
    frame: Range<u64>,
    fp: SavedFp,
}

impl Framed {
    /// `.init` or `.fini` at an address, with these bytes: a function that is put together of the same section of all objects,
    /// the first of which makes the frame and the last of which takes it away (`crti.o` and `crtn.o` of the C library).
    pub fn new(address: u64, code: &[u8]) -> Option<Self> {
        /// `sub $8, %rsp`
        const MAKE: [u8; 4] = [0x48, 0x83, 0xec, 0x08];
        /// `add $8, %rsp; ret`
        const TAKE: [u8; 5] = [0x48, 0x83, 0xc4, 0x08, 0xc3];
        let body = code.strip_prefix(&ENDBR64).unwrap_or(code);
        let body = body.strip_prefix(&MAKE)?;
        body.strip_suffix(&TAKE)?;
        let end = address.checked_add(code.len() as u64)?;
        Some(Self {
            // Behind the second only the return is left.
            frame: end - body.len() as u64..end - 1,
            range: address..end,
            fp: SavedFp::Same,
        })
    }

    /// Code that pushes rbp for its frame.
    pub(super) fn pushing_fp(range: Range<u64>, pushed: u64, popped: u64) -> Self {
        Self {
            range,
            frame: pushed..popped,
            fp: SavedFp::AtCfa(-16),
        }
    }

    fn pieces(&self) -> Vec<Piece> {
        let inside = Rule::new(Cfa::Sp(16), self.fp);
        vec![
            fixed(self.range.start, self.frame.start, sp(8)),
            fixed(self.frame.start, self.frame.end, inside),
            fixed(self.frame.end, self.range.end, sp(8)),
        ]
    }
}

/// Those pieces of such code that none of the others, which are sorted, overlaps.
pub(super) fn pieces(input: &Input<'_>, others: &[Piece]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = input.plts.iter().flat_map(plt).collect();
    pieces.extend(input.framed.iter().flat_map(Framed::pieces));
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

#[cfg(test)]
mod tests {
    use super::super::rows_of;
    use super::*;
    use crate::addr::ElfAddr;

    /// The rules at these offsets of a section with this code.
    fn rules(code: &[u8], offsets: &[u64]) -> Vec<Rule> {
        const START: u64 = 0x1000;
        let framed: Vec<Framed> = Framed::new(START, code).into_iter().collect();
        let text = START..START + 0x100;
        let rows = rows_of(&Input {
            text: std::slice::from_ref(&text),
            framed: &framed,
            ..Input::default()
        });
        let rule = |offset: &u64| rows.find(ElfAddr(START + offset));
        offsets.iter().map(rule).collect()
    }

    /// The frame is there from behind the instruction that makes it to behind the one that takes it away; code that begins or
    /// ends in another way has no rules.
    #[test]
    fn frame_of_init() {
        let fini = [0x48, 0x83, 0xec, 8, 0x48, 0x83, 0xc4, 8, 0xc3];
        let around = [0, 3, 4, 7, 8, 9];
        let expected = [sp(8), sp(8), sp(16), sp(16), sp(8), Rule::NO_CFI];
        assert_eq!(rules(&fini, &around), expected);

        // With endbr64, and with `call *%rax` in between.
        let init = [&ENDBR64[..], &fini[..4], &[0xff, 0xd0], &fini[4..]].concat();
        let around = [0, 4, 7, 8, 10, 13, 14, 15];
        let expected = [
            sp(8),
            sp(8),
            sp(8),
            sp(16),
            sp(16),
            sp(16),
            sp(8),
            Rule::NO_CFI,
        ];
        assert_eq!(rules(&init, &around), expected);

        for other in [&fini[1..], &fini[..8], &[0x50, 0x58, 0xc3], &[]] {
            assert_eq!(rules(other, &[0, 4]), [Rule::NO_CFI; 2], "{other:x?}");
        }
        assert_eq!(Framed::new(u64::MAX - 4, &fini), None);
    }
}
