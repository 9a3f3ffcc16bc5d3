//! Stacks that the kernel walks itself: its own, and the user's by frame pointers alone.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::bpf_get_stack;
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{
    COPY_REGISTERS, EXACT_FRAME, MAX_COPY_WORDS, MAX_KERNEL_FRAMES, RecordKind, Scratch, Stop,
};

use crate::walk::UserStack;

const FRAME_SIZE: usize = size_of::<u64>();

/// The user's stack by the kernel's own walk, which knows only frame pointers.
#[inline(always)]
pub(crate) fn by_frame_pointers(ctx: &PerfEventContext, scratch: *mut Scratch) -> UserStack {
    // As many frames as the kernel gives by default (`kernel.perf_event_max_stack`).
    const MOST: usize = 127;
    // SAFETY: a field of this CPU's scratch.
    let frames = unsafe { &raw mut (*scratch).frames }.cast::<u64>();
    // SAFETY: the buffer is the first elements of `frames`.
    let bytes = unsafe {
        bpf_get_stack(
            ctx.as_ptr(),
            frames.cast(),
            (MOST * FRAME_SIZE) as u32,
            BPF_F_USER_STACK.into(),
        )
    };
    // An error and no frame at all both mean that there is no user memory.
    if bytes <= 0 {
        return UserStack::NONE;
    }
    // SAFETY: the first element of this CPU's scratch.
    unsafe { *frames |= EXACT_FRAME };
    let count = bytes as usize / FRAME_SIZE;
    let stop = if count >= MOST {
        Stop::TooDeep
    } else {
        Stop::KernelWalkEnd
    };
    UserStack {
        kind: RecordKind::Sample,
        words: count,
        stop: stop as u32,
    }
}

/// Writes the kernel frames of the current task behind `user_frames` others; returns how many there are,
/// at most [`MAX_KERNEL_FRAMES`]. None when the task was interrupted in user mode.
#[inline(always)]
pub(crate) fn kernel_frames(ctx: *mut c_void, scratch: *mut Scratch, user_frames: usize) -> usize {
    if user_frames > COPY_REGISTERS + MAX_COPY_WORDS {
        return 0;
    }
    // SAFETY: MAX_KERNEL_FRAMES elements follow, as was just checked.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            (&raw mut (*scratch).frames)
                .cast::<u64>()
                .add(user_frames)
                .cast(),
            (MAX_KERNEL_FRAMES * FRAME_SIZE) as u32,
            0,
        )
    };
    if bytes <= 0 {
        0
    } else {
        bytes as usize / FRAME_SIZE
    }
}
