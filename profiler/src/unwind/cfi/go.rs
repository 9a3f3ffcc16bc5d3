//! Rows from `.gopclntab`, in which Go's linker tells its runtime how large the frame is at each instruction.
//!
//! Go's code keeps frame pointers, but a function without a frame does not, and neither do the first instructions of one
//! with a frame: there a walk by frame pointers leaves the caller out. Layouts: `pcHeader`, `functab` and `_func` of
//! runtime/symtab.go and runtime/runtime2.go, flags of internal/abi/symtab.go, pairs of deltas of cmd/internal/obj/pcln.go.

use profiler_common::{Cfa, Rule, SavedFp};

use super::reader::Reader;
use super::{Input, Piece, SMALLEST_GAP, Source};
use crate::unwind::Miss;
use crate::unwind::rows::Builder;

/// `go116magic`, `go118magic` and `go120magic` of internal/abi/symtab.go. What is older has no flags.
const MAGIC_1_18: u32 = 0xffff_fff0;
const MAGIC_1_20: u32 = 0xffff_fff1;

/// From the start of the header: pad (2), `minLC`, `ptrSize`; then words.
const WORDS_AT: u64 = 8;
const WORD: u64 = 8;
/// Numbers of the words of the header.
const FUNCTIONS: u64 = 0;
const NAMES: u64 = 3;
const PC_TABLE: u64 = 6;
const FUNCTION_TABLE: u64 = 7;

/// Offsets in `_func`; `nameOff` follows the first word, `pcsp` the deferred return.
const NAME: u64 = 4;
const PC_SP: u64 = 16;
/// `flag`, behind `startLine` since 1.20, and behind `cuOffset` before.
const FLAG_1_20: u64 = 41;
const FLAG_1_18: u64 = 37;

/// `FuncFlagTopFrame`: nothing called this.
const TOP_FRAME: u8 = 1;
/// `FuncFlagSPWrite`: the function moves to another stack.
const WRITES_SP: u8 = 2;

/// To where the kernel returns from a signal handler: the frame above it is the kernel's.
const SIGNAL_RETURN: [&[u8]; 2] = [b"runtime.sigreturn__sigaction", b"runtime.sigreturn"];

/// Runs a function that never returns on the stack of the thread, while rbp may still be of the goroutine's.
const NEVER_RETURNED_TO: &[u8] = b"runtime.mcall";

/// Bytes of tables that may be read for each byte there is. The linker lets functions share tables, most of which have a
/// dozen bytes; more sharing than this is no program's.
const MOST_SHARING: usize = 64;

/// How a function's frames are found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    /// The same rule everywhere.
    Rule(Rule),
    /// By the size of the frame at each instruction: the offset of a table.
    Sizes(u32),
}

/// The functions of a table, in the order in which it has them.
pub(super) struct Functions<'a> {
    pub(super) pieces: Vec<Piece>,
    /// Where all tables of frame sizes begin.
    sizes: &'a [u8],
}

/// What the header says.
struct Header<'a> {
    data: &'a [u8],
    count: u64,
    text: u64,
    names: u64,
    sizes: u64,
    functions: u64,
    flag_at: u64,
}

impl<'a> Functions<'a> {
    /// Reads the table; nothing if there is none or it is of an unknown kind.
    pub(super) fn read(input: &Input<'a>, builder: &mut Builder) -> Self {
        let data = input.go_functions.data;
        let mut functions = Self {
            pieces: Vec::new(),
            sizes: &[],
        };
        if data.is_empty() {
            return functions;
        }
        let Some(header) = Header::read(data, input.go_text) else {
            builder.miss(Miss::GoTable);
            return functions;
        };
        functions.sizes = at(data, header.sizes).unwrap_or_default();
        // A count that the table cannot hold ends with it.
        for index in 0..header.count {
            match header.piece(index) {
                Some(piece) => functions.pieces.push(piece),
                None if header.entry(index + 1).is_none() => break,
                None => builder.miss(Miss::GoTable),
            }
        }
        functions
    }

    /// How many bytes of tables [`emit`](Self::emit) may read in all.
    pub(super) fn budget(&self) -> usize {
        self.sizes.len().saturating_mul(MOST_SHARING)
    }

    /// Emits the rows of a function from `start` to `end`; what is read is taken from the budget.
    pub(super) fn emit(
        &self,
        frame: Frame,
        start: u64,
        end: u64,
        budget: &mut usize,
        builder: &mut Builder,
    ) {
        let offset = match frame {
            Frame::Rule(rule) => return builder.push(start, rule),
            Frame::Sizes(offset) => offset,
        };
        let table = at(self.sizes, offset.into()).unwrap_or_default();
        let table = &table[..table.len().min(*budget)];
        let mut reader = Reader::new(table);
        let (mut size, mut pc) = (-1i64, start);
        let mut is_whole = true;
        while pc < end {
            let delta = reader.uleb();
            // The first may be zero; another one ends the table, and what is left is padding.
            if delta == Some(0) && pc != start {
                break;
            }
            let (Some(delta), Some(bytes)) = (delta, reader.uleb()) else {
                is_whole = false;
                break;
            };
            size = size.wrapping_add(unzigzag(delta));
            if bytes > 0 {
                builder.push(pc, rule(size));
            }
            pc = pc.saturating_add(bytes);
        }
        *budget -= table.len() - reader.rest().len();
        if !is_whole {
            builder.miss(Miss::GoTable);
        }
        if !is_whole || end.saturating_sub(pc) >= SMALLEST_GAP {
            builder.push(pc, builder.gap());
        }
    }
}

impl<'a> Header<'a> {
    fn read(data: &'a [u8], text: Option<u64>) -> Option<Self> {
        let mut reader = Reader::new(data);
        let flag_at = match reader.u32()? {
            MAGIC_1_18 => FLAG_1_18,
            MAGIC_1_20 => FLAG_1_20,
            _ => return None,
        };
        let [_, _, quantum, word] = *reader.bytes(4)? else {
            return None;
        };
        // x86-64: instructions of any length, and words of eight bytes.
        if (quantum, u64::from(word)) != (1, WORD) {
            return None;
        }
        let number = |index: u64| Reader::new(at(data, WORDS_AT + index * WORD)?).u64();
        Some(Self {
            data,
            count: number(FUNCTIONS)?,
            text: text?,
            names: number(NAMES)?,
            sizes: number(PC_TABLE)?,
            functions: number(FUNCTION_TABLE)?,
            flag_at,
        })
    }

    /// Start of a function, from the start of the code, and where its description is; the last has a start only.
    fn entry(&self, index: u64) -> Option<(u64, u64)> {
        let offset = index.checked_mul(8)?.checked_add(self.functions)?;
        let mut reader = Reader::new(at(self.data, offset)?);
        Some((reader.u32()?.into(), reader.u32().unwrap_or(0).into()))
    }

    fn piece(&self, index: u64) -> Option<Piece> {
        let (start, description) = self.entry(index)?;
        let (end, _) = self.entry(index + 1).filter(|(end, _)| start < *end)?;
        let description = at(self.data, self.functions.checked_add(description)?)?;
        let number = |offset| Reader::new(at(description, offset)?).u32();
        let flags = *description.get(usize::try_from(self.flag_at).ok()?)?;
        let name = self.name(number(NAME)?)?;
        let frame = if flags & TOP_FRAME != 0 || name == NEVER_RETURNED_TO {
            Frame::Rule(Rule::OUTERMOST)
        } else if SIGNAL_RETURN.contains(&name) {
            Frame::Rule(Rule::SIGNAL)
        } else if flags & WRITES_SP != 0 || number(PC_SP)? == 0 {
            Frame::Rule(Rule::NO_CFI)
        } else {
            Frame::Sizes(number(PC_SP)?)
        };
        let address = |offset| self.text.checked_add(offset);
        Some(Piece {
            start: address(start)?,
            end: address(end)?,
            source: Source::Go(frame),
        })
    }

    fn name(&self, offset: u32) -> Option<&'a [u8]> {
        let names = at(self.data, self.names.checked_add(offset.into())?)?;
        Reader::new(names).text()
    }
}

/// The rule where the frame has this size, the return address not counted.
///
/// Where there is a frame, rbp was pushed first. In the few functions in assembly of which that is not true it leads
/// astray, but only a caller without a table would ask.
fn rule(size: i64) -> Rule {
    let Some(size) = i32::try_from(size).ok().filter(|size| *size >= 0) else {
        return Rule::NO_CFI;
    };
    let saved = if size == 0 {
        SavedFp::Same
    } else {
        SavedFp::AtCfa(-16)
    };
    Rule::new(Cfa::Sp(size.saturating_add(8)), saved)
}

/// Signed numbers with the sign in the lowest bit.
fn unzigzag(number: u64) -> i64 {
    let half = (number >> 1) as i64;
    if number & 1 == 0 { half } else { !half }
}

fn at(data: &[u8], offset: u64) -> Option<&[u8]> {
    data.get(usize::try_from(offset).ok()?..)
}
