//! The sampling hook: which process was interrupted, and what were its stacks.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns,
};
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{
    COMM_LEN, COPY_REGISTERS, Counter, MAX_COPY_WORDS, MAX_KERNEL_FRAMES, RecordKind, Scratch,
};

use crate::walk::{self, UserStack, kernel_frames};
use crate::{emit, lifecycle, maps};

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

/// Where to put a sample of the interrupted task, and its process; `None` if that is not being profiled.
#[inline(always)]
pub(crate) fn begin() -> Option<(*mut Scratch, u32)> {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if !lifecycle::is_target(pid) {
        return None;
    }
    emit::count(Counter::SamplesTried);
    Some((scratch()?, pid))
}

/// Where the CPU that this runs on assembles its sample.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    maps::SCRATCH.get_ptr_mut(0)
}

/// Adds to the user's stack all else that a sample has, and sends it.
#[inline(always)]
pub(crate) fn finish(ctx: &PerfEventContext, scratch: *mut Scratch, user: &UserStack) {
    let pid_tgid = bpf_get_current_pid_tgid();
    let pid = (pid_tgid >> 32) as u32;
    // Through memory: where the compiler sees the bound it leaves out the check that shows it to the verifier.
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile.
    let user_frames = unsafe {
        let words = &raw mut (*scratch).header.user_frames;
        words.write(user.words as u16);
        usize::from(words.read_volatile()) & MOST_WORDS
    };
    let kernel_frames = if maps::SETTINGS.load().kernel_stacks != 0 {
        kernel_frames(ctx.as_ptr(), scratch, user_frames) & MAX_KERNEL_FRAMES
    } else {
        0
    };
    // SAFETY: `scratch` points to this CPU's element of SCRATCH, which nothing else uses meanwhile.
    // Field by field, because a struct literal would become a call of memcpy, byte by byte.
    unsafe {
        let header = &raw mut (*scratch).header;
        (*header).kind = user.kind as u32;
        (*header).cpu = bpf_get_smp_processor_id() as u32;
        (*header).time_ns = bpf_ktime_get_ns();
        (*header).pid = pid;
        (*header).tid = pid_tgid as u32;
        (*header).kernel_frames = kernel_frames as u16;
        (*header).stop = user.stop;
        write_comm(&raw mut (*header).comm);
    }
    let wake = first_of_process(pid);
    emit::sample(scratch, user_frames + kernel_frames, wake);
    if maps::SETTINGS.load().check_walks != 0 && user.kind as u32 == RecordKind::Sample as u32 {
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

/// # Safety
///
/// `comm` must point to memory that nothing else uses meanwhile.
unsafe fn write_comm(comm: *mut [u8; COMM_LEN]) {
    let name = bpf_get_current_comm().unwrap_or_default();
    // SAFETY: as the caller promises. Two words instead of sixteen bytes.
    unsafe {
        let words: [u64; 2] = core::mem::transmute(name);
        comm.cast::<u64>().write_volatile(words[0]);
        comm.cast::<u64>().add(1).write_volatile(words[1]);
    }
}

const _: () = assert!(COPY_REGISTERS + MAX_COPY_WORDS <= MOST_WORDS);
const _: () = assert!(core::mem::offset_of!(Scratch, header.comm) % 8 == 0);
