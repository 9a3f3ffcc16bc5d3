//! What can go wrong with a store, in words; errors while it runs are counted instead.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It is not there and cannot be made, or cannot be read.
    #[error("the directory {} for windows cannot be used: {cause}; make it, or name another: --dir DIR", directory.display())]
    Directory {
        /// Where windows should go.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another profiler writes there.
    #[error("another profiler writes its windows to {}; stop that one, or name another directory: --dir DIR", .0.display())]
    Locked(PathBuf),
    /// No file can be made in it.
    #[error("no window can be written to {}: {cause}; name another directory: --dir DIR", directory.display())]
    NotWritable {
        /// Where windows should go.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Why a window cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// There is none of the name (any more).
    #[error("there is no window {0}; it was removed, or never was; ask for the list again")]
    Unknown(String),
    /// It is not whole. It has been removed.
    #[error(
        "the window {0} was damaged, as by a power cut, and has been removed; there is no other copy"
    )]
    Damaged(String),
    /// The file cannot be read.
    #[error("the window {name} cannot be read: {cause}; look at the disk it is on")]
    Io {
        /// The window.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
}
