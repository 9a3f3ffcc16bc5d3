//! Why a binary could not be read. The caller adds which one it was.

use std::io;

use rustix::fs::FileType;

/// Why a file or a memory image could not be read as a binary.
///
/// That a binary has no build-id is not among these: it is an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// A directory, a FIFO, a socket or a device; nothing of it was read, and a device was not even opened.
    #[error("not a regular file but a {}", file_type_name(*.0))]
    NotRegular(FileType),
    /// The four bytes that begin every ELF file are not there.
    #[error("not an ELF file")]
    NotElf,
    /// The file ends, or the note region ends, before the named part does.
    #[error("truncated {0}")]
    Truncated(&'static str),
    /// The named part has a value that the ELF specification does not know.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// So many files are open that the rest is needed for other things.
    #[error("too many files are open: raise the limit, `ulimit -n`")]
    NoDescriptor,
    /// The system refused to open or read it.
    #[error("failed to read the file")]
    Io(#[from] io::Error),
}

impl BinaryError {
    /// Whether a later try may succeed although the file stays what it is: rights, descriptors or memory
    /// were short, or the device failed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoDescriptor | Self::Io(_))
    }
}

impl From<rustix::io::Errno> for BinaryError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

fn file_type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of unknown type",
    }
}
