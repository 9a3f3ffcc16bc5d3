//! The registers of a stopped thread, by their names. What they mean for the stack is left to `unwind`.

/// How many registers the kernel saves on x86-64.
pub(super) const COUNT: usize = 27;

/// Names in the order of the kernel's `struct user_regs_struct` (arch/x86/include/asm/user_64.h).
const NAMES: [&str; COUNT] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs",
    "gs",
];
const RBP: usize = 4;
const RIP: usize = 16;
const RSP: usize = 19;

/// The registers of an x86-64 thread.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegisterSet([u64; COUNT]);

impl RegisterSet {
    /// Registers in the kernel's order.
    pub(super) fn new(values: [u64; COUNT]) -> Self {
        Self(values)
    }

    /// The instruction that comes next.
    pub fn instruction_pointer(&self) -> u64 {
        self.0[RIP]
    }

    /// The top of the stack.
    pub fn stack_pointer(&self) -> u64 {
        self.0[RSP]
    }

    /// rbp, whether or not it is used as a frame pointer.
    pub fn frame_pointer(&self) -> u64 {
        self.0[RBP]
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.into_iter().zip(self.0.iter().copied())
    }
}
