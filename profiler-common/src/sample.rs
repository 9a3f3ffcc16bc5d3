//! The record of one sample: a header, then the frames there are.
//!
//! ```text
//!  0        4      8          16    20    24    28    32         48
//!  ┌────────┬──────┬──────────┬─────┬─────┬─────┬─────┬──────────┬──────────────┬────────────────┐
//!  │ kind=1 │ cpu  │ time_ns  │ pid │ tid │ n,m │ end │ comm[16] │ n user frames│ m kernel frames│
//!  └────────┴──────┴──────────┴─────┴─────┴─────┴─────┴──────────┴──────────────┴────────────────┘
//! ```
//!
//! All words are in the byte order of the machine. A frame is an address of eight bytes, innermost first:
//! the interrupted instruction, then return addresses.

/// Most frames of a user stack; what the kernel's own walk gives by default
/// (`kernel.perf_event_max_stack`, 127).
pub const MAX_USER_FRAMES: usize = 127;

/// Most frames of a kernel stack, for the same reason.
pub const MAX_KERNEL_FRAMES: usize = 127;

/// Length of a task's name with its final zero: `TASK_COMM_LEN` of the kernel's `linux/sched.h`.
pub const COMM_LEN: usize = 16;

/// How the walk of a user stack ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum StackEnd {
    /// The chain of frame pointers ended. It cannot tell an outermost frame from a broken chain.
    ChainEnd = 0,
    /// There are more frames than the record holds; the outer ones are missing.
    TooDeep = 1,
    /// The task had no user memory at that moment: a kernel thread, or a process in exec or exit.
    NoUserStack = 2,
}

impl StackEnd {
    /// The reason with this number, if there is one.
    pub const fn from_u32(end: u32) -> Option<Self> {
        match end {
            0 => Some(Self::ChainEnd),
            1 => Some(Self::TooDeep),
            2 => Some(Self::NoUserStack),
            _ => None,
        }
    }
}

/// The fixed part of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct SampleHeader {
    /// [`RecordKind::Sample`](crate::RecordKind::Sample).
    pub kind: u32,
    /// The CPU that was interrupted.
    pub cpu: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Process id (thread group id), as the initial pid namespace has it.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// How many user frames follow.
    pub user_frames: u16,
    /// How many kernel frames follow the user frames.
    pub kernel_frames: u16,
    /// A [`StackEnd`].
    pub stack_end: u32,
    /// Name of the thread, padded with zeros.
    pub comm: [u8; COMM_LEN],
}

/// Where a CPU assembles its sample: too large for the 512 bytes of a BPF stack.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Scratch {
    /// The fixed part.
    pub header: SampleHeader,
    /// User frames, then kernel frames, without a gap.
    pub frames: [u64; MAX_USER_FRAMES + MAX_KERNEL_FRAMES],
}

const _: () = assert!(size_of::<SampleHeader>() == 48);
const _: () = assert!(size_of::<Scratch>() == 48 + 8 * (MAX_USER_FRAMES + MAX_KERNEL_FRAMES));
