//! The entries of an unwind section: common parts (CIE) and functions (FDE). Their instructions are left to `program`.
//!
//! ```text
//! CIE: length, id, version, augmentation "zPLR", factors, return address register, augmentation data, instructions
//! FDE: length, CIE pointer, first address, size, augmentation data, instructions
//! ```
//!
//! The section is scanned from start to end rather than entered through `.eh_frame_hdr`: LLD and BOLT write functions
//! of length zero that share their address with a real one, and the header's table keeps the empty one.

use std::collections::HashMap;

use super::pointer::{ABSOLUTE, Bases, OMIT, value};
use super::program::{Program, State};
use super::reader::Reader;
use super::{Input, Section};
use crate::unwind::Miss;
use crate::unwind::rows::Builder;

/// The return address column of x86-64 (System V ABI, figure 3.36, "DWARF Register Number Mapping").
const RETURN_ADDRESS: u64 = 16;

/// Which of the two sections; they differ in details.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    EhFrame = 0,
    DebugFrame = 1,
}

/// What one section contains.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    pub(super) kind: Kind,
    pub(super) functions: Vec<Function<'a>>,
    pub(super) misses: Vec<Miss>,
    commons: Vec<Common<'a>>,
    bases: Bases,
}

/// An FDE: the code that it describes, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function<'a> {
    pub(super) start: u64,
    pub(super) end: u64,
    common: u32,
    instructions: &'a [u8],
    /// Where the instructions end, in bytes from the start of the section.
    instructions_end: u64,
}

/// A CIE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
    pub(super) code_factor: u64,
    pub(super) data_factor: i64,
    pub(super) pointer_encoding: u8,
    pub(super) is_signal: bool,
    has_augmentation_data: bool,
    /// State behind the initial instructions, which are the same for all functions.
    pub(super) initial: State<'a>,
}

/// One entry as it is framed: where it starts, and what is behind the length.
struct Framed<'a> {
    start: u64,
    /// Where the part behind the length begins and ends, in bytes from the start of the section.
    id_position: u64,
    end: u64,
    is_64: bool,
    body: Reader<'a>,
}

impl<'a> Entries<'a> {
    /// Finds all entries of a section.
    pub(super) fn scan(kind: Kind, input: &Input<'a>) -> Self {
        let section: Section<'a> = match kind {
            Kind::EhFrame => input.eh_frame,
            Kind::DebugFrame => input.debug_frame,
        };
        let mut entries = Self {
            kind,
            functions: Vec::new(),
            misses: Vec::new(),
            commons: Vec::new(),
            bases: Bases::new(section, input),
        };
        // An FDE can only refer to what the scan has met, so that no bytes are interpreted twice.
        let mut known = HashMap::new();
        let mut reader = Reader::new(section.data);
        while !reader.is_empty() {
            match next(&mut reader, section.data.len() as u64) {
                Some(framed) => entries.entry(&framed, &mut known),
                None => {
                    entries.misses.push(Miss::Section);
                    break;
                }
            }
        }
        entries
    }

    /// The rows of a function, up to `end`.
    pub(super) fn emit(&self, index: u32, end: u64, builder: &mut Builder) {
        let Some(function) = self.functions.get(index as usize) else {
            return;
        };
        let Some(common) = self.commons.get(function.common as usize) else {
            return;
        };
        Program {
            common,
            bases: &self.bases,
            instructions: Reader::new(function.instructions),
            instructions_end: function.instructions_end,
        }
        .run(function.start, end, builder);
    }

    fn entry(&mut self, framed: &Framed<'a>, known: &mut HashMap<u64, Option<u32>>) {
        let mut body = framed.body;
        // An empty entry ends the section for some readers, but linkers have put it between others.
        if body.is_empty() {
            return;
        }
        let wide = framed.is_64 && self.kind == Kind::DebugFrame;
        let id = if wide {
            body.u64()
        } else {
            body.u32().map(u64::from)
        };
        let Some(id) = id else {
            return self.misses.push(Miss::Fde);
        };
        let is_common = match self.kind {
            Kind::EhFrame => id == 0,
            Kind::DebugFrame => id == if wide { u64::MAX } else { u32::MAX.into() },
        };
        if is_common {
            let common = self.common(body, framed.end);
            let index = self.commons.len() as u32;
            known.insert(
                framed.start,
                common.map(|common| {
                    self.commons.push(common);
                    index
                }),
            );
            return;
        }
        let common_at = match self.kind {
            Kind::EhFrame => framed.id_position.wrapping_sub(id),
            Kind::DebugFrame => id,
        };
        let Some(common) = known.get(&common_at).copied().flatten() else {
            return self.misses.push(Miss::Cie);
        };
        match self.function(body, framed.end, common) {
            // A function without a byte has no row, and may share its address with a real one.
            Some(function) if function.start == function.end => {}
            Some(function) => self.functions.push(function),
            None => self.misses.push(Miss::Fde),
        }
    }

    fn common(&self, mut body: Reader<'a>, end: u64) -> Option<Common<'a>> {
        let version = body.u8()?;
        if !matches!(
            (self.kind, version),
            (Kind::EhFrame, 1 | 3) | (Kind::DebugFrame, 1 | 3 | 4)
        ) {
            return None;
        }
        let augmentation = body.text()?;
        if version == 4 && (body.u8()? != 8 || body.u8()? != 0) {
            // Addresses of eight bytes, no segment selectors.
            return None;
        }
        let code_factor = body.uleb()?;
        let data_factor = body.sleb()?;
        let return_address = if version == 1 {
            body.u8()?.into()
        } else {
            body.uleb()?
        };
        if return_address != RETURN_ADDRESS {
            return None;
        }
        let mut common = Common {
            code_factor,
            data_factor,
            pointer_encoding: ABSOLUTE,
            is_signal: false,
            has_augmentation_data: augmentation.first() == Some(&b'z'),
            initial: State::default(),
        };
        if let Some((first, letters)) = augmentation.split_first() {
            if *first != b'z' {
                return None;
            }
            let length = body.uleb()?;
            common.augmentation(letters, body.bytes(length)?)?;
        }
        let program = Program {
            common: &common,
            bases: &self.bases,
            instructions: body,
            instructions_end: end,
        };
        common.initial = program.initial_state()?;
        Some(common)
    }

    fn function(&self, mut body: Reader<'a>, end: u64, index: u32) -> Option<Function<'a>> {
        let common = self.commons.get(index as usize)?;
        let start = self
            .bases
            .pointer(common.pointer_encoding, &mut body, end)?;
        let size = value(common.pointer_encoding, &mut body)?;
        if common.has_augmentation_data {
            let length = body.uleb()?;
            body.bytes(length)?;
        }
        Some(Function {
            start,
            end: start.checked_add(size)?,
            common: index,
            instructions: body.rest(),
            instructions_end: end,
        })
    }
}

impl Common<'_> {
    /// Reads the augmentation data that the letters behind `z` announce.
    fn augmentation(&mut self, letters: &[u8], data: &[u8]) -> Option<()> {
        let mut data = Reader::new(data);
        for letter in letters {
            match letter {
                b'L' => _ = data.u8()?,
                b'P' => {
                    let encoding = data.u8()?;
                    if encoding != OMIT {
                        value(encoding, &mut data)?;
                    }
                }
                b'R' => self.pointer_encoding = data.u8()?,
                b'S' => self.is_signal = true,
                // What else there is has its data behind those that are known, where it can be passed over.
                _ => break,
            }
        }
        Some(())
    }
}

/// The next entry: 4 bytes of length, or 12 with the escape for the 64-bit format (DWARF 5, section 7.4).
fn next<'a>(reader: &mut Reader<'a>, section_len: u64) -> Option<Framed<'a>> {
    let start = section_len - reader.rest().len() as u64;
    let short = reader.u32()?;
    let is_64 = short == u32::MAX;
    let length = if is_64 { reader.u64()? } else { short.into() };
    let id_position = section_len - reader.rest().len() as u64;
    let body = Reader::new(reader.bytes(length)?);
    Some(Framed {
        start,
        id_position,
        end: id_position + length,
        is_64,
        body,
    })
}
