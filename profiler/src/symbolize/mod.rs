//! Names for addresses: functions, source lines and inlined calls, or the reason why there are none.
//!
//! Knows binaries and their debug information, the kernel's symbols and the perf maps of JITs.
//! Knows nothing of samples; runs after sampling has stopped.

use std::path::PathBuf;
use std::sync::Arc;

use crate::addr::ElfAddr;
use crate::binary::Binary;

/// How much to find out about each address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Nothing; whoever reads the profile symbolizes it.
    None,
    /// Function names from symbol tables.
    Functions,
    /// Functions, inlined calls, files and lines from debug information.
    #[default]
    Full,
}

/// Where the code of a group of addresses comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An ELF file that is held open; addresses are [`ElfAddr`]s of that file.
    Binary(Arc<Binary>),
    /// The kernel; addresses are kernel addresses.
    Kernel,
    /// Code that a JIT compiler wrote; addresses are addresses in the process and named by its perf map.
    PerfMap(PathBuf),
}

/// One function that an address belongs to; several for an address in inlined code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Function {
    /// Name for people, demangled.
    pub name: String,
    /// Name as the symbol table has it, mangled; empty when the name never was mangled but looks as if
    /// (see rule F.4 of the pprof notes in ARCHITECTURE.md).
    pub system_name: String,
    /// Source file, empty when not known.
    pub file: String,
    /// Line of the address in `file`, 0 when not known.
    pub line: u32,
}

/// Why an address has no name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Miss {
    /// The binary has no symbol table and no debug file for it was found.
    Stripped,
    /// There are symbols, but none covers the address.
    NoSymbol,
    /// The binary or the symbol source cannot be read or parsed; the text says why.
    Unreadable(String),
}

/// The answer for one address: functions, innermost first, or why there are none.
pub type Named = Result<Vec<Function>, Miss>;

/// An address to be named, in the terms of its [`Source`].
pub type Query = ElfAddr;
