//! The record of one sample: a header, then the frames there are.
//!
//! ```text
//!  0        4      8          16    20    24    28    32         48         64       72         76
//!  ┌────────┬──────┬──────────┬─────┬─────┬─────┬─────┬──────────┬──────────┬────────┬──────────┬───────────┐
//!  │ kind=1 │ cpu  │ time_ns  │ pid │ tid │ n,m │stop │ comm[16] │ name[16] │ cgroup │ host_pid │ in_kernel │
//!  └────────┴──────┴──────────┴─────┴─────┴─────┴─────┴──────────┴──────────┴────────┴──────────┴───────────┘
//!  80              80+8n             80+8(n+m)
//!  ┌───────────────┬─────────────────┐
//!  │ n user frames │ m kernel frames │
//!  └───────────────┴─────────────────┘
//! ```
//!
//! All words are in the byte order of the machine. A frame is an address of eight bytes, innermost first:
//! the interrupted instruction, then return addresses.

use crate::LeafRegister;

/// Most frames of a user stack: of the form 2^n - 1, so that a mask is a bound that the verifier understands.
pub const MAX_USER_FRAMES: usize = 511;

/// Most frames of a kernel stack; what the kernel's own walk gives by default
/// (`kernel.perf_event_max_stack`, 127).
pub const MAX_KERNEL_FRAMES: usize = 127;

/// Where a copy of the stack begins, in bytes below the stack pointer: the red zone (System V ABI for x86-64, section
/// 3.2.2), in which gcc's epilogues leave the saved rbp for the rows of their last instructions.
pub const RED_ZONE: u64 = 128;

/// Words of one page of a stack, and pages that are copied behind the one that the stack pointer is in. The kernel gives
/// 32 KiB to a value that each CPU has of its own, so seven pages are the most.
pub const PAGE_WORDS: usize = 512;
/// See [`PAGE_WORDS`].
pub const MORE_PAGES: usize = 6;

/// Words of stack in a copy, at most.
pub const MAX_COPY_WORDS: usize = (1 + MORE_PAGES) * PAGE_WORDS;

/// Words before the stack in a copy: ip, sp, fp, and the [leaf registers](crate::LeafRegister).
pub const COPY_REGISTERS: usize = 3 + LeafRegister::COUNT;

/// Set in a user frame that is the very instruction and not a return address: the innermost, and those that a
/// signal interrupted. User addresses of x86-64 have at most 56 bits.
pub const EXACT_FRAME: u64 = 1 << 63;

/// Length of a task's name with its final zero: `TASK_COMM_LEN` of the kernel's `linux/sched.h`.
pub const COMM_LEN: usize = 16;

/// The fixed part of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct SampleHeader {
    /// [`RecordKind::Sample`](crate::RecordKind::Sample) or [`RecordKind::StackCopy`](crate::RecordKind::StackCopy).
    pub kind: u32,
    /// The CPU that was interrupted.
    pub cpu: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Process id (thread group id), as the pid namespace of the settings has it.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// How many user frames follow; in a copy, how many words: registers, and
    /// the stack from [`RED_ZONE`] below sp on.
    pub user_frames: u16,
    /// How many kernel frames follow the user frames.
    pub kernel_frames: u16,
    /// Why the walk of the user stack ended: a [`Stop`](crate::Stop).
    pub stop: u32,
    /// Name of the thread, padded with zeros.
    pub comm: [u8; COMM_LEN],
    /// Name of the process, which is that of its first thread; zeros where the kernel does not state its types.
    pub name: [u8; COMM_LEN],
    /// Id of the task's control group (of version 2), which is the inode of its directory; 0 if that was not asked for.
    pub cgroup: u64,
    /// Process id as the initial pid namespace has it.
    pub host_pid: u32,
    /// 1: the kernel was interrupted; 0: the program was.
    pub in_kernel: u32,
}

/// Where a CPU assembles its sample: too large for the 512 bytes of a BPF stack.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Scratch {
    /// The fixed part.
    pub header: SampleHeader,
    /// User frames, then kernel frames, without a gap; in a copy, registers and stack instead of user frames.
    pub frames: [u64; COPY_REGISTERS + MAX_COPY_WORDS + MAX_KERNEL_FRAMES],
}

const _: () = assert!(size_of::<SampleHeader>() == 80);
const _: () = assert!(size_of::<Scratch>() == 80 + 8 * (11 + 3584 + 127));
// `PCPU_MIN_UNIT_SIZE` of the kernel's `linux/percpu.h`.
const _: () = assert!(size_of::<Scratch>() <= 32 << 10);
const _: () = assert!(MAX_USER_FRAMES <= COPY_REGISTERS + MAX_COPY_WORDS);
// The masks for numbers of frames and words in the BPF programs are bounds only for numbers of the form 2^n - 1.
const _: () = assert!((MAX_USER_FRAMES + 1).is_power_of_two());
const _: () = assert!((MAX_KERNEL_FRAMES + 1).is_power_of_two());
