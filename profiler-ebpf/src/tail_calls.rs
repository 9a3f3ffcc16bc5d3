//! The walk by tables for kernels without `bpf_loop`: some frames in a program, which then calls itself.

use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{MAX_USER_FRAMES, Scratch};

use crate::walk::{self, UserStack};
use crate::{on_cpu, registers};

/// Frames of one program. With the 32 calls that the kernel allows (`MAX_TAIL_CALL_CNT`), enough for all that a sample
/// has room for.
const FRAMES_OF_ONE: usize = 16;

/// The one program that is called. User space enters it.
#[map]
static WALK_ON: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Begins a sample.
#[inline(always)]
pub(crate) fn sample(ctx: &PerfEventContext) {
    let Some((scratch, pid)) = on_cpu::begin() else {
        return;
    };
    let stack = match walk::prepare(ctx, scratch, pid, registers::on_task_stack) {
        Ok(()) => {
            call(ctx);
            // The call has failed, or this would not be reached.
            walk::done(scratch)
        }
        Err(stack) => stack,
    };
    on_cpu::finish(ctx, scratch, &stack);
}

/// Some frames more, and the end of the sample when there are no more.
#[inline(always)]
pub(crate) fn walk_on(ctx: &PerfEventContext) {
    let Some(scratch) = on_cpu::scratch() else {
        return;
    };
    if !some_frames(scratch) {
        call(ctx);
    }
    let stack: UserStack = walk::done(scratch);
    on_cpu::finish(ctx, scratch, &stack);
}

/// Whether these were the last.
#[inline(always)]
fn some_frames(scratch: *mut Scratch) -> bool {
    let Some(walk) = walk::of_this_cpu() else {
        return true;
    };
    for _ in 0..FRAMES_OF_ONE {
        // SAFETY: both are this CPU's, and the sampling programs do not interrupt themselves.
        if unsafe { walk::next_frame(walk, scratch, walk::frames(walk)) }.is_err() {
            return true;
        }
    }
    // SAFETY: as above.
    unsafe { walk::frames(walk) as usize >= MAX_USER_FRAMES }
}

/// Comes back only if the kernel refuses.
#[inline(always)]
fn call(ctx: &PerfEventContext) {
    // SAFETY: the program called has the same type and takes the same context.
    unsafe { WALK_ON.tail_call(ctx, 0) };
}

const _: () = assert!(FRAMES_OF_ONE * 32 > MAX_USER_FRAMES);
