//! What user space decides before the programs are loaded; constants to the verifier.

/// Load-time constants of the BPF programs, read-only memory once they are loaded.
///
/// The verifier knows the values and removes the branches that they rule out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Settings {
    /// 1: sample every process; 0: only those in the `TARGETS` map.
    pub all_processes: u32,
    /// 1: take the kernel's stack too.
    pub kernel_stacks: u32,
    /// 1: a child of a profiled process is profiled from its fork on.
    pub follow_children: u32,
    /// 1: where there is no rule for an address, try whether rbp looks like a frame pointer.
    pub guess_frame_pointers: u32,
    /// Offset of `stack` in the kernel's `struct task_struct`, in bytes; used only by the walk by tail calls.
    pub task_stack_offset: u32,
    /// From the lower end of a task's kernel stack to the registers with which it entered the kernel, in bytes; used only
    /// by the walk by tail calls.
    pub entry_registers_offset: u32,
    /// 1: of some processes only the threads in the `THREADS` map are sampled.
    pub chosen_threads: u32,
    /// 1: processes whose name is in `UNWANTED_NAMES` are not sampled.
    pub by_name: u32,
    /// How many control groups there are in `CGROUPS`, of which one must have the sampled task; 0: no matter which.
    pub cgroups: u32,
    /// 1: samples tell their task's control group.
    pub cgroup_ids: u32,
    /// Inode of the pid namespace that process ids are given in; 0: the initial one, where they are the kernel's own.
    pub pid_namespace: u32,
    /// 1: send a copy of each stack behind its walk, for user space to compare.
    pub check_walks: u32,
    /// Wake the reader when more bytes than this wait in the ring.
    pub wakeup_bytes: u64,
}

/// Where things are in the kernel's structures, in bytes from their beginning, by the kernel's own account (BTF).
///
/// Load-time constants as well, and apart because some of them have to be looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Layout {
    /// `tgid` in `struct task_struct`.
    pub task_tgid: u32,
    /// `pid` in `struct task_struct`.
    pub task_pid: u32,
    /// `group_leader` in `struct task_struct`.
    pub task_group_leader: u32,
    /// `comm` in `struct task_struct`; 0: not known, and samples have no name of their process.
    pub task_comm: u32,
    /// `thread_pid` in `struct task_struct`; this and what follows is used only with `Settings::pid_namespace`.
    pub task_thread_pid: u32,
    /// `level` in `struct pid`.
    pub pid_level: u32,
    /// `numbers` in `struct pid`: a `struct upid` for each level.
    pub pid_numbers: u32,
    /// Size of `struct upid`.
    pub upid_size: u32,
    /// `nr` in `struct upid`.
    pub upid_nr: u32,
    /// `ns` in `struct upid`.
    pub upid_ns: u32,
    /// `ns.inum` in `struct pid_namespace`.
    pub namespace_inum: u32,
    /// Always 0; keeps the size a multiple of eight.
    pub reserved: u32,
}

/// For so long after the reader was woken for a process that it did not know it is not woken for another one, and looks by
/// itself at the end: in nanoseconds. A program that is started by itself is looked for at once; of hundreds in a second, each
/// within this time. At 5 ms the turns of the reader cost a fifth of all that short programs cost.
pub const WAKE_PAUSE_NS: u64 = 10_000_000;

/// Most control groups that can be asked for at once.
pub const MAX_CGROUPS: u32 = 16;

/// How much of a process is sampled: the values of the `TARGETS` map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Part {
    /// All of its threads, those created later too.
    Whole = 1,
    /// The threads in the `THREADS` map.
    ChosenThreads = 2,
}

/// The name of a task as two words, which BPF programs compare and copy more cheaply than sixteen bytes.
pub type NameWords = [u64; 2];

const _: () = assert!(size_of::<Settings>() == 56);
const _: () = assert!(size_of::<Layout>() == 48);
const _: () = assert!(size_of::<NameWords>() == crate::COMM_LEN);
