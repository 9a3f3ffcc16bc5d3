//! A binary that is held open, with what its headers say.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Stat, fstat, memfd_create};

use super::elf::Headers;
use super::ids::ids_of_file;
use super::{BinaryError, BuildId, BuildIds, FileId, Segment, open_regular};
use crate::addr::ElfAddr;

/// A binary that is held open.
///
/// It can be read as long as the value lives, whatever happens to the file's name or to the process that
/// had it mapped.
#[derive(Debug)]
pub struct Binary {
    file: File,
    path: PathBuf,
    id: FileId,
    build_ids: BuildIds,
    headers: Headers,
}

impl Binary {
    /// Opens the file at a path of this process's own view.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is not a regular file, or has no readable ELF and program headers.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BinaryError> {
        let path = path.into();
        let (file, stat) = open_regular(&path)?;
        Self::from_parts(file, path, &stat)
    }

    /// Takes a file that is open already; `path` is for people to read and is never opened.
    ///
    /// # Errors
    ///
    /// The file has no readable ELF and program headers.
    pub fn from_file(file: File, path: impl Into<PathBuf>) -> Result<Self, BinaryError> {
        let stat = fstat(&file)?;
        Self::from_parts(file, path.into(), &stat)
    }

    /// Keeps an image that is no file, such as the vDSO's, in an unnamed file of this process.
    ///
    /// # Errors
    ///
    /// No such file can be made, or the image has no readable ELF and program headers.
    pub fn from_image(image: &[u8], name: &str) -> Result<Self, BinaryError> {
        let descriptor: OwnedFd = memfd_create(name, MemfdFlags::CLOEXEC)?;
        let mut file = File::from(descriptor);
        std::io::Write::write_all(&mut file, image)?;
        Self::from_file(file, name)
    }

    fn from_parts(file: File, path: PathBuf, stat: &Stat) -> Result<Self, BinaryError> {
        let headers = Headers::read(&file)?;
        // A damaged note costs the id, not the names that the file can still give.
        let build_ids = ids_of_file(&file, &headers).unwrap_or_else(|error| {
            log::debug!("no build-id in {}: {error}", path.display());
            BuildIds::default()
        });
        Ok(Self {
            file,
            path,
            id: FileId::from(stat),
            build_ids,
            headers,
        })
    }

    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path by which a process knows the file, without ` (deleted)`; not for opening it. Where processes
    /// know it by different paths, this is that of the first one met.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The GNU build-id, if the file has one.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.build_ids.gnu.as_ref()
    }

    /// The Go build id, if the file has one: the text that `go tool buildid` prints.
    pub fn go_build_id(&self) -> Option<&[u8]> {
        self.build_ids.go.as_deref()
    }

    /// The `PT_LOAD` program headers, in the order of the file.
    pub fn segments(&self) -> &[Segment] {
        &self.headers.segments
    }

    /// Whether it is a shared library or a position-independent program (`ET_DYN`).
    pub fn is_position_independent(&self) -> bool {
        self.headers.is_dyn
    }

    /// Whether it names a program interpreter (`PT_INTERP`), as dynamically linked programs do.
    pub fn has_interpreter(&self) -> bool {
        self.headers.has_interpreter
    }

    /// Whether it is of the 64-bit class.
    pub fn is_64_bit(&self) -> bool {
        self.headers.is_64
    }

    /// `e_machine`: the instruction set, numbered as in `elf.h`.
    pub fn machine(&self) -> u16 {
        self.headers.machine
    }

    /// `e_entry`: where execution begins; 0 when there is no such place.
    pub fn entry(&self) -> ElfAddr {
        self.headers.entry
    }
}
