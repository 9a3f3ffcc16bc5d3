//! The build-ids of a mapped file, also when only the memory of the process still has it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::mapping::Mapping;
use super::{MappingKind, OpenError};
use crate::binary::{BuildIds, ReadAt, build_id_of_file, build_id_of_image};

/// A binary as it lies in a process's memory.
struct MemoryImage {
    memory: File,
    /// Where its ELF header is.
    start: u64,
}

impl ReadAt for MemoryImage {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // Beyond the last address there is nothing, as beyond the end of a file.
        match self.start.checked_add(offset) {
            Some(address) => self.memory.read_at(address, buffer),
            None => Ok(0),
        }
    }
}

impl Mapping {
    /// The build-ids of the mapped file; read from the memory of the process where the file cannot be opened any more.
    ///
    /// # Errors
    ///
    /// There is no file, it is no ELF file, or neither file nor memory can be read. If the file could not be opened, its
    /// error is given, not that of the memory.
    pub fn build_ids(&self) -> Result<BuildIds, Arc<OpenError>> {
        if let Some(binary) = self.binary() {
            return build_id_of_file(binary.file()).map_err(|error| Arc::new(error.into()));
        }
        let error = self
            .binary_error()
            .unwrap_or_else(|| Arc::new(OpenError::Gone));
        match &*error {
            OpenError::Binary(_) if !error.is_transient() => {}
            _ => match self.build_ids_in_memory() {
                Ok(ids) => return Ok(ids),
                Err(other) => log::debug!("{}: {other}", self.path.display()),
            },
        }
        Err(error)
    }

    /// The build-ids that the process's memory has where this file is mapped.
    pub(super) fn build_ids_in_memory(&self) -> Result<BuildIds, OpenError> {
        if !matches!(self.kind, MappingKind::File | MappingKind::Memfd) {
            return Err(OpenError::NoFile);
        }
        // The ELF header is the first byte of the file, and part of the image if that can be run.
        let header = self.siblings().iter().filter(|range| range.offset.0 == 0);
        let start = header
            .map(|range| range.start)
            .filter(|start| *start <= self.start)
            .max()
            .ok_or(OpenError::NoFile)?;
        let memory = self.parts.source.directory()?.memory();
        let image = MemoryImage {
            memory: memory.map_err(|errno| OpenError::Binary(errno.into()))?,
            start: start.0,
        };
        Ok(build_id_of_image(&image)?)
    }
}
