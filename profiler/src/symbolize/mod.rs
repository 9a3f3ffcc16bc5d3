//! Names for addresses: functions, source lines and inlined calls, or the reason why there are none.
//!
//! Knows binaries and their debug information, the kernel's symbols and the perf maps of JITs.
//! Knows nothing of samples; runs after sampling has stopped.

mod contents;
mod debug_files;
mod elf;
mod guard;
mod kernel;
mod names;
mod perf_map;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::addr::ElfAddr;
use crate::binary::Binary;

use contents::Contents;
pub(crate) use elf::Readers;
pub use guard::silence_caught_panics;
pub(crate) use kernel::KernelSymbols;

/// Finds out what the code at an address is called.
///
/// Holds no binary between two calls: memory stays bounded over any number of them. So ask for all addresses of
/// one binary in one call. Calls do not share anything and may run on several threads.
#[derive(Debug)]
pub struct Symbolizer {
    detail: Detail,
    options: Options,
}

impl Symbolizer {
    /// A symbolizer that finds out as much as `detail` says.
    pub fn new(detail: Detail, options: Options) -> Self {
        Self { detail, options }
    }

    /// The names at `addresses`, all of which are in the terms of `source`, in the order asked.
    ///
    /// Addresses may come in any order and more than once. Of callers, pass the address inside the call
    /// ([`crate::addr::CodeAddr::lookup`]), not the one it returns to.
    pub fn symbolize(&self, source: &Source, addresses: &[ElfAddr]) -> Vec<Named> {
        self.symbolize_by(&mut Readers::default(), source, addresses)
    }

    /// The same, with what was read of the file before.
    pub(crate) fn symbolize_by(
        &self,
        readers: &mut Readers,
        source: &Source,
        addresses: &[ElfAddr],
    ) -> Vec<Named> {
        if self.detail == Detail::None || addresses.is_empty() {
            return vec![Err(Miss::NotAsked); addresses.len()];
        }
        match source {
            Source::Binary(binary) => readers.name(binary, self.detail, &self.options, addresses),
            Source::Kernel => KernelSymbols::default().name(&self.options.kallsyms, addresses),
            Source::PerfMap(path) => perf_map::symbolize(path, addresses),
        }
    }
}

impl Options {
    /// Whether the kernel's list shows where its functions are; if not, they have no names.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub(crate) fn kernel_symbols_are_shown(&self) -> io::Result<bool> {
        kernel::shows_addresses(&self.kallsyms)
    }

    /// The separate debug file of the binary at `path`, if there is one that belongs to it.
    ///
    /// # Errors
    ///
    /// The binary cannot be read.
    pub(crate) fn debug_file(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let contents = Contents::read(&File::open(path)?).map_err(io::Error::other)?;
        Ok(debug_files::find(&contents, path, &self.debug_dirs).map(|found| found.path))
    }
}

/// Where a [`Symbolizer`] looks, and how much it may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Directories with separate debug files, searched in this order.
    pub debug_dirs: Vec<PathBuf>,
    /// The kernel's list of its symbols.
    pub kallsyms: PathBuf,
    /// Bytes of memory that naming the addresses of one binary may add to what the process uses.
    ///
    /// Mapped pages of files count. A soft limit: it is looked at every few addresses, and what a binary needs
    /// before its first address can be named (the list of its compilation units) is not bounded by it.
    /// Debug information that is compressed and would be larger than this when unpacked is not read.
    pub memory_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            debug_dirs: debug_files::DEFAULT_DIRECTORIES.map(PathBuf::from).to_vec(),
            kallsyms: PathBuf::from("/proc/kallsyms"),
            memory_limit: 160 << 20,
        }
    }
}

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
    /// Name as the symbol table has it, mangled; equal to `name` when it never was mangled, and empty when it
    /// never was but contains `<` or `(`, because pprof would cut the name there if it found both to be equal.
    pub system_name: String,
    /// Source file with its directory, as the debug information states it; empty when not known.
    pub file: String,
    /// Line of the address in `file`, 0 when not known.
    pub line: u32,
}

/// Why an address has no name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Miss {
    /// Nobody wanted to know ([`Detail::None`]).
    NotAsked,
    /// The binary has no symbol table and no debug file for it was found.
    Stripped,
    /// There are symbols, but none covers the address.
    NoSymbol,
    /// The binary or the symbol source cannot be read or parsed; the text says why.
    Unreadable(String),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("symbolization is turned off"),
            Self::Stripped => f.write_str("stripped, and no debug file found"),
            Self::NoSymbol => f.write_str("no symbol covers the address"),
            Self::Unreadable(reason) => write!(f, "unreadable: {reason}"),
        }
    }
}

/// The answer for one address: functions, innermost first and at least one, or why there are none.
pub type Named = Result<Vec<Function>, Miss>;
