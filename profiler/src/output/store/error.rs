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
