//! The registers with which a walk begins: those that the task had in user mode.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_task_pt_regs, generated};
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{LeafRegister, Registers};

use crate::ids;
use crate::maps::constant;

/// The part of `cs` that is the privilege level: 3 in user mode (Intel SDM, volume 3, section 5.5).
const PRIVILEGE_LEVEL: u64 = 3;

/// What was interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    User,
    Kernel,
    /// The kernel, in a task without user mode.
    KernelOnly,
}

/// The registers of [`LeafRegister`](profiler_common::LeafRegister), by their index.
pub(crate) type LeafRegisters = [u64; LeafRegister::COUNT];

/// The registers that were interrupted or, when the kernel was, those with which the task entered it, which
/// `at_entry` finds.
///
/// # Safety
///
/// `registers` and `leaf` must point to memory that nothing else uses meanwhile.
#[inline(always)]
pub(crate) unsafe fn of_user(
    ctx: &PerfEventContext,
    registers: *mut Registers,
    leaf: *mut LeafRegisters,
    at_entry: impl FnOnce() -> *const pt_regs,
) -> Mode {
    // SAFETY: as the caller promises; the context is what the kernel has given. All of its fields are read here and
    // now, because the compiler would otherwise merge these loads with those of the other registers below, which
    // the verifier rejects.
    unsafe {
        let regs = &raw const (*ctx.ctx).regs;
        let ip = (&raw const (*regs).rip).read_volatile();
        let sp = (&raw const (*regs).rsp).read_volatile();
        let fp = (&raw const (*regs).rbp).read_volatile();
        let cs = (&raw const (*regs).cs).read_volatile();
        let leaf = leaf.cast::<u64>();
        leaf.write((&raw const (*regs).rax).read_volatile());
        leaf.add(1).write((&raw const (*regs).rdx).read_volatile());
        leaf.add(2).write((&raw const (*regs).rcx).read_volatile());
        leaf.add(3).write((&raw const (*regs).rbx).read_volatile());
        leaf.add(4).write((&raw const (*regs).rsi).read_volatile());
        leaf.add(5).write((&raw const (*regs).rdi).read_volatile());
        leaf.add(6).write((&raw const (*regs).r10).read_volatile());
        leaf.add(7).write((&raw const (*regs).r11).read_volatile());
        (*registers).after_call = 0;
        if cs & PRIVILEGE_LEVEL == PRIVILEGE_LEVEL {
            (*registers).ip = ip;
            (*registers).sp = sp;
            (*registers).fp = fp;
            return Mode::User;
        }
        let mut entry = MaybeUninit::<pt_regs>::uninit();
        let entry = entry.as_mut_ptr();
        let size = size_of::<pt_regs>() as u32;
        if generated::bpf_probe_read_kernel(entry.cast(), size, at_entry().cast()) != 0
            || (*entry).cs & PRIVILEGE_LEVEL != PRIVILEGE_LEVEL
            || (*entry).rip == 0
        {
            return Mode::KernelOnly;
        }
        (*registers).ip = (*entry).rip;
        (*registers).sp = (*entry).rsp;
        (*registers).fp = (*entry).rbp;
        leaf.write((*entry).rax);
        leaf.add(1).write((*entry).rdx);
        leaf.add(2).write((*entry).rcx);
        leaf.add(3).write((*entry).rbx);
        leaf.add(4).write((*entry).rsi);
        leaf.add(5).write((*entry).rdi);
        leaf.add(6).write((*entry).r10);
        leaf.add(7).write((*entry).r11);
        Mode::Kernel
    }
}

/// Whether the kernel was interrupted, and not the program.
#[inline(always)]
pub(crate) fn is_kernel(ctx: &PerfEventContext) -> bool {
    // SAFETY: the context is what the kernel has given. Volatile as above.
    let cs = unsafe { (&raw const (*ctx.ctx).regs.cs).read_volatile() };
    cs & PRIVILEGE_LEVEL != PRIVILEGE_LEVEL
}

/// Asks the kernel, which can tell from Linux 5.15 on.
#[inline(always)]
pub(crate) fn told_by_kernel() -> *const pt_regs {
    // SAFETY: the helpers have no precondition; what they return is only read by checked reads.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs }
}

/// Looks where the kernel's entry code puts them: at the upper end of the task's kernel stack (`task_pt_regs` in the
/// kernel's arch/x86/include/asm/processor.h). The privilege level tells whether they are there.
#[inline(always)]
pub(crate) fn on_task_stack() -> *const pt_regs {
    let offset = constant!(SETTINGS.task_stack_offset);
    let stack: Option<u64> = ids::read(ids::current_task(), offset);
    let registers = stack
        .unwrap_or(0)
        .wrapping_add(constant!(SETTINGS.entry_registers_offset).into());
    registers as *const pt_regs
}
