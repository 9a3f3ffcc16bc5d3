//! What can go wrong between a process id and an open binary.

use std::io;

use rustix::io::Errno;

use crate::binary::BinaryError;

/// The mappings of a process could not be read. That there is no such process is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The rights do not suffice.
    #[error(
        "not allowed to read the mappings of pid {pid}: run as root or with the capability CAP_SYS_PTRACE"
    )]
    Denied {
        /// The process.
        pid: u32,
    },
    /// Anything else; out of descriptors, for example.
    #[error("failed to read the mappings of pid {pid}")]
    Io {
        /// The process.
        pid: u32,
        /// What the system reported.
        source: io::Error,
    },
}

/// Why a mapping has no binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The memory is no file's.
    #[error("not a file")]
    NoFile,
    /// The process ended before the file was opened.
    #[error("the process ended before the file could be opened")]
    Gone,
    /// There is another file at the path now, and the mapped one cannot be reached in another way.
    #[error(
        "another file is at its path now; opening the mapped one needs the capability CAP_CHECKPOINT_RESTORE"
    )]
    OtherFile,
    /// The file has no path any more, and cannot be reached in another way.
    #[error("it was deleted; opening it nevertheless needs the capability CAP_CHECKPOINT_RESTORE")]
    Deleted,
    /// The file cannot be opened or is no ELF file.
    #[error(transparent)]
    Binary(#[from] BinaryError),
}

impl OpenError {
    /// Whether there is nothing to be opened: no file, or one that never was a binary. Programs map locales, fonts and
    /// databases as well.
    pub fn is_no_binary(&self) -> bool {
        matches!(
            self,
            Self::NoFile | Self::Binary(BinaryError::NotElf | BinaryError::NotRegular(_))
        )
    }

    /// Whether a later try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Binary(error) if error.is_transient())
    }
}

/// Whether this is how `/proc` says that the process has gone: no entry any more, or an entry that was
/// opened in time but has no process behind it.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}
