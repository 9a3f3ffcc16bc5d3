//! A finished window of continuous profiling: what is kept on disk, served and pushed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A profile with the time that it is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    /// When the window began; windows of the same time differ in `program`.
    pub(crate) started_at: SystemTime,
    /// How long it was.
    pub(crate) duration: Duration,
    /// Name of the program that it is of, when windows are split by program.
    pub(crate) program: Option<Arc<str>>,
    /// How many samples it has.
    pub(crate) samples: u64,
    /// The profile, gzipped.
    pub(crate) profile: Arc<[u8]>,
}
