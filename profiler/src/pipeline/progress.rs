//! How far a recording is, and why it ended.

use std::time::Duration;

/// Why sampling ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// Somebody asked for it.
    Stopped,
    /// The time was over.
    Duration,
    /// All processes asked for have ended.
    TargetsGone,
}

impl Ended {
    /// One word for programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Duration => "duration",
            Self::TargetsGone => "targets-gone",
        }
    }
}

/// What a recording has at hand, now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Gauges {
    /// Bytes of unwind rows in the kernel's tables.
    pub row_bytes: u64,
    /// Unwind rows that were made since the start.
    pub rows_made: u64,
    /// Binaries whose unwind rows are in the tables, or on their way there.
    pub binaries: u64,
    /// Stacks that wait for rows to be walked by.
    pub waiting_stacks: u64,
}

/// How far a recording is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Samples counted so far.
    pub samples: u64,
    /// Samples lost so far.
    pub lost: u64,
    /// Processes that gave samples.
    pub processes: u64,
}
