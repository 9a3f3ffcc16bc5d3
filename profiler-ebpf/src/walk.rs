//! The walk of a stack: the user's frame by frame with the tables, the kernel's by the kernel.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use aya_ebpf::helpers::{
    bpf_get_current_task_btf, bpf_get_stack, bpf_probe_read_kernel, bpf_task_pt_regs,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{
    COPY_REGISTERS, EXACT_FRAME, MAX_COPY_WORDS, MAX_KERNEL_FRAMES, MAX_USER_FRAMES, MORE_PAGES,
    MappingRun, PAGE_WORDS, ProcessRun, RED_ZONE, RecordKind, Registers, Rule, Scratch, Stop, step,
};

use crate::window::{Stack, Window};
use crate::{emit, maps, tables};

const FRAME_SIZE: usize = size_of::<u64>();
/// The part of `cs` that is the privilege level: 3 in user mode (Intel SDM, volume 3, section 5.5).
const PRIVILEGE_LEVEL: u64 = 3;

/// What a walk keeps between two frames.
#[repr(C)]
struct Walk {
    registers: Registers,
    process: ProcessRun,
    /// The mapping that the last frame was in; the next one often is in the same.
    mapping: MappingRun,
    frames: u32,
    stop: u32,
    window: Window,
}

/// The walk of each CPU; too large for the stack of a BPF program.
#[map]
static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);

/// What is known of a user stack whose addresses are in the scratch.
pub(crate) struct UserStack {
    /// Whether it was walked or copied.
    pub(crate) kind: RecordKind,
    /// How many frames, or how many words of registers and stack.
    pub(crate) words: usize,
    /// Why there are no more frames.
    pub(crate) stop: u32,
}

impl UserStack {
    const NONE: Self = Self {
        kind: RecordKind::Sample,
        words: 0,
        stop: Stop::NoUserStack as u32,
    };
}

/// Writes the user frames of the current task to the start of the scratch's, frame by frame with the tables.
#[inline(always)]
pub(crate) fn by_tables(ctx: &PerfEventContext, scratch: *mut Scratch, pid: u32) -> UserStack {
    let Some(walk) = WALK.get_ptr_mut(0) else {
        return UserStack::NONE;
    };
    // SAFETY: `walk` is this CPU's element, and the sampling program does not interrupt itself.
    unsafe {
        if !start(ctx, &raw mut (*walk).registers) {
            return UserStack::NONE;
        }
        let Some(process) = tables::process(pid) else {
            if !emit::has_room_for_copies() {
                return interrupted_only(scratch, (*walk).registers.ip);
            }
            return copy(&raw const (*walk).registers, scratch, Stop::NoTable as u32);
        };
        let interrupted = Registers {
            ip: (*walk).registers.ip,
            sp: (*walk).registers.sp,
            fp: (*walk).registers.fp,
            after_call: 0,
        };
        (*walk).process.first = process.first;
        (*walk).process.end = process.end;
        (*walk).mapping.start = 0;
        (*walk).mapping.limit = 0;
        (*walk).frames = 0;
        (*walk).stop = Stop::TooDeep as u32;
        Stack(&raw mut (*walk).window).clear();
        bpf_loop(
            MAX_USER_FRAMES as u32,
            next_frame as *mut c_void,
            core::ptr::null_mut(),
            0,
        );
        let stop = (*walk).stop;
        // Something was mapped since user space looked; by the time it gets the copy it has looked again.
        if stop == Stop::NoMapping as u32 && emit::has_room_for_copies() {
            return copy(&interrupted, scratch, stop);
        }
        UserStack {
            kind: RecordKind::Sample,
            words: (*walk).frames as usize & MAX_USER_FRAMES,
            stop,
        }
    }
}

/// All that is sent of a stack that has no tables when there is no room for a copy.
///
/// # Safety
///
/// `scratch` must be this CPU's own.
#[inline(always)]
unsafe fn interrupted_only(scratch: *mut Scratch, ip: u64) -> UserStack {
    // SAFETY: as the caller promises.
    unsafe {
        (&raw mut (*scratch).frames)
            .cast::<u64>()
            .write(ip | EXACT_FRAME);
    }
    UserStack {
        kind: RecordKind::Sample,
        words: 1,
        stop: Stop::NoTable as u32,
    }
}

/// Writes registers and the top of the stack to the scratch instead of frames: for user space to walk, with the tables
/// that it makes when it hears of this process.
///
/// # Safety
///
/// `registers` must be readable, and `scratch` this CPU's own.
#[inline(always)]
unsafe fn copy(registers: *const Registers, scratch: *mut Scratch, stop: u32) -> UserStack {
    const WORD: u64 = FRAME_SIZE as u64;
    const PAGE: u64 = 4096;
    // SAFETY: as the caller promises; the sizes are those that `frames` has room for.
    unsafe {
        let words = (&raw mut (*scratch).frames).cast::<u64>();
        words.write((*registers).ip);
        words.add(1).write((*registers).sp);
        let from = ((*registers).sp & !(WORD - 1)).wrapping_sub(RED_ZONE);
        words.add(2).write((*registers).fp);
        let mut copied = 0;
        // To the end of the page, between 8 and 4096 bytes; then page by page, as long as there are some.
        let first = PAGE - (from & (PAGE - WORD));
        let stack = words.add(COPY_REGISTERS);
        if bpf_probe_read_user(stack.cast(), first as u32, from as *const _) == 0 {
            copied = (first / WORD) as usize;
            for page in 0..MORE_PAGES {
                let next = stack.add((first / WORD) as usize + page * PAGE_WORDS);
                let address = from.wrapping_add(first).wrapping_add(page as u64 * PAGE);
                if bpf_probe_read_user(next.cast(), PAGE as u32, address as *const _) != 0 {
                    break;
                }
                copied += PAGE_WORDS;
            }
        }
        UserStack {
            kind: RecordKind::StackCopy,
            words: COPY_REGISTERS + copied,
            stop,
        }
    }
}

/// The same by the kernel's own walk, which knows only frame pointers.
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

/// The registers that the task had in user mode: those that were interrupted, or those that it had when it
/// entered the kernel. False when it has no user mode.
///
/// # Safety
///
/// `registers` must point to memory that nothing else uses meanwhile.
#[inline(always)]
unsafe fn start(ctx: &PerfEventContext, registers: *mut Registers) -> bool {
    // SAFETY: as the caller promises; the context is what the kernel has given. All of its fields are read here and
    // now, because the compiler would otherwise merge these loads with those of the other registers below, which
    // the verifier rejects.
    unsafe {
        let regs = &raw const (*ctx.ctx).regs;
        let ip = (&raw const (*regs).rip).read_volatile();
        let sp = (&raw const (*regs).rsp).read_volatile();
        let fp = (&raw const (*regs).rbp).read_volatile();
        let cs = (&raw const (*regs).cs).read_volatile();
        if cs & PRIVILEGE_LEVEL == PRIVILEGE_LEVEL {
            (*registers).ip = ip;
            (*registers).sp = sp;
            (*registers).fp = fp;
        } else {
            let entry =
                bpf_task_pt_regs(bpf_get_current_task_btf()) as *const aya_ebpf::bindings::pt_regs;
            let read = |field: *const u64| bpf_probe_read_kernel(field).unwrap_or(0);
            if read(&raw const (*entry).cs) & PRIVILEGE_LEVEL != PRIVILEGE_LEVEL {
                return false;
            }
            (*registers).ip = read(&raw const (*entry).rip);
            (*registers).sp = read(&raw const (*entry).rsp);
            (*registers).fp = read(&raw const (*entry).rbp);
        }
        (*registers).after_call = 0;
        (*registers).ip != 0
    }
}

/// One turn of the loop: notes a frame and finds its caller. 1 ends the loop.
unsafe extern "C" fn next_frame(index: u32, _: *mut c_void) -> i64 {
    let (Some(walk), Some(scratch)) = (WALK.get_ptr_mut(0), maps::SCRATCH.get_ptr_mut(0)) else {
        return 1;
    };
    // SAFETY: both are this CPU's elements, and the sampling program does not interrupt itself; the mask keeps the
    // index inside.
    unsafe {
        let registers = Registers {
            ip: (*walk).registers.ip,
            sp: (*walk).registers.sp,
            fp: (*walk).registers.fp,
            after_call: (*walk).registers.after_call,
        };
        let exact = if registers.is_exact() { EXACT_FRAME } else { 0 };
        (&raw mut (*scratch).frames)
            .cast::<u64>()
            .add(index as usize & MAX_USER_FRAMES)
            .write(registers.ip | exact);
        (*walk).frames = index + 1;
        let process = ProcessRun {
            first: (*walk).process.first,
            end: (*walk).process.end,
        };
        let rule = rule(process, registers.lookup(), &raw mut (*walk).mapping);
        match step(registers, rule, &mut Stack(&raw mut (*walk).window)) {
            Ok(caller) => {
                (*walk).registers.ip = caller.ip;
                (*walk).registers.sp = caller.sp;
                (*walk).registers.fp = caller.fp;
                (*walk).registers.after_call = caller.after_call;
                0
            }
            Err(stop) => {
                (*walk).stop = stop as u32;
                1
            }
        }
    }
}

#[inline(always)]
fn rule(process: ProcessRun, address: u64, mapping: *mut MappingRun) -> Rule {
    if !tables::find_mapping(process, address, mapping) {
        return tables::guess(Rule::NO_MAPPING, Stop::NoMapping);
    }
    tables::rule(mapping, address)
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
