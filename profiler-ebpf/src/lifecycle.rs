//! The life of processes: whose children are profiled, and news of all for user space.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::programs::RawTracePointContext;
use profiler_common::{EventRecord, Part, RecordKind};

use crate::ids::{self, Ids};
use crate::maps::{self, constant};
use crate::selection::{has_chosen_threads, is_followed, is_target};
use crate::{emit, tables};

/// A profiled thread has forked: its child is profiled from here on, before it has run at all.
#[inline(always)]
pub(crate) fn fork(ctx: &RawTracePointContext) {
    if constant!(SETTINGS.follow_children) == 0 {
        return;
    }
    let Some(parent) = ids::current().filter(|ids| is_target(*ids)) else {
        return;
    };
    let child_task: *const u8 = ctx.arg(1);
    let Some(child) = ids::of_task(child_task as u64) else {
        emit::child_not_followed(ctx, 0, 0);
        return;
    };
    // A new thread has its process's id.
    if child.pid == parent.pid {
        if has_chosen_threads(parent.pid)
            && let Err(error) = maps::THREADS.insert(child.tid, 1, 0)
        {
            emit::child_not_followed(ctx, child.tid, error);
        }
        return;
    }
    if let Err(error) = maps::TARGETS.insert(child.pid, Part::Whole as u8, 0) {
        emit::child_not_followed(ctx, child.pid, error);
        return;
    }
    tables::inherit(parent.pid, child.pid);
    emit::event(&record(RecordKind::Fork, parent.pid, child.pid));
}

/// The current process runs another program from here on.
#[inline(always)]
pub(crate) fn exec() {
    if let Some(Ids { pid, .. }) = followed() {
        // The first sample of the new program shall wake the reader again.
        let _ = maps::SEEN.remove(pid);
        tables::forget(pid);
        emit::event(&record(RecordKind::Exec, pid, 0));
    }
}

/// The current thread ends.
#[inline(always)]
pub(crate) fn exit() {
    if let Some(Ids { pid, tid, .. }) = followed() {
        if constant!(SETTINGS.chosen_threads) != 0 {
            // Fails when the thread was not one of them. Its id may go to another thread of the process.
            let _ = maps::THREADS.remove(tid);
        }
        emit::event(&record(RecordKind::Exit, pid, tid));
    }
}

/// The current task, if its process is being followed.
#[inline(always)]
fn followed() -> Option<Ids> {
    ids::current().filter(|ids| is_followed(*ids))
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
