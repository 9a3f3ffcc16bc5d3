//! What the BPF programs count; the number of a counter is its index in the `COUNTERS` map.
//!
//! Only the BPF side adds, each CPU to its own copy; user space adds the copies up.

/// One per reason for which something did not become a record, and one for what was tried.
///
/// `SamplesTried` = records that user space receives + `SamplesRingFull` + `SamplesOutputFailed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Counter {
    /// Timer ticks that hit a process that is being profiled.
    SamplesTried = 0,
    /// Samples that found no room in the ring buffer (`-EAGAIN`).
    SamplesRingFull = 1,
    /// Samples that the kernel refused to put into the ring for another reason.
    SamplesOutputFailed = 2,
    /// Process events (fork, exec, exit) that found no room in the ring buffer.
    EventsLost = 3,
    /// Children that could not be followed, because the table of profiled processes was full.
    ChildrenNotFollowed = 4,
}

impl Counter {
    /// How many counters there are: the size of the map.
    pub const COUNT: u32 = 5;
}
