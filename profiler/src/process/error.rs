//! What can go wrong between a process id and an open binary.

use std::io;
use std::path::PathBuf;

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

impl ProcessError {
    /// What the system reported about a process.
    pub(super) fn of(pid: u32, errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Denied { pid },
            errno => Self::Io {
                pid,
                source: errno.into(),
            },
        }
    }
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
    /// The process is one of a core file, and its file is not here.
    #[error("the file is not here; name where it is with --sysroot or --debug-dir")]
    Missing,
    /// The process is one of a core file, and what is here under the file's name is another build of it.
    #[error("{} is another build: it has the build-id {found}, the program had {wanted}", path.display())]
    OtherBuild {
        /// The file that is here.
        path: PathBuf,
        /// Its build-id, or what it has instead.
        found: String,
        /// The build-id in the core file, or what it has instead.
        wanted: String,
    },
    /// The process is one of a core file that holds nothing to tell the file by.
    #[error("{} may be another build: the core file has nothing to tell the file by, and it is newer", .0.display())]
    Unverified(PathBuf),
    /// The file is on a file system that asks a server, and the server did not answer in time.
    #[error("its file system did not answer in time")]
    NoAnswer,
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
        match self {
            Self::NoAnswer => true,
            Self::Binary(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Whether this is how `/proc` says that the process has gone: no entry any more, or an entry that was
/// opened in time but has no process behind it.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}
