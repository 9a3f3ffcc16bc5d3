//! Why a binary has no rows at all. What is wrong with a part of it is a [`Miss`](super::Miss).

use std::io;

/// Why the unwind information of a binary could not be looked for. The caller adds which binary it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnwindError {
    /// Rows are made for the registers of x86-64 only.
    #[error("unwinding is for 64-bit x86 only, this is code for ELF machine {0}")]
    Machine(u16),
    /// The named part contradicts the ELF specification or lies beyond the end of the file.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The system refused to read the file.
    #[error("failed to read the file")]
    Io(#[from] io::Error),
}
