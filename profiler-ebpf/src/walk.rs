//! The walk of a stack, user and kernel.
//!
//! Both are the kernel's own walks for now: exact for the kernel, by frame pointers for user space.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::bpf_get_stack;
use profiler_common::{MAX_KERNEL_FRAMES, MAX_USER_FRAMES, Scratch, StackEnd};

const FRAME_SIZE: usize = size_of::<u64>();

/// What is known of a user stack whose addresses are in the scratch.
pub(crate) struct UserStack {
    /// How many addresses, at most [`MAX_USER_FRAMES`].
    pub(crate) frames: usize,
    /// Why there are no more.
    pub(crate) end: StackEnd,
}

/// Writes the user frames of the current task to the start of `scratch.frames`.
#[inline(always)]
pub(crate) fn user_frames(ctx: *mut c_void, scratch: *mut Scratch) -> UserStack {
    // SAFETY: the buffer is the first MAX_USER_FRAMES elements of `frames`.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            (&raw mut (*scratch).frames).cast(),
            (MAX_USER_FRAMES * FRAME_SIZE) as u32,
            BPF_F_USER_STACK.into(),
        )
    };
    // An error and no frame at all both mean that there is no user memory: the kernel's own threads,
    // and a process in the midst of exec or exit.
    if bytes <= 0 {
        return UserStack {
            frames: 0,
            end: StackEnd::NoUserStack,
        };
    }
    let frames = bytes as usize / FRAME_SIZE;
    let end = if frames >= MAX_USER_FRAMES {
        StackEnd::TooDeep
    } else {
        StackEnd::ChainEnd
    };
    UserStack { frames, end }
}

/// Writes the kernel frames of the current task behind `user_frames` others; returns how many there are,
/// at most [`MAX_KERNEL_FRAMES`]. None when the task was interrupted in user mode.
#[inline(always)]
pub(crate) fn kernel_frames(ctx: *mut c_void, scratch: *mut Scratch, user_frames: usize) -> usize {
    let user_frames = user_frames & MAX_USER_FRAMES;
    // SAFETY: `user_frames` is at most MAX_USER_FRAMES, so MAX_KERNEL_FRAMES elements follow it.
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
