//! The life of processes: which of them are profiled, and news of them for user space.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_kernel};
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::{EventRecord, RecordKind};

use crate::{emit, maps, tables};

/// Whether samples of this process are wanted. Process 0 is the idle task of each CPU, never wanted.
#[inline(always)]
pub(crate) fn is_target(pid: u32) -> bool {
    pid != 0 && (maps::SETTINGS.load().all_processes != 0 || maps::TARGETS.get_ptr(pid).is_some())
}

/// A profiled process has forked: its child is profiled from here on, before it has run at all.
#[inline(always)]
pub(crate) fn fork(ctx: &RawTracePointContext) {
    let parent = current_pid();
    let settings = maps::SETTINGS.load();
    if settings.follow_children == 0 || !is_target(parent) {
        return;
    }
    let child_task: *const u8 = ctx.arg(1);
    // SAFETY: a checked read; the offset is the one that this kernel's BTF states for `task_struct.tgid`.
    let tgid = unsafe {
        bpf_probe_read_kernel(
            child_task
                .wrapping_add(settings.task_tgid_offset as usize)
                .cast::<u32>(),
        )
    };
    let Ok(child) = tgid else {
        emit::child_not_followed(ctx, 0, 0);
        return;
    };
    // A new thread has its process's id.
    if child == parent {
        return;
    }
    if let Err(error) = maps::TARGETS.insert(child, 1, 0) {
        emit::child_not_followed(ctx, child, error);
        return;
    }
    tables::inherit(parent, child);
    emit::event(&record(RecordKind::Fork, parent, child));
}

/// The current process runs another program from here on.
#[inline(always)]
pub(crate) fn exec() {
    let pid = current_pid();
    if is_target(pid) {
        // The first sample of the new program shall wake the reader again.
        let _ = maps::SEEN.remove(pid);
        tables::forget(pid);
        emit::event(&record(RecordKind::Exec, pid, 0));
    }
}

/// The current thread ends.
#[inline(always)]
pub(crate) fn exit() {
    let pid = current_pid();
    if is_target(pid) {
        let tid = bpf_get_current_pid_tgid() as u32;
        emit::event(&record(RecordKind::Exit, pid, tid));
    }
}

fn current_pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

fn record(kind: RecordKind, pid: u32, other: u32) -> EventRecord {
    EventRecord {
        kind: kind as u32,
        pid,
        // SAFETY: the helper takes nothing and has no precondition.
        time_ns: unsafe { bpf_ktime_get_ns() },
        other,
        reserved: 0,
    }
}
