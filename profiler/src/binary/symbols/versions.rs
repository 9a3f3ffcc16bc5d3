//! Versions of names: which one a symbol of the dynamic table has.
//!
//! Each symbol has a number; the number's name is among the versions that the file defines, or among those that it needs
//! ("Symbol Versioning" of the Linux Standard Base; the same structures in both classes).

use std::cell::Cell;
use std::collections::HashMap;

use object::Endianness;
use object::endian::Endian;

use super::SymbolVersion;
use super::strings::Strings;
use super::tables::VersionTables;
use crate::binary::ReadAt;
use crate::binary::elf::Region;
use crate::binary::read_at::read_exact;

/// Not the version that programs which are linked now get.
const HIDDEN: u16 = 0x8000;
/// Local and unversioned symbols have the numbers below.
const FIRST: u16 = 2;
/// Those of the C library take 2 KiB, of which each entry takes at least 20 bytes.
const MAX_SIZE: u64 = 1 << 20;
/// As many versions as there are numbers for them.
const MAX_ENTRIES: u32 = 1 << 15;

/// What a number stands for.
#[derive(Clone, Copy)]
struct Name {
    /// Where the name is in the string table.
    offset: u32,
    /// This file defines it; else another one, which a variable was copied from.
    is_defined: bool,
}

/// The versions of one symbol table.
pub(super) struct Versions<'a, R: ?Sized> {
    source: &'a R,
    endian: Endianness,
    tables: VersionTables,
    /// Read when the first is asked for.
    names: Option<HashMap<u16, Name>>,
    /// Entries that may be looked at yet: those of a damaged table may overlap.
    entries_left: Cell<u32>,
}

impl<'a, R: ReadAt + ?Sized> Versions<'a, R> {
    pub(super) fn new(source: &'a R, endian: Endianness, tables: VersionTables) -> Self {
        Self {
            source,
            endian,
            tables,
            names: None,
            entries_left: Cell::new(MAX_ENTRIES),
        }
    }

    /// The version of the symbol with an index. A damaged table costs versions, not symbols.
    pub(super) fn of(&mut self, index: u64, strings: &Strings) -> Option<SymbolVersion> {
        let indices = self.tables.indices?;
        let at = index.checked_mul(2).filter(|at| *at < indices.size)?;
        let mut bytes = [0; 2];
        let offset = indices.offset.checked_add(at)?;
        read_exact(self.source, offset, &mut bytes, "symbol versions").ok()?;
        let number = self.endian.read_u16(bytes);
        let version = number & !HIDDEN;
        if version < FIRST {
            return None;
        }
        if self.names.is_none() {
            self.names = Some(self.read_names());
        }
        let name = self.names.as_ref()?.get(&version)?;
        Some(SymbolVersion {
            name: String::from_utf8_lossy(strings.at(name.offset)).into_owned(),
            is_default: name.is_defined && number & HIDDEN == 0,
        })
    }

    fn read_names(&self) -> HashMap<u16, Name> {
        let mut names = HashMap::new();
        if let Some(bytes) = self.read(self.tables.needs) {
            self.read_needs(&bytes, &mut names);
        }
        if let Some(bytes) = self.read(self.tables.definitions) {
            self.read_definitions(&bytes, &mut names);
        }
        names
    }

    fn read(&self, region: Option<Region>) -> Option<Vec<u8>> {
        let region = region.filter(|region| region.size <= MAX_SIZE)?;
        let mut bytes = vec![0; region.size as usize];
        read_exact(self.source, region.offset, &mut bytes, "symbol versions").ok()?;
        Some(bytes)
    }

    /// `Verdef`: version, flags, index, count (2 bytes each), hash, offset of the first `Verdaux`, offset of the next
    /// (4 each). `Verdaux`: name (4).
    fn read_definitions(&self, bytes: &[u8], names: &mut HashMap<u16, Name>) {
        self.each(bytes, 0, 16, |at| {
            let number = self.u16(bytes, at + 4)?;
            let aux = at.checked_add(self.u32(bytes, at + 12)? as usize)?;
            let name = Name {
                offset: self.u32(bytes, aux)?,
                is_defined: true,
            };
            names.insert(number & !HIDDEN, name);
            Some(())
        });
    }

    /// `Verneed`: version, count (2 bytes each), file, offset of the first `Vernaux`, offset of the next (4 each).
    /// `Vernaux`: hash (4), flags, number (2 each), name, offset of the next (4 each).
    fn read_needs(&self, bytes: &[u8], names: &mut HashMap<u16, Name>) {
        self.each(bytes, 0, 12, |at| {
            let aux = at.checked_add(self.u32(bytes, at + 8)? as usize)?;
            self.each(bytes, aux, 12, |at| {
                let number = self.u16(bytes, at + 6)?;
                let name = Name {
                    offset: self.u32(bytes, at + 8)?,
                    is_defined: false,
                };
                names.insert(number & !HIDDEN, name);
                Some(())
            });
            Some(())
        });
    }

    /// Walks a list of entries, each of which says at `link` how far away the next one is.
    fn each(
        &self,
        bytes: &[u8],
        mut at: usize,
        link: usize,
        mut visit: impl FnMut(usize) -> Option<()>,
    ) {
        while let Some(left) = self.entries_left.get().checked_sub(1)
            && visit(at).is_some()
        {
            self.entries_left.set(left);
            let next = self.u32(bytes, at + link).filter(|next| *next > 0);
            match next.and_then(|next| at.checked_add(next as usize)) {
                Some(next) => at = next,
                None => break,
            }
        }
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.endian.read_u16(*bytes))
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.endian.read_u32(*bytes))
    }
}
