//! The symbols of a binary that have a certain name: where they are, how large, and of what kind.
//!
//! Both tables are looked through, `.dynsym` and `.symtab`, and the first also where there are no section headers.
//! Names for addresses, the other direction, are left to [`crate::symbolize`]; where the binary lies in a process, to
//! [`crate::process`].

mod dynamic;
mod pattern;
mod strings;
mod tables;
mod versions;

use std::collections::HashSet;
use std::fmt;

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, Sym};

use super::elf::Headers;
use super::table::{Table, read_entries};
use super::{Binary, BinaryError, ReadAt};
use crate::addr::ElfAddr;
use strings::Strings;
use tables::SymbolTable;
use versions::Versions;

pub use pattern::SymbolPattern;

/// More symbols than any file has: those of the largest browsers, with local ones, are below two million.
const MAX_SYMBOLS: u64 = 1 << 24;
/// 128 KiB at a time.
const SYMBOLS_PER_READ: u64 = 2048;

/// A symbol that a binary defines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Symbol {
    /// Its name, without the version; what is no UTF-8 is replaced.
    pub name: String,
    /// The version of its name, if it has one.
    pub version: Option<SymbolVersion>,
    /// `st_value`: an address as the file states it, for most kinds; see [`Self::address`].
    pub value: u64,
    /// `st_size`, in bytes; 0 when the file does not say.
    pub size: u64,
    /// What it is.
    pub kind: SymbolType,
}

/// The version of a name: a library may define a name several times, each for programs of another age.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SymbolVersion {
    /// As in `GLIBC_2.2.5`.
    pub name: String,
    /// Programs that are linked now get this one.
    pub is_default: bool,
}

/// What a symbol is: its type, and whether its value is an address at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SymbolType {
    /// Code.
    Func,
    /// Data.
    Object,
    /// Code or data; nobody said.
    NoType,
    /// A function that is called once, and returns the address of the one to be called (`STT_GNU_IFUNC`).
    Ifunc,
    /// A variable that each thread has: the value is an offset in the module's block of them, no address.
    Tls,
    /// A number, no address (`SHN_ABS`).
    Absolute,
    /// A type that only some operating system or processor knows.
    Other,
}

/// Adds to `found` what the binary defines by a name.
///
/// A symbol of `.symtab` that `.dynsym` has too comes once, with its version. Symbols that the binary only uses, and
/// names of sections and source files, do not count.
///
/// # Errors
///
/// A table is damaged; what was found in the other one, and before the damage, is in `found` nevertheless.
pub fn find_symbols(
    binary: &Binary,
    pattern: &SymbolPattern,
    found: &mut Vec<Symbol>,
) -> Result<(), BinaryError> {
    let (source, headers) = (binary.file(), binary.headers());
    let tables = tables::symbol_tables(source, headers)?;
    // The dynamic table comes first, because it has the versions.
    let mut dynamic = HashSet::new();
    let mut result = Ok(());
    for table in &tables {
        let mut add = |symbol: Symbol| {
            let key = (symbol.name.clone(), symbol.value);
            if table.is_dynamic {
                dynamic.insert(key);
            } else if dynamic.contains(&key) {
                return;
            }
            found.push(symbol);
        };
        let read = if headers.is_64 {
            read_symbols::<FileHeader64<Endianness>>(source, headers, table, pattern, &mut add)
        } else {
            read_symbols::<FileHeader32<Endianness>>(source, headers, table, pattern, &mut add)
        };
        result = result.and(read);
    }
    result
}

fn read_symbols<Elf: FileHeader<Endian = Endianness>>(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
    table: &SymbolTable,
    pattern: &SymbolPattern,
    add: &mut impl FnMut(Symbol),
) -> Result<(), BinaryError> {
    const WHAT: &str = "symbol table";
    let count = table.symbols.size / size_of::<Elf::Sym>() as u64;
    if count > MAX_SYMBOLS {
        return Err(BinaryError::Malformed(WHAT));
    }
    if !strings::may_have(source, table.strings, pattern)? {
        return Ok(());
    }
    let strings = Strings::read(source, table.strings)?;
    let mut versions = Versions::new(source, headers.endian, table.versions);
    let entries = Table {
        offset: table.symbols.offset,
        count,
    };
    let mut next = 0;
    read_entries::<Elf::Sym>(source, entries, SYMBOLS_PER_READ, WHAT, |entry| {
        let index = next;
        next += 1;
        let section = entry.st_shndx(headers.endian).0;
        let Some(kind) = SymbolType::of(entry.st_type().0, section) else {
            return;
        };
        let name = strings.at(entry.st_name(headers.endian));
        let (base, version) = pattern::split(name);
        if !pattern.has_name(base) && !pattern.has_name(name) {
            return;
        }
        let symbol = Symbol {
            name: String::from_utf8_lossy(base).into_owned(),
            version: version.or_else(|| versions.of(index, &strings)),
            value: entry.st_value(headers.endian).into(),
            size: entry.st_size(headers.endian).into(),
            kind,
        };
        if pattern.has_version(symbol.version.as_ref()) {
            add(symbol);
        }
    })
}

impl Symbol {
    /// Where it is, as the file states addresses; `None` for what has no address.
    ///
    /// For [`SymbolType::Ifunc`] that is the function that chooses, not the chosen one.
    pub fn address(&self) -> Option<ElfAddr> {
        match self.kind {
            SymbolType::Tls | SymbolType::Absolute => None,
            _ => Some(ElfAddr(self.value)),
        }
    }
}

/// The name with its version, as linkers write it: `memcpy@@GLIBC_2.14`, with one `@` if it is not the default one.
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) if version.is_default => write!(f, "@@{}", version.name),
            Some(version) => write!(f, "@{}", version.name),
            None => Ok(()),
        }
    }
}

impl SymbolType {
    /// The type of a symbol that is defined, by `STT_*` and section index; `None` for others.
    fn of(kind: u8, section: u16) -> Option<Self> {
        // System V gABI, "Symbol Table": types, and section indices that are none.
        const SECTION: u8 = 3;
        const FILE: u8 = 4;
        const ABSOLUTE: u16 = 0xfff1;
        match (kind, section) {
            (SECTION | FILE, _) | (_, 0) => None,
            (_, ABSOLUTE) => Some(Self::Absolute),
            // Common blocks of files that are not linked yet, and what only some processors know.
            // (The index 0xffff says that a section's number is elsewhere because it is a large one.)
            (_, 0xff00..=0xfffe) => None,
            (0, _) => Some(Self::NoType),
            (1 | 5, _) => Some(Self::Object),
            (2, _) => Some(Self::Func),
            (6, _) => Some(Self::Tls),
            (10, _) => Some(Self::Ifunc),
            _ => Some(Self::Other),
        }
    }

    /// One word for people and programs: `func`, `object`, `notype`, `ifunc`, `tls`, `absolute` or `other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Func => "func",
            Self::Object => "object",
            Self::NoType => "notype",
            Self::Ifunc => "ifunc",
            Self::Tls => "tls",
            Self::Absolute => "absolute",
            Self::Other => "other",
        }
    }
}
