//! Unwind rows of a binary: which rule finds the caller's frame at each address of its code.
//!
//! A binary goes in, [`Rows`] come out; [`Table`] arranges them as the kernel looks them up, and hands them to
//! whoever owns the kernel's tables through [`TableSink`]. What one rule does is `profiler_common::step`'s
//! business. Which process has a binary mapped where, and which rows are evicted when memory gets short, is
//! left to others; so is BPF.
//!
//! ```no_run
//! use profiler::addr::ElfAddr;
//! use profiler::binary::Binary;
//! use profiler::unwind::for_binary;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rows = for_binary(&Binary::open("/usr/bin/true")?)?;
//! println!("{} rows, at 0x1040: {}", rows.len(), rows.find(ElfAddr(0x1040)));
//! # Ok(())
//! # }
//! ```

mod cfi;
mod error;
mod go_table;
mod loaded;
mod misses;
mod pages;
mod report;
mod rows;
mod sections;
mod walk;

use cfi::{ENDBR64, start_files};
pub use cfi::{Framed, Input, Plt, Section, rows_of};
pub use error::UnwindError;
pub(crate) use loaded::for_loaded;
pub use misses::{Miss, Misses};
pub use pages::{MAX_SHARD_ROWS, Published, PublishedRegion, Table, TableSink};
pub use report::Report;
pub use rows::Rows;
pub use walk::{Stack, walk};

use crate::binary::Binary;

/// The rows of a binary, read from its open file.
///
/// A binary without unwind information has an answer too: rows that say to go by frame pointer.
///
/// # Errors
///
/// The binary is not for x86-64, or section headers that it has or the sections themselves cannot be read.
pub fn for_binary(binary: &Binary) -> Result<Rows, UnwindError> {
    let sections = sections::Sections::read(binary)?;
    // A file without section headers runs as well as any other.
    let loaded = (!sections.has_headers())
        .then(|| for_loaded(&loaded::AsLoaded(binary), binary))
        .flatten();
    Ok(loaded.unwrap_or_else(|| rows_of(&sections.input())))
}

#[cfg(test)]
mod tests;
