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
    /// Offset of `tgid` in the kernel's `struct task_struct`, in bytes; used only with `follow_children`.
    pub task_tgid_offset: u32,
    /// 1: where there is no rule for an address, try whether rbp looks like a frame pointer.
    pub guess_frame_pointers: u32,
    /// Offset of `stack` in the kernel's `struct task_struct`, in bytes; used only by the walk by tail calls.
    pub task_stack_offset: u32,
    /// From the lower end of a task's kernel stack to the registers with which it entered the kernel, in bytes; used only
    /// by the walk by tail calls.
    pub entry_registers_offset: u32,
    /// 1: send a copy of each stack behind its walk, for user space to compare.
    pub check_walks: u32,
    /// Wake the reader when more bytes than this wait in the ring.
    pub wakeup_bytes: u64,
}

const _: () = assert!(size_of::<Settings>() == 40);
