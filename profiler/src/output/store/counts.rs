//! What a store has done and what it has, in numbers.

/// What a store has done and has; the numbers of windows count from its opening.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct StoreCounts {
    /// Windows written to disk.
    pub(crate) written: u64,
    /// Windows removed because they were too old.
    pub(crate) removed_by_age: u64,
    /// Windows removed to make room for newer ones.
    pub(crate) removed_by_size: u64,
    /// Attempts to write that failed.
    pub(crate) failed_writes: u64,
    /// Windows lost because memory for them was full while they could not be written.
    pub(crate) dropped: u64,
    /// Windows lost because each alone is larger than all may be.
    pub(crate) too_large: u64,
    /// Files found damaged, and removed.
    pub(crate) damaged: u64,
    /// Windows whose files somebody else has removed.
    pub(crate) vanished: u64,
    /// Windows on disk, now.
    pub(crate) on_disk: u64,
    /// Their bytes, now.
    pub(crate) bytes: u64,
    /// Windows in memory that wait for the disk, now.
    pub(crate) in_memory: u64,
    /// Their bytes, now.
    pub(crate) bytes_in_memory: u64,
    /// Whether writing pauses because the disk refuses.
    pub(crate) is_paused: bool,
}
