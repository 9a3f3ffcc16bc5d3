//! Whose samples are wanted: by process, thread, control group and name.

use aya_ebpf::helpers::bpf_get_current_comm;
use profiler_common::{NameWords, Part};

use crate::ids::{self, Ids};
use crate::maps::{self, constant};

/// Whether this process is being followed: its life is told, and there may be samples of it. Process 0 is the idle task of
/// each CPU, never wanted.
#[inline(always)]
pub(crate) fn is_followed(ids: Ids) -> bool {
    ids.host_pid != 0
        && (constant!(SETTINGS.all_processes) != 0 || maps::TARGETS.get_ptr(ids.pid).is_some())
}

/// Whether this thread is to be sampled, as far as ids tell.
#[inline(always)]
pub(crate) fn is_target(ids: Ids) -> bool {
    if constant!(SETTINGS.all_processes) != 0 || constant!(SETTINGS.chosen_threads) == 0 {
        return is_followed(ids);
    }
    match maps::TARGETS.get_ptr(ids.pid) {
        None => false,
        Some(part) if is_whole(part) => true,
        Some(_) => maps::THREADS.get_ptr(ids.tid).is_some(),
    }
}

/// Whether only some threads of this process are sampled.
#[inline(always)]
pub(crate) fn has_chosen_threads(pid: u32) -> bool {
    constant!(SETTINGS.chosen_threads) != 0
        && maps::TARGETS
            .get_ptr(pid)
            .is_some_and(|part| !is_whole(part))
}

#[inline(always)]
fn is_whole(part: *const u8) -> bool {
    // SAFETY: an element of a map, which stays readable for the length of the program.
    unsafe { *part == Part::Whole as u8 }
}

/// Whether the task that runs here is in one of the control groups asked for, or below one.
#[inline(always)]
pub(crate) fn is_in_cgroup() -> bool {
    let wanted = constant!(SETTINGS.cgroups);
    if wanted == 0 {
        return true;
    }
    for index in 0..profiler_common::MAX_CGROUPS {
        if index >= wanted {
            break;
        }
        if maps::CGROUPS.current_task_under_cgroup(index) == Ok(true) {
            return true;
        }
    }
    false
}

/// Whether samples of processes of this name are wanted, or may be: it may not have been decided yet.
#[inline(always)]
pub(crate) fn is_wanted_by_name(name: NameWords) -> bool {
    constant!(SETTINGS.by_name) == 0 || maps::UNWANTED_NAMES.get_ptr(name).is_none()
}

/// Name of the process of the task that runs here; zeros if it cannot be told.
#[inline(always)]
pub(crate) fn process_name(ids: Ids) -> NameWords {
    let offset = constant!(LAYOUT.task_comm);
    if offset == 0 {
        return [0; 2];
    }
    if ids.pid == ids.tid {
        return thread_name();
    }
    let leader: Option<u64> = ids::read(ids::current_task(), constant!(LAYOUT.task_group_leader));
    leader
        .and_then(|leader| ids::read(leader, offset))
        .unwrap_or([0; 2])
}

/// Name of the thread that runs here.
#[inline(always)]
pub(crate) fn thread_name() -> NameWords {
    let name = bpf_get_current_comm().unwrap_or_default();
    // SAFETY: two words have the size of sixteen bytes, and any bytes are a value of them.
    unsafe { core::mem::transmute(name) }
}
