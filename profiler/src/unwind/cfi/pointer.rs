//! Pointers as `.eh_frame` encodes them (Linux Standard Base Core 5.0, section 10.5.1, "DWARF Exception Header
//! Encoding"): a format in the low four bits, what it is relative to in the next three.

use super::reader::Reader;
use super::{Input, Section};

/// `DW_EH_PE_omit`: there is no pointer.
pub(super) const OMIT: u8 = 0xff;
/// `DW_EH_PE_absptr`: an address of eight bytes.
pub(super) const ABSOLUTE: u8 = 0;

const FORMAT: u8 = 0x0f;
const APPLICATION: u8 = 0x70;
const INDIRECT: u8 = 0x80;

/// What pointers can be relative to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bases {
    /// Where the section itself lies in memory.
    section: u64,
    text: u64,
    data: u64,
}

impl Bases {
    pub(super) fn new(section: Section<'_>, input: &Input<'_>) -> Self {
        Self {
            section: section.address,
            text: input.text_address,
            data: input.data_address,
        }
    }

    /// Where in memory the next byte of a reader lies, whose end is `end` bytes into the section.
    fn address(&self, reader: &Reader<'_>, end: u64) -> u64 {
        let position = end.wrapping_sub(reader.rest().len() as u64);
        self.section.wrapping_add(position)
    }

    /// Reads a pointer from a reader that ends `end` bytes into the section. `None` when it is truncated, or of a kind that cannot be known from the file: indirect,
    /// aligned, relative to a function.
    pub(super) fn pointer(&self, encoding: u8, reader: &mut Reader<'_>, end: u64) -> Option<u64> {
        if encoding == OMIT || encoding & INDIRECT != 0 {
            return None;
        }
        let base = match encoding & APPLICATION {
            0x00 => 0,
            0x10 => self.address(reader, end),
            0x20 => self.text,
            0x30 => self.data,
            _ => return None,
        };
        value(encoding, reader).map(|value| base.wrapping_add(value))
    }
}

/// Reads the number only, as lengths are encoded: in the same format, relative to nothing.
pub(super) fn value(encoding: u8, reader: &mut Reader<'_>) -> Option<u64> {
    match encoding & FORMAT {
        0x00 | 0x04 | 0x0c => reader.u64(),
        0x01 => reader.uleb(),
        0x02 => reader.u16().map(u64::from),
        0x03 => reader.u32().map(u64::from),
        0x09 => reader.sleb().map(|value| value as u64),
        0x0a => reader.u16().map(|value| value as i16 as u64),
        0x0b => reader.u32().map(|value| value as i32 as u64),
        _ => None,
    }
}
