//! Which symbol tables a file has, and which other parts belong to each.

use super::dynamic;
use crate::binary::elf::{Headers, Region, Section};
use crate::binary::{BinaryError, ReadAt};

// `sh_type`: System V gABI, and "Symbol Versioning" of the Linux Standard Base.
const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const SHT_GNU_VERDEF: u32 = 0x6fff_fffd;
const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;
const SHT_GNU_VERSYM: u32 = 0x6fff_ffff;

/// A symbol table and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SymbolTable {
    /// What the dynamic loader sees (`.dynsym`), not what the linker left for people (`.symtab`).
    pub(super) is_dynamic: bool,
    pub(super) symbols: Region,
    pub(super) strings: Region,
    pub(super) versions: VersionTables,
}

/// Where the versions of a symbol table are.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct VersionTables {
    /// A number of 16 bits for each symbol (`.gnu.version`).
    pub(super) indices: Option<Region>,
    /// What these stand for in this file (`.gnu.version_d`).
    pub(super) definitions: Option<Region>,
    /// What these stand for in others (`.gnu.version_r`): of variables that were copied into a program.
    pub(super) needs: Option<Region>,
}

/// The symbol tables of a file, the dynamic one first.
pub(super) fn symbol_tables(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
) -> Result<Vec<SymbolTable>, BinaryError> {
    let (mut full, mut dynamic): (Option<Section>, Option<Section>) = (None, None);
    let mut versions = VersionTables::default();
    let read = headers.sections(source, |section| match section.kind {
        SHT_SYMTAB => full = full.or(Some(section)),
        SHT_DYNSYM => dynamic = dynamic.or(Some(section)),
        SHT_GNU_VERSYM => versions.indices = Some(section.region),
        SHT_GNU_VERDEF => versions.definitions = Some(section.region),
        SHT_GNU_VERNEED => versions.needs = Some(section.region),
        _ => {}
    });
    let table = |section: Section, is_dynamic, versions| {
        Ok(SymbolTable {
            is_dynamic,
            symbols: section.region,
            strings: headers.section(source, section.link)?.region,
            versions,
        })
    };
    let dynamic = match dynamic {
        Some(section) => Some(table(section, true, versions)),
        // Without section headers the file can be run, and so it says elsewhere where this table is.
        None => dynamic::symbol_table(source, headers).transpose(),
    };
    let full = full.map(|section| table(section, false, VersionTables::default()));
    let tables: Vec<_> = dynamic.into_iter().chain(full).collect::<Result<_, _>>()?;
    if tables.is_empty() {
        read?;
    }
    Ok(tables)
}
