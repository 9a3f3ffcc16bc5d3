//! What an ELF file says about itself: its build-id, its segments, and how file offsets become addresses.
//!
//! Files are opened once and the descriptor is kept, so that everything behind this module works for files
//! that have been deleted or replaced since. Names of functions are left to [`crate::symbolize`].

use std::fs::File;
use std::path::{Path, PathBuf};

/// The GNU build-id of a binary: what the linker stamped it with, at its real length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Box<[u8]>);

impl BuildId {
    /// The bytes of the note's descriptor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A binary that is held open.
#[derive(Debug)]
pub struct Binary {
    file: File,
    path: PathBuf,
    build_id: Option<BuildId>,
}

impl Binary {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            path: path.to_owned(),
            build_id: None,
        })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path by which the process knows the file; not for opening it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The GNU build-id, if the file has one.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }
}

impl std::fmt::Debug for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
