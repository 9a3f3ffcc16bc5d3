//! Finds the table of functions that Go's linker writes, and where the code begins that it speaks of. What is in it is
//! left to `cfi`.
//!
//! The table has a section of its own, `.gopclntab`, unless another linker has put it into `.data.rel.ro`, as it does for
//! position-independent programs with cgo before Go 1.26. Up to Go 1.25 its header says where the code begins; since then
//! only `moduledata.text` of the runtime does, which lies in a section of its own (runtime/symtab.go, "moduledata").

use std::fs::File;

use object::elf::{FileHeader64, R_X86_64_RELATIVE, Rela64, SHT_NOBITS, SHT_RELA, SectionHeader64};
use object::read::ReadRef;
use object::read::elf::{Rela, SectionHeader, SectionTable};
use object::{Endianness, LittleEndian as LE, U64};

use super::sections::{Loaded, read_section};

/// How the table begins: the magic of Go 1.18 or 1.20, two zeros, instructions of any length, words of eight bytes.
const BEGINNINGS: [[u8; 8]; 2] = [
    [0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8],
    [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8],
];
/// What it is aligned to, when other data comes before it.
const ALIGNMENT: u64 = 32;
/// Offset of `textStart` in the table's header.
const TEXT_IN_HEADER: u64 = 24;
/// Offset of `text` in `moduledata`: behind a pointer, six slices, and three words.
const TEXT_IN_MODULE: u64 = 8 * 22;

/// Go's table of functions.
#[derive(Debug, Default)]
pub(super) struct GoTable {
    /// The section from the beginning of the table on; empty if there is none.
    pub(super) functions: Loaded,
    /// Address of the code, if the file tells.
    pub(super) text: Option<u64>,
}

/// Sections in which it may be.
#[derive(Debug, Default)]
struct Places<'a> {
    is_go: bool,
    table: Option<&'a SectionHeader64<Endianness>>,
    data: Option<&'a SectionHeader64<Endianness>>,
    module: Option<&'a SectionHeader64<Endianness>>,
    relocations: Vec<&'a SectionHeader64<Endianness>>,
}

/// The table of a program written in Go; `None` for other programs.
pub(super) fn find<'data, R: ReadRef<'data>>(
    file: &File,
    endian: Endianness,
    sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
    data: R,
) -> Option<GoTable> {
    let places = Places::among(sections, endian);
    if !places.is_go {
        return None;
    }
    let load = |section: &SectionHeader64<Endianness>| {
        Some(Loaded {
            address: section.sh_addr(endian),
            data: read_section(file, endian, section, data)?,
        })
    };
    let functions = match (places.table, places.data) {
        (Some(table), _) => load(table),
        (None, Some(other)) => load(other).and_then(Loaded::skip_to_table),
        (None, None) => None,
    };
    let functions = functions.unwrap_or_default();
    let module = places.module.and_then(load).unwrap_or_default();
    let words = [(&functions, TEXT_IN_HEADER), (&module, TEXT_IN_MODULE)];
    let words = words.map(|(section, offset)| section.address.wrapping_add(offset));
    let text = functions
        .word(TEXT_IN_HEADER)
        .or_else(|| module.word(TEXT_IN_MODULE))
        .or_else(|| {
            let relocations = places.relocations.into_iter().filter_map(load);
            relocations
                .flat_map(|section| section.relocated(words))
                .next()
        });
    Some(GoTable { functions, text })
}

impl<'a> Places<'a> {
    fn among<'data: 'a, R: ReadRef<'data>>(
        sections: &SectionTable<'data, FileHeader64<Endianness>, R>,
        endian: Endianness,
    ) -> Self {
        let mut places = Self::default();
        for section in sections.iter() {
            if section.sh_type(endian) == SHT_NOBITS {
                continue;
            }
            match sections.section_name(endian, section).unwrap_or_default() {
                b".gopclntab" | b".data.rel.ro.gopclntab" => places.table = Some(section),
                b".data.rel.ro" => places.data = Some(section),
                b".go.module" => places.module = Some(section),
                b".note.go.buildid" | b".go.buildinfo" => places.is_go = true,
                _ if section.sh_type(endian) == SHT_RELA => places.relocations.push(section),
                _ => {}
            }
        }
        places.is_go |= places.table.is_some();
        places
    }
}

impl Loaded {
    /// The rest of the section from Go's table on.
    fn skip_to_table(mut self) -> Option<Self> {
        let first = self.address.wrapping_neg() % ALIGNMENT;
        let offsets = (first as usize..self.data.len()).step_by(ALIGNMENT as usize);
        let begins = |at: &usize| {
            let rest = &self.data[*at..];
            BEGINNINGS
                .iter()
                .any(|beginning| rest.starts_with(beginning))
        };
        let at = { offsets }.find(begins)?;
        self.data.drain(..at);
        self.address = self.address.wrapping_add(at as u64);
        Some(self)
    }

    /// A word that is not zero, as it would be where the loader fills it in.
    fn word(&self, offset: u64) -> Option<u64> {
        let bytes = self.data.get(usize::try_from(offset).ok()?..)?;
        let (word, _) = object::from_bytes::<U64<LE>>(bytes).ok()?;
        Some(word.get(LE)).filter(|word| *word != 0)
    }

    /// What the loader puts to one of two addresses, load bias apart: this section has the relocations.
    fn relocated(&self, addresses: [u64; 2]) -> Option<u64> {
        let count = self.data.len() / size_of::<Rela64<LE>>();
        let (relocations, _) = object::slice_from_bytes::<Rela64<LE>>(&self.data, count).ok()?;
        let wanted = relocations.iter().find(|relocation| {
            relocation.r_type(LE, false) == R_X86_64_RELATIVE
                && addresses.contains(&relocation.r_offset(LE))
        })?;
        Some(wanted.r_addend(LE) as u64)
    }
}
