//! The dynamic symbol table of a file without section headers, found as the dynamic loader finds it.
//!
//! What the loader reads says where the table begins, but not how many symbols it has: that is in the hash tables.

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, U32};

use super::tables::{SymbolTable, VersionTables};
use super::{MAX_SYMBOLS, SYMBOLS_PER_READ};
use crate::binary::elf::{Headers, Region};
use crate::binary::table::{Table, read_entries, read_struct, read_table};
use crate::binary::{BinaryError, ReadAt};

// `d_tag`: System V gABI, "Dynamic Section", and the Linux Standard Base.
const DT_NULL: i64 = 0;
const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_STRSZ: i64 = 10;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_VERSYM: i64 = 0x6fff_fff0;
const DT_VERDEF: i64 = 0x6fff_fffc;
const DT_VERNEED: i64 = 0x6fff_fffe;

const WHAT: &str = "dynamic section";
/// A version table has no size of its own; it is read up to the end of its segment, of which more is not needed.
const LARGEST_VERSIONS: u64 = 64 << 10;

/// Symbols that share a bucket: linkers make as many buckets as it takes for a handful.
const LONGEST_CHAIN: u64 = 4096;

/// What the dynamic section says, as far as it is needed here.
#[derive(Default)]
struct Dynamic {
    hash: Option<u64>,
    gnu_hash: Option<u64>,
    symbols: Option<u64>,
    strings: Option<u64>,
    strings_size: u64,
    version_indices: Option<u64>,
    version_definitions: Option<u64>,
    version_needs: Option<u64>,
}

/// The dynamic symbol table; `None` when the file has no dynamic section with one.
pub(super) fn symbol_table(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
) -> Result<Option<SymbolTable>, BinaryError> {
    let Some(region) = headers.dynamic else {
        return Ok(None);
    };
    let (dynamic, symbol_size) = if headers.is_64 {
        (
            read::<FileHeader64<Endianness>>(source, headers, region)?,
            24,
        )
    } else {
        (
            read::<FileHeader32<Endianness>>(source, headers, region)?,
            16,
        )
    };
    let file = |address: Option<u64>| address.and_then(|address| to_end(headers, address));
    let (Some(symbols), Some(strings)) = (file(dynamic.symbols), file(dynamic.strings)) else {
        return Ok(None);
    };
    let count = if let Some(hash) = file(dynamic.hash) {
        // The second word is the number of chains, of which there is one for each symbol.
        read_word(source, headers, hash.offset.saturating_add(4))?.into()
    } else if let Some(hash) = file(dynamic.gnu_hash) {
        count_by_gnu_hash(source, headers, hash.offset)?
    } else {
        return Ok(None);
    };
    let versions = |address| {
        let mut region: Region = file(address)?;
        region.size = region.size.min(LARGEST_VERSIONS);
        Some(region)
    };
    Ok(Some(SymbolTable {
        is_dynamic: true,
        symbols: Region {
            offset: symbols.offset,
            size: count * symbol_size,
        },
        strings: Region {
            offset: strings.offset,
            size: dynamic.strings_size,
        },
        versions: VersionTables {
            indices: file(dynamic.version_indices),
            definitions: versions(dynamic.version_definitions),
            needs: versions(dynamic.version_needs),
        },
    }))
}

fn read<Elf: FileHeader<Endian = Endianness>>(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
    region: Region,
) -> Result<Dynamic, BinaryError> {
    let table = Table {
        offset: region.offset,
        count: region.size / size_of::<Elf::Dyn>() as u64,
    };
    let mut dynamic = Dynamic::default();
    let mut is_over = false;
    read_table::<Elf::Dyn>(source, table, WHAT, |entry| {
        let value: u64 = entry.d_val(headers.endian).into();
        let tag = entry.tag(headers.endian).0;
        is_over |= tag == DT_NULL;
        match tag {
            _ if is_over => {}
            DT_HASH => dynamic.hash = Some(value),
            DT_GNU_HASH => dynamic.gnu_hash = Some(value),
            DT_SYMTAB => dynamic.symbols = Some(value),
            DT_STRTAB => dynamic.strings = Some(value),
            DT_STRSZ => dynamic.strings_size = value,
            DT_VERSYM => dynamic.version_indices = Some(value),
            DT_VERDEF => dynamic.version_definitions = Some(value),
            DT_VERNEED => dynamic.version_needs = Some(value),
            _ => {}
        }
    })?;
    Ok(dynamic)
}

/// What the file has from an address on, up to the end of the segment.
fn to_end(headers: &Headers, address: u64) -> Option<Region> {
    headers.segments.iter().find_map(|segment| {
        let skipped = address.checked_sub(segment.vaddr.0)?;
        let size = segment.file_size.checked_sub(skipped)?;
        let offset = segment.offset.0.checked_add(skipped)?;
        (size > 0).then_some(Region { offset, size })
    })
}

/// One more than the last symbol that the table leads to ("GNU Hash ELF Sections", the format of binutils and glibc):
/// four words (number of buckets, first symbol, words of the filter, shift), the filter, the buckets with the first
/// symbol of each, and for each symbol a word whose lowest bit ends the bucket.
fn count_by_gnu_hash(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
    offset: u64,
) -> Result<u64, BinaryError> {
    let word = |index: u64| {
        let at = index.checked_mul(4).and_then(|at| at.checked_add(offset));
        read_word(source, headers, at.ok_or(BinaryError::Truncated(WHAT))?)
    };
    let (buckets, first) = (u64::from(word(0)?), u64::from(word(1)?));
    let filter_words = u64::from(word(2)?) * if headers.is_64 { 2 } else { 1 };
    if buckets > MAX_SYMBOLS {
        return Err(BinaryError::Malformed(WHAT));
    }
    let table = Table {
        offset: offset.saturating_add((4 + filter_words) * 4),
        count: buckets,
    };
    let mut last = 0;
    read_entries::<U32<Endianness>>(source, table, SYMBOLS_PER_READ, WHAT, |bucket| {
        last = last.max(u64::from(bucket.get(headers.endian)));
    })?;
    let Some(index) = last.checked_sub(first) else {
        return Ok(first);
    };
    let chains = 4 + filter_words + buckets;
    for index in index..index + LONGEST_CHAIN {
        if word(chains + index)? & 1 != 0 {
            return Ok(first + index + 1);
        }
    }
    Err(BinaryError::Malformed(WHAT))
}

fn read_word(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
    offset: u64,
) -> Result<u32, BinaryError> {
    read_struct::<U32<Endianness>>(source, offset, WHAT).map(|word| word.get(headers.endian))
}
