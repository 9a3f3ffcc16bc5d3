//! The mappings of processes as the walk in the kernel sees them: which rows are for which addresses.
//!
//! ```text
//!  PROCESSES: pid ─▶ (first, end, generation)       MAPPINGS: all processes' mappings, each process's in one run,
//!                                         ascending, immutable; a change writes a new run and swaps the pair
//! ```

/// The run of mappings of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ProcessRun {
    /// Number of the first mapping.
    pub first: u32,
    /// Number behind the last.
    pub end: u32,
    /// What tells this run from all others that there are or were, so that what was found with it can be kept; never 0.
    /// The lowest bit is [`Self::LEFT_OUT`].
    pub generation: u64,
}

impl ProcessRun {
    /// Set where mappings without rows had no room. Elsewhere what is in no mapping was mapped since, and it is not known
    /// how code there is walked until user space has looked again; so no guess is made.
    pub const LEFT_OUT: u64 = 1;
}

/// A range of executable memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct MappingRun {
    /// First address in the process.
    pub start: u64,
    /// The address behind the last.
    pub limit: u64,
    /// The load bias: subtracted, wrapping, from an address in the process to get the one that the file states.
    pub bias: u64,
    /// The bits of the [`Rule`](crate::Rule) for all of the range, or 0 if it has rows.
    pub rule: u64,
    /// Added, wrapping, to the number of a page of the file's addresses to get the number of its entry in the
    /// page index.
    pub page_base: u32,
    /// Always 0; keeps the size a multiple of eight without hidden padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<ProcessRun>() == 16);
const _: () = assert!(size_of::<MappingRun>() == 40);
