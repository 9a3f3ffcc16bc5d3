//! Records about the life of processes, in the same ring as the samples and in order with them.

/// What a record in the ring is; its first word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum RecordKind {
    /// A [`SampleHeader`](crate::SampleHeader) with its frames.
    Sample = 1,
    /// An [`EventRecord`]: a profiled process has a new child; `other` is the child's id.
    Fork = 2,
    /// An [`EventRecord`]: the process runs another program from now on.
    Exec = 3,
    /// An [`EventRecord`]: a thread has ended; `other` is the thread's id.
    Exit = 4,
    /// A [`SampleHeader`](crate::SampleHeader) with registers and the top of the user's stack, of a process or
    /// library that has no tables yet; the walk is for user space.
    StackCopy = 5,
    /// The same of the sample that the same thread gave just before, which was walked: to compare the two walks.
    WalkCheck = 6,
}

impl RecordKind {
    /// The kind with this number, if there is one.
    pub const fn from_u32(kind: u32) -> Option<Self> {
        match kind {
            1 => Some(Self::Sample),
            2 => Some(Self::Fork),
            3 => Some(Self::Exec),
            4 => Some(Self::Exit),
            5 => Some(Self::StackCopy),
            6 => Some(Self::WalkCheck),
            _ => None,
        }
    }
}

/// A process was forked, ran another program, or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct EventRecord {
    /// A [`RecordKind`] other than `Sample`.
    pub kind: u32,
    /// Process id (thread group id), as the pid namespace of the settings has it.
    pub pid: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The other process or thread that the event is about; 0 if there is none.
    pub other: u32,
    /// Always 0; keeps the size a multiple of eight without hidden padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<EventRecord>() == 24);
