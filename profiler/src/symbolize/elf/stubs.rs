//! Names of the stubs by which a file calls functions of others: the procedure linkage table (x86-64 ABI, "Procedure Linkage
//! Table"), which no symbol covers.
//!
//! A stub is told by its jump through a slot of the global offset table, and named by the relocation of that slot, as binutils
//! and perf do it: `memcpy@plt`. What the linker laid out in which order does not matter then. Where a function of the file
//! itself is selected at start (`STT_GNU_IFUNC`), the relocation has the address of what selects it.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _, ObjectSymbolTable as _};
use object::read::{ReadCache, RelocationTarget};
use object::{RelocationFlags, elf};

/// Sections with more bytes are not read: a stub for each of a million functions.
const LARGEST: u64 = 16 << 20;
/// Stubs begin at multiples of this.
const STEP: usize = 8;
/// None is longer.
const LONGEST: usize = 16;
/// The relocation of a slot of a function that is selected at start.
const SELECTED: RelocationFlags = RelocationFlags::Elf {
    r_type: elf::R_X86_64_IRELATIVE,
};
/// `endbr64`, where jumps have to land when the processor watches over them.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// Prefix of jumps from the time when bounds were checked.
const BND: u8 = 0xf2;
/// `jmp *offset(%rip)`, up to the offset.
const JUMP: [u8; 2] = [0xff, 0x25];

/// What a stub calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Callee {
    /// The function with this symbol.
    Symbol(String),
    /// The function that the one at this address selects.
    SelectedBy(u64),
}

/// The stubs of a file, in the order of their addresses.
#[derive(Default, Debug)]
pub(super) struct Stubs(Vec<(Range<u64>, Callee)>);

impl Stubs {
    /// Reads those in the sections of a file that begin at such addresses; the error says why it cannot be done.
    pub(super) fn read(path: &Path, sections: &[Range<u64>]) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let read = Self::of(&ReadCache::new(file), sections);
        read.map_err(|error| error.to_string())
    }

    fn of(data: &ReadCache<File>, wanted: &[Range<u64>]) -> object::Result<Self> {
        let file = object::File::parse(data)?;
        if file.architecture() != object::Architecture::X86_64 {
            return Ok(Self::default());
        }
        let symbols = file.dynamic_symbol_table();
        let relocations = file.dynamic_relocations().into_iter().flatten();
        let slots = relocations.filter_map(|(slot, relocation)| match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol = symbols.as_ref()?.symbol_by_index(index).ok()?;
                // A name that is no text is not shown.
                Some((slot, Callee::Symbol(symbol.name().ok()?.to_owned())))
            }
            _ if relocation.flags() == SELECTED => {
                Some((slot, Callee::SelectedBy(relocation.addend() as u64)))
            }
            _ => None,
        });
        let slots: HashMap<u64, Callee> = slots.collect();
        let mut stubs = Vec::new();
        for section in file.sections() {
            let is_wanted = wanted
                .iter()
                .any(|range| range.start == section.address() && !range.is_empty());
            if !is_wanted || section.size() > LARGEST {
                continue;
            }
            for (range, slot) in jumps(section.address(), section.data()?) {
                stubs.extend(slots.get(&slot).map(|callee| (range, callee.clone())));
            }
        }
        stubs.sort_by_key(|(range, _)| range.start);
        Ok(Self(stubs))
    }

    /// What the stub at an address calls.
    pub(super) fn callee(&self, address: u64) -> Option<&Callee> {
        let behind = self.0.partition_point(|(range, _)| range.start <= address);
        let (range, callee) = &self.0[behind.checked_sub(1)?];
        range.contains(&address).then_some(callee)
    }
}

/// The stubs in the bytes of a section, with the slots that they jump through.
fn jumps(start: u64, bytes: &[u8]) -> Vec<(Range<u64>, u64)> {
    let slot_at = |offset: usize| {
        let stub = bytes.get(offset..)?;
        let stub = stub.strip_prefix(&ENDBR64).unwrap_or(stub);
        let stub = stub.strip_prefix(&[BND]).unwrap_or(stub);
        let (distance, rest) = stub.strip_prefix(&JUMP)?.split_first_chunk()?;
        let next = start.wrapping_add((bytes.len() - rest.len()) as u64);
        Some(next.wrapping_add_signed(i32::from_le_bytes(*distance).into()))
    };
    let offsets = (0..bytes.len()).step_by(STEP);
    let found: Vec<(usize, u64)> = offsets
        .filter_map(|offset| Some((offset, slot_at(offset)?)))
        .collect();
    let ends = found.iter().skip(1).map(|(offset, _)| *offset);
    let ends = ends.chain([bytes.len()]);
    let address = |offset: usize| start.wrapping_add(offset as u64);
    let ranges = found.iter().zip(ends).map(|((offset, slot), end)| {
        let end = end.min(offset + LONGEST);
        (address(*offset)..address(end), *slot)
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stub reaches to the next one, and is found by its jump whatever is in front of that.
    #[test]
    fn kinds_of_stubs() {
        let mut bytes = vec![0; 16];
        bytes.extend([0xff, 0x25, 0x10, 0, 0, 0, 0x66, 0x90]);
        bytes.extend([0xff, 0x25, 0xf0, 0xff, 0xff, 0xff, 0x66, 0x90]);
        bytes.extend([0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0, 1, 0, 0]);
        bytes.extend([0; 21]);
        let expected = vec![
            (0x1010..0x1018, 0x1026),
            (0x1018..0x1020, 0x100e),
            (0x1020..0x1030, 0x112b),
        ];
        assert_eq!(jumps(0x1000, &bytes), expected);
        // Cut off in the middle of a jump, it is none.
        for length in 0..bytes.len() {
            assert!(jumps(0x1000, &bytes[..length]).len() <= 3, "{length}");
        }
        assert_eq!(jumps(u64::MAX, &bytes).len(), 3);
    }
}
