//! Process and thread ids as the user sees them: in his pid namespace, which need not be the initial one.
//!
//! `bpf_get_ns_current_pid_tgid` answers only for tasks of exactly that namespace; those in namespaces below it have
//! a number in it as well, which the kernel keeps in `struct pid` (include/linux/pid.h), one for each level.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel};

use crate::maps::constant;

/// Deepest level of a pid namespace: `MAX_PID_NS_LEVEL` of the kernel's include/linux/pid_namespace.h.
const MAX_LEVEL: u32 = 32;

/// The ids of a task.
#[derive(Clone, Copy)]
pub(crate) struct Ids {
    /// Process id (the kernel's tgid).
    pub(crate) pid: u32,
    /// Thread id.
    pub(crate) tid: u32,
    /// Process id in the initial pid namespace.
    pub(crate) host_pid: u32,
}

/// Those of the task that runs here; `None` if it cannot be seen in the user's pid namespace.
#[inline(always)]
pub(crate) fn current() -> Option<Ids> {
    let pid_tgid = bpf_get_current_pid_tgid();
    let host_pid = (pid_tgid >> 32) as u32;
    if constant!(SETTINGS.pid_namespace) == 0 {
        return Some(Ids {
            pid: host_pid,
            tid: pid_tgid as u32,
            host_pid,
        });
    }
    in_namespace(current_task(), host_pid)
}

/// Those of another task; `None` if it cannot be seen, or cannot be read.
#[inline(always)]
pub(crate) fn of_task(task: u64) -> Option<Ids> {
    let host_pid = read(task, constant!(LAYOUT.task_tgid))?;
    if constant!(SETTINGS.pid_namespace) == 0 {
        return Some(Ids {
            pid: host_pid,
            tid: read(task, constant!(LAYOUT.task_pid))?,
            host_pid,
        });
    }
    in_namespace(task, host_pid)
}

/// Address of the `struct task_struct` of the task that runs here.
#[inline(always)]
pub(crate) fn current_task() -> u64 {
    // SAFETY: the helper takes nothing and has no precondition.
    unsafe { bpf_get_current_task() }
}

/// A member of one of the kernel's structures.
#[inline(always)]
pub(crate) fn read<T>(structure: u64, offset: u32) -> Option<T> {
    let member = structure.wrapping_add(offset.into()) as *const T;
    // SAFETY: a checked read.
    unsafe { bpf_probe_read_kernel(member) }.ok()
}

#[inline(always)]
fn in_namespace(task: u64, host_pid: u32) -> Option<Ids> {
    let leader: u64 = read(task, constant!(LAYOUT.task_group_leader))?;
    let pid = number(leader)?;
    let tid = if leader == task { pid } else { number(task)? };
    Some(Ids { pid, tid, host_pid })
}

/// The number of a thread in the user's namespace. Its own namespace comes first: it rarely is another.
#[inline(always)]
fn number(task: u64) -> Option<u32> {
    let pid: u64 = read(task, constant!(LAYOUT.task_thread_pid))?;
    let mut level: u32 = read(pid, constant!(LAYOUT.pid_level))?;
    for _ in 0..=MAX_LEVEL {
        let upid = pid
            .wrapping_add(constant!(LAYOUT.pid_numbers).into())
            .wrapping_add(u64::from(level) * u64::from(constant!(LAYOUT.upid_size)));
        let namespace: u64 = read(upid, constant!(LAYOUT.upid_ns))?;
        let inode: u32 = read(namespace, constant!(LAYOUT.namespace_inum))?;
        if inode == constant!(SETTINGS.pid_namespace) {
            return read(upid, constant!(LAYOUT.upid_nr));
        }
        if level == 0 {
            break;
        }
        level -= 1;
    }
    None
}
