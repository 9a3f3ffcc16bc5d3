//! The BPF programs of the profiler: one file per hook, and the entry points here.
//!
//! `on_cpu` takes samples, `lifecycle` follows processes. Nothing here decides what a sample means:
//! addresses go to user space as they are.

#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the attributes of the entry points hand the context over by value"
)]

mod emit;
mod lifecycle;
mod maps;
mod on_cpu;
mod walk;

use aya_ebpf::macros::{perf_event, raw_tracepoint};
use aya_ebpf::programs::{PerfEventContext, RawTracePointContext};

/// Attached to the sampling event of each CPU.
#[perf_event]
fn on_cpu(ctx: PerfEventContext) -> u32 {
    on_cpu::sample(&ctx);
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
