//! The bytes of a core file: read where they are asked for, never as a whole. What they mean is left to others.

use std::fmt;
use std::io;
use std::path::Path;

use object::{Endian, Endianness};

use super::CoreError;
use crate::binary::{ReadAt, open_regular};

/// How compressed files begin, what that is called, and what unpacks it.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (b"\x1f\x8b", "gzip", "gzip -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
];

/// A core file, or the bytes of one.
pub(super) struct Bytes {
    source: Box<dyn ReadAt + Send + Sync>,
    pub(super) size: u64,
    /// When it was written, in nanoseconds since 1970; bytes have no such time.
    pub(super) written_ns: Option<i64>,
}

impl Bytes {
    pub(super) fn open(path: &Path) -> Result<Self, CoreError> {
        let (file, stat) = open_regular(path).map_err(CoreError::Open)?;
        let bytes = Self {
            source: Box::new(file),
            size: stat.st_size.try_into().unwrap_or_default(),
            written_ns: Some(crate::binary::FileId::from(&stat).modified_ns),
        };
        bytes.checked()
    }

    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, CoreError> {
        let bytes = Self {
            size: bytes.len() as u64,
            source: Box::new(bytes),
            written_ns: None,
        };
        bytes.checked()
    }

    /// Some bytes, as many of them as there are; an offset beyond the end gives none.
    pub(super) fn available(&self, offset: u64, size: u64) -> Vec<u8> {
        // A size that a file claims but does not have takes no memory.
        let there = self.size.saturating_sub(offset).min(size);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(0)];
        let mut done = 0;
        while done < bytes.len() {
            match self
                .source
                .read_at(offset + done as u64, &mut bytes[done..])
            {
                Ok(0) | Err(_) => break,
                Ok(count) => done += count,
            }
        }
        bytes.truncate(done);
        bytes
    }

    /// Refuses what is recognised to be something else.
    fn checked(self) -> Result<Self, CoreError> {
        let begin = self.available(0, 8);
        if begin.is_empty() {
            return Err(CoreError::Empty);
        }
        match COMPRESSED
            .iter()
            .find(|(magic, ..)| begin.starts_with(magic))
        {
            Some((_, name, tool)) => Err(CoreError::Compressed { name, tool }),
            None => Ok(self),
        }
    }
}

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read_at(offset, buffer)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Width and byte order of the numbers in a core file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    pub(super) endian: Endianness,
    pub(super) is_64: bool,
}

impl Format {
    /// Bytes of an address.
    pub(super) fn word_size(self) -> usize {
        if self.is_64 { 8 } else { 4 }
    }

    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.endian.read_u16(*bytes))
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.endian.read_u32(*bytes))
    }

    /// A number as wide as an address.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.is_64 {
            return self.u32(bytes, at).map(u64::from);
        }
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(self.endian.read_u64(*bytes))
    }
}
