//! The BPF programs of the profiler: one file per hook, and the entry points here.
//!
//! `on_cpu` takes samples, `selection` decides of whom, `lifecycle` follows processes. Nothing here decides what a sample means:
//! addresses go to user space as they are.

#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the attributes of the entry points hand the context over by value"
)]

mod by_kernel;
mod emit;
mod found;
mod ids;
mod lifecycle;
mod maps;
mod on_cpu;
mod registers;
mod selection;
mod tables;
mod tail_calls;
mod walk;
mod window;

use aya_ebpf::macros::{perf_event, raw_tracepoint};
use aya_ebpf::programs::{PerfEventContext, RawTracePointContext};

/// Attached to the sampling event of each CPU. Needs `bpf_loop` (Linux 5.17) and `bpf_task_pt_regs` (5.15).
#[perf_event]
fn on_cpu(ctx: PerfEventContext) -> u32 {
    on_cpu::sample(&ctx, walk::by_tables);
    0
}

/// The same for kernels without those, from Linux 5.10 on.
#[perf_event]
fn on_cpu_by_calls(ctx: PerfEventContext) -> u32 {
    tail_calls::sample(&ctx);
    0
}

/// Called by the one before, and by itself.
#[perf_event]
fn walk_on(ctx: PerfEventContext) -> u32 {
    tail_calls::walk_on(&ctx);
    0
}

/// The same for who wants it: the user's stack by frame pointers only.
#[perf_event]
fn on_cpu_by_fp(ctx: PerfEventContext) -> u32 {
    on_cpu::sample(&ctx, |ctx, scratch, _| {
        by_kernel::by_frame_pointers(ctx, scratch)
    });
    0
}

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)`, in the context of the parent.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(ctx: RawTracePointContext) -> i32 {
    lifecycle::fork(&ctx);
    0
}

/// `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`, in the context of `p`.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_ctx: RawTracePointContext) -> i32 {
    lifecycle::exec();
    0
}

/// `TP_PROTO(struct task_struct *p, …)`, in the context of `p`; newer kernels add an argument.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(_ctx: RawTracePointContext) -> i32 {
    lifecycle::exit();
    0
}

/// The helpers that read memory are only for programs with a license that is compatible with the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program in which this can be reached.
    loop {}
}
