//! Reading bytes at a position, from whatever holds an ELF image. What the bytes mean is left to others.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::BinaryError;

/// Bytes that can be read at any position: a file, a slice, the memory of a process, a core file.
pub trait ReadAt {
    /// Reads some bytes at `offset` and says how many; zero at and beyond the end.
    ///
    /// # Errors
    ///
    /// Whatever the source reports; for the memory of a process that includes addresses that are not mapped.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // Offsets are signed in the kernel; those that are not answer like the end of the file.
        if i64::try_from(offset).is_err() {
            return Ok(0);
        }
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buffer)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buffer)
    }
}

/// Fills `buffer`, or says that `what` is truncated.
pub(super) fn read_exact(
    source: &(impl ReadAt + ?Sized),
    mut offset: u64,
    mut buffer: &mut [u8],
    what: &'static str,
) -> Result<(), BinaryError> {
    while !buffer.is_empty() {
        match source.read_at(offset, buffer) {
            Ok(0) => return Err(BinaryError::Truncated(what)),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset = offset
                    .checked_add(count as u64)
                    .ok_or(BinaryError::Truncated(what))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
