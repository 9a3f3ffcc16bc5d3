//! Tables of ELF structures, read piece by piece. What the entries mean is left to `elf`.

use object::pod::{self, Pod};

use super::read_at::read_exact;
use super::{BinaryError, ReadAt};

/// More program headers or sections than any tool writes; real files stay below a few thousand.
const MAX_HEADERS: u64 = 1 << 20;
/// How many headers one read fetches: a usual table in one system call, in a page of memory.
const HEADERS_PER_READ: u64 = 64;
/// The largest of the structures read here, in the unit that makes a buffer aligned for all of them.
const HEADER_WORDS: usize = 8;

/// Where a table of headers lies and how many entries it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) offset: u64,
    pub(super) count: u64,
}

/// Reads a table of headers.
pub(super) fn read_table<T: Pod>(
    source: &(impl ReadAt + ?Sized),
    table: Table,
    what: &'static str,
    visit: impl FnMut(&T),
) -> Result<(), BinaryError> {
    if table.count > MAX_HEADERS {
        return Err(BinaryError::Malformed(what));
    }
    read_entries(source, table, HEADERS_PER_READ, what, visit)
}

/// Reads a table `at_once` entries at a time, so that memory does not grow with the count that a file claims.
pub(super) fn read_entries<T: Pod>(
    source: &(impl ReadAt + ?Sized),
    table: Table,
    at_once: u64,
    what: &'static str,
    mut visit: impl FnMut(&T),
) -> Result<(), BinaryError> {
    let size = size_of::<T>() as u64;
    let mut buffer = vec![0u64; HEADER_WORDS * table.count.min(at_once) as usize];
    let mut done = 0;
    while done < table.count {
        let count = (table.count - done).min(at_once);
        let bytes = &mut pod::bytes_of_slice_mut(&mut buffer)[..(count * size) as usize];
        let offset = table
            .offset
            .checked_add(done * size)
            .ok_or(BinaryError::Truncated(what))?;
        read_exact(source, offset, bytes, what)?;
        let (entries, _) = pod::slice_from_bytes::<T>(bytes, count as usize)
            .map_err(|()| BinaryError::Malformed(what))?;
        entries.iter().for_each(&mut visit);
        done += count;
    }
    Ok(())
}

/// Reads one structure.
pub(super) fn read_struct<T: Pod>(
    source: &(impl ReadAt + ?Sized),
    offset: u64,
    what: &'static str,
) -> Result<T, BinaryError> {
    let mut value = None;
    read_table(source, Table { offset, count: 1 }, what, |entry: &T| {
        value = Some(*entry);
    })?;
    value.ok_or(BinaryError::Malformed(what))
}
