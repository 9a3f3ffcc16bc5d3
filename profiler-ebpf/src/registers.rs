//! The registers with which a walk begins: those that the task had in user mode.

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs};
use aya_ebpf::programs::PerfEventContext;
use profiler_common::Registers;

use crate::ids;
use crate::maps::constant;

/// The part of `cs` that is the privilege level: 3 in user mode (Intel SDM, volume 3, section 5.5).
const PRIVILEGE_LEVEL: u64 = 3;

/// The registers that were interrupted or, when the kernel was, those with which the task entered it, which
/// `at_entry` finds. False when the task has no user mode.
///
/// # Safety
///
/// `registers` must point to memory that nothing else uses meanwhile.
#[inline(always)]
pub(crate) unsafe fn of_user(
    ctx: &PerfEventContext,
    registers: *mut Registers,
    at_entry: impl FnOnce() -> *const pt_regs,
) -> bool {
    // SAFETY: as the caller promises; the context is what the kernel has given. All of its fields are read here and
    // now, because the compiler would otherwise merge these loads with those of the other registers below, which
    // the verifier rejects.
    unsafe {
        let regs = &raw const (*ctx.ctx).regs;
        let ip = (&raw const (*regs).rip).read_volatile();
        let sp = (&raw const (*regs).rsp).read_volatile();
        let fp = (&raw const (*regs).rbp).read_volatile();
        let cs = (&raw const (*regs).cs).read_volatile();
        if cs & PRIVILEGE_LEVEL == PRIVILEGE_LEVEL {
            (*registers).ip = ip;
            (*registers).sp = sp;
            (*registers).fp = fp;
        } else {
            let entry = at_entry();
            let read = |field: *const u64| bpf_probe_read_kernel(field).unwrap_or(0);
            if read(&raw const (*entry).cs) & PRIVILEGE_LEVEL != PRIVILEGE_LEVEL {
                return false;
            }
            (*registers).ip = read(&raw const (*entry).rip);
            (*registers).sp = read(&raw const (*entry).rsp);
            (*registers).fp = read(&raw const (*entry).rbp);
        }
        (*registers).after_call = 0;
        (*registers).ip != 0
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
