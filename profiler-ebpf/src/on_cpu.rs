//! The sampling hook: which process was interrupted, and what were its stacks.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{
    COMM_LEN, COPY_REGISTERS, Counter, MAX_COPY_WORDS, MAX_KERNEL_FRAMES, NameWords, RecordKind,
    SampleHeader, Scratch,
};

use crate::by_kernel::kernel_frames;
use crate::maps::constant;
use crate::walk::{self, UserStack};
use crate::{emit, ids, maps, registers, selection};

/// Bound of frames or words of a user stack, of the form 2^n - 1.
const MOST_WORDS: usize = 4095;

/// Sends one sample of the interrupted task, if its process is being profiled; `walk` takes the user's stack.
#[inline(always)]
pub(crate) fn sample(
    ctx: &PerfEventContext,
    walk: impl FnOnce(&PerfEventContext, *mut Scratch, u32) -> UserStack,
) {
    if let Some((scratch, pid)) = begin() {
        let stack = walk(ctx, scratch, pid);
        finish(ctx, scratch, &stack);
    }
}

/// Where to put a sample of the interrupted task, and its process; `None` if that is not being profiled. What tells
/// who it is has been written there already.
#[inline(always)]
pub(crate) fn begin() -> Option<(*mut Scratch, u32)> {
    let ids = ids::current()?;
    if !selection::is_target(ids) || !selection::is_in_cgroup() {
        return None;
    }
    let name = selection::process_name(ids);
    if !selection::is_wanted_by_name(name) {
        return None;
    }
    emit::count(Counter::SamplesTried);
    let scratch = scratch()?;
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile.
    unsafe {
        let header = &raw mut (*scratch).header;
        (*header).pid = ids.pid;
        (*header).tid = ids.tid;
        (*header).host_pid = ids.host_pid;
        write_name(&raw mut (*header).name, name);
    }
    Some((scratch, ids.pid))
}

/// Where the CPU that this runs on assembles its sample.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    maps::SCRATCH.get_ptr_mut(0)
}

/// Adds to the user's stack all else that a sample has, and sends it.
#[inline(always)]
pub(crate) fn finish(ctx: &PerfEventContext, scratch: *mut Scratch, user: &UserStack) {
    // Through memory: where the compiler sees the bound it leaves out the check that shows it to the verifier.
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile.
    let user_frames = unsafe {
        let words = &raw mut (*scratch).header.user_frames;
        words.write(user.words as u16);
        usize::from(words.read_volatile()) & MOST_WORDS
    };
    let kernel_frames = if constant!(SETTINGS.kernel_stacks) != 0 {
        kernel_frames(ctx.as_ptr(), scratch, user_frames) & MAX_KERNEL_FRAMES
    } else {
        0
    };
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile.
    // Field by field, because a struct literal would become a call of memcpy, byte by byte.
    let pid = unsafe {
        let header: *mut SampleHeader = &raw mut (*scratch).header;
        (*header).kind = user.kind as u32;
        (*header).cpu = bpf_get_smp_processor_id() as u32;
        (*header).time_ns = bpf_ktime_get_ns();
        (*header).kernel_frames = kernel_frames as u16;
        (*header).stop = user.stop;
        (*header).in_kernel = registers::is_kernel(ctx).into();
        (*header).cgroup = cgroup();
        write_name(&raw mut (*header).comm, selection::thread_name());
        (*header).pid
    };
    let wake = first_of_process(pid) && emit::may_wake();
    emit::sample(scratch, user_frames + kernel_frames, wake);
    if constant!(SETTINGS.check_walks) != 0 && user.kind as u32 == RecordKind::Sample as u32 {
        send_copy_too(scratch, user.stop);
    }
}

/// Sends the stack that was just walked as a copy.
#[inline(always)]
fn send_copy_too(scratch: *mut Scratch, stop: u32) {
    if !emit::has_room_for_copies() {
        return;
    }
    let Some(copy) = walk::copy_of_walked(scratch, stop) else {
        return;
    };
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile. Through memory, as in
    // `finish`.
    let words = unsafe {
        let header = &raw mut (*scratch).header;
        (*header).kind = RecordKind::WalkCheck as u32;
        (*header).kernel_frames = 0;
        let words = &raw mut (*header).user_frames;
        words.write(copy.words as u16);
        usize::from(words.read_volatile()) & MOST_WORDS
    };
    emit::copy_of_walked(scratch, words);
}

/// Whether this is the first sample of the process since it started its program.
fn first_of_process(pid: u32) -> bool {
    if maps::SEEN.get_ptr(pid).is_some() {
        return false;
    }
    // A failure means that the next sample wakes the reader too.
    let _ = maps::SEEN.insert(pid, 1, 0);
    true
}

/// The control group of the interrupted task, if that is asked for.
#[inline(always)]
fn cgroup() -> u64 {
    if constant!(SETTINGS.cgroup_ids) == 0 {
        return 0;
    }
    // SAFETY: the helper takes nothing and has no precondition.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Two words instead of sixteen bytes.
///
/// # Safety
///
/// `to` must point to memory that nothing else uses meanwhile.
#[inline(always)]
unsafe fn write_name(to: *mut [u8; COMM_LEN], name: NameWords) {
    // SAFETY: as the caller promises; names in the header are aligned for words, as is asserted below.
    unsafe {
        to.cast::<u64>().write_volatile(name[0]);
        to.cast::<u64>().add(1).write_volatile(name[1]);
    }
}

const _: () = assert!(COPY_REGISTERS + MAX_COPY_WORDS <= MOST_WORDS);
const _: () = assert!(core::mem::offset_of!(Scratch, header.comm) % 8 == 0);
const _: () = assert!(core::mem::offset_of!(Scratch, header.name) % 8 == 0);
