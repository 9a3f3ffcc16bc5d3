//! The walk of the user's stack, frame by frame with the tables.

use core::ffi::c_void;

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::PerfEventContext;
use profiler_common::{
    COPY_REGISTERS, EXACT_FRAME, LeafRegister, MAX_USER_FRAMES, MORE_PAGES, MappingRun, PAGE_WORDS,
    ProcessRun, RED_ZONE, RecordKind, Registers, Rule, Scratch, Stop, step,
};

use crate::found::Found;
use crate::registers::Mode;
use crate::window::{Leaf, Stack, Window};
use crate::{emit, on_cpu, registers, tables};

const FRAME_SIZE: usize = size_of::<u64>();

/// What a walk keeps between two frames.
#[repr(C)]
pub(crate) struct Walk {
    registers: Registers,
    /// Those with which the walk began.
    interrupted: Registers,
    process: ProcessRun,
    /// The mapping that the last frame was in; the next one often is in the same.
    mapping: MappingRun,
    frames: u32,
    stop: u32,
    /// Whether the kernel was interrupted, in a system call or the like.
    in_kernel: u64,
    leaf: Leaf,
    window: Window,
    found: Found,
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
    pub(crate) const NONE: Self = Self {
        kind: RecordKind::Sample,
        words: 0,
        stop: Stop::NoUserStack as u32,
    };
}

/// Writes the user frames of the current task to the start of the scratch's, frame by frame with the tables.
#[inline(always)]
pub(crate) fn by_tables(ctx: &PerfEventContext, scratch: *mut Scratch, pid: u32) -> UserStack {
    if let Err(stack) = prepare(ctx, scratch, pid, registers::told_by_kernel) {
        return stack;
    }
    // SAFETY: the helper calls `turn` with numbers below the first argument, and with no context.
    unsafe {
        bpf_loop(
            MAX_USER_FRAMES as u32,
            turn as *mut c_void,
            core::ptr::null_mut(),
            0,
        );
    }
    done(scratch)
}

/// Everything before the first frame; an error is all that there is of a stack that cannot be walked here.
#[inline(always)]
pub(crate) fn prepare(
    ctx: &PerfEventContext,
    scratch: *mut Scratch,
    pid: u32,
    at_entry: impl FnOnce() -> *const pt_regs,
) -> Result<(), UserStack> {
    let Some(walk) = of_this_cpu() else {
        return Err(UserStack::NONE);
    };
    // SAFETY: `walk` is this CPU's element, and the sampling program does not interrupt itself.
    unsafe {
        let leaf = &raw mut (*walk).leaf.registers;
        let mode = registers::of_user(ctx, &raw mut (*walk).registers, leaf, at_entry);
        if mode == Mode::KernelOnly {
            return Err(UserStack::NONE);
        }
        (*walk).in_kernel = u64::from(mode == Mode::Kernel);
        (*walk).interrupted.ip = (*walk).registers.ip;
        (*walk).interrupted.sp = (*walk).registers.sp;
        (*walk).interrupted.fp = (*walk).registers.fp;
        (*walk).leaf.sp = (*walk).registers.sp;
        let Some(process) = tables::process(pid) else {
            return Err(if emit::has_room_for_copies() {
                copy(walk, scratch, Stop::NoTable as u32)
            } else {
                interrupted_only(scratch, (*walk).registers.ip)
            });
        };
        (*walk).process.first = process.first;
        (*walk).process.end = process.end;
        (*walk).process.generation = process.generation;
        (*walk).mapping.start = 0;
        (*walk).mapping.limit = 0;
        (*walk).frames = 0;
        (*walk).stop = Stop::TooDeep as u32;
        stack(walk).clear();
    }
    Ok(())
}

/// What the walk has led to.
#[inline(always)]
pub(crate) fn done(scratch: *mut Scratch) -> UserStack {
    let Some(walk) = of_this_cpu() else {
        return UserStack::NONE;
    };
    // SAFETY: `walk` is this CPU's element, and the sampling program does not interrupt itself.
    unsafe {
        let stop = (*walk).stop;
        // Something was mapped since user space looked; by the time it gets the copy it has looked again.
        if stop == Stop::NoMapping as u32 && emit::has_room_for_copies() {
            return copy(walk, scratch, stop);
        }
        if stop == Stop::ReadFailed as u32 && (*walk).frames == 1 && is_gone(walk) {
            return UserStack::NONE;
        }
        UserStack {
            kind: RecordKind::Sample,
            words: (*walk).frames as usize & MAX_USER_FRAMES,
            stop,
        }
    }
}

/// Whether a walk that could not read the top of its stack has none: a task in the kernel has used its stack just before,
/// so if that cannot be read, the task is in the middle of exec or exit, and has given up the memory that its registers
/// speak of.
///
/// # Safety
///
/// `walk` must be this CPU's own.
#[inline(always)]
unsafe fn is_gone(walk: *const Walk) -> bool {
    // SAFETY: as the caller promises.
    unsafe { (*walk).in_kernel != 0 }
}

/// What the walk reads.
///
/// # Safety
///
/// `walk` must be this CPU's own.
#[inline(always)]
unsafe fn stack(walk: *mut Walk) -> Stack {
    // SAFETY: as the caller promises.
    unsafe { Stack(&raw mut (*walk).window, &raw const (*walk).leaf) }
}

/// The walk of the CPU that this runs on.
#[inline(always)]
pub(crate) fn of_this_cpu() -> Option<*mut Walk> {
    WALK.get_ptr_mut(0)
}

/// How many frames there are so far.
///
/// # Safety
///
/// `walk` must be this CPU's own.
#[inline(always)]
pub(crate) unsafe fn frames(walk: *const Walk) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { (*walk).frames }
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
/// Both must be this CPU's own.
#[inline(always)]
unsafe fn copy(walk: *const Walk, scratch: *mut Scratch, stop: u32) -> UserStack {
    const WORD: u64 = FRAME_SIZE as u64;
    const PAGE: u64 = 4096;
    // SAFETY: as the caller promises; the sizes are those that `frames` has room for.
    unsafe {
        let words = (&raw mut (*scratch).frames).cast::<u64>();
        let registers = &raw const (*walk).interrupted;
        let leaf = (&raw const (*walk).leaf.registers).cast::<u64>();
        words.write((*registers).ip);
        words.add(1).write((*registers).sp);
        let from = ((*registers).sp & !(WORD - 1)).wrapping_sub(RED_ZONE);
        words.add(2).write((*registers).fp);
        for index in 0..LeafRegister::COUNT {
            words.add(3 + index).write(leaf.add(index).read());
        }
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
        } else if is_gone(walk) {
            return UserStack::NONE;
        }
        UserStack {
            kind: RecordKind::StackCopy,
            words: COPY_REGISTERS + copied,
            stop,
        }
    }
}

/// The stack that the last walk of this CPU began with, as a copy; `None` when that had no tables.
#[inline(always)]
pub(crate) fn copy_of_walked(scratch: *mut Scratch, stop: u32) -> Option<UserStack> {
    if stop == Stop::NoUserStack as u32 || stop == Stop::NoTable as u32 {
        return None;
    }
    let walk = of_this_cpu()?;
    // SAFETY: both are this CPU's, and the sampling program does not interrupt itself.
    let stack = unsafe { copy(walk, scratch, stop) };
    (stack.words > 0).then_some(stack)
}

/// One turn of the kernel's loop. 1 ends it.
unsafe extern "C" fn turn(index: u32, _: *mut c_void) -> i64 {
    let (Some(walk), Some(scratch)) = (of_this_cpu(), on_cpu::scratch()) else {
        return 1;
    };
    // SAFETY: both are this CPU's elements, and the sampling program does not interrupt itself.
    unsafe { next_frame(walk, scratch, index) }.map_or(1, |()| 0)
}

/// Notes the frame with this number and finds its caller; an error when it has none.
///
/// # Safety
///
/// Both must be this CPU's own.
#[inline(always)]
pub(crate) unsafe fn next_frame(
    walk: *mut Walk,
    scratch: *mut Scratch,
    index: u32,
) -> Result<(), ()> {
    // SAFETY: as the caller promises; the mask keeps the index inside.
    unsafe {
        let registers = Registers {
            ip: (*walk).registers.ip,
            sp: (*walk).registers.sp,
            fp: (*walk).registers.fp,
            after_call: (*walk).registers.after_call,
        };
        let rule = rule(walk, registers.lookup());
        // To a trampoline the kernel has made the way, not a call.
        let is_exact = registers.is_exact() | rule.is_signal();
        (&raw mut (*scratch).frames)
            .cast::<u64>()
            .add(index as usize & MAX_USER_FRAMES)
            .write(registers.ip | (u64::from(is_exact) * EXACT_FRAME));
        (*walk).frames = index + 1;
        match step(registers, rule, &mut stack(walk)) {
            Ok(caller) => {
                (*walk).registers.ip = caller.ip;
                (*walk).registers.sp = caller.sp;
                (*walk).registers.fp = caller.fp;
                (*walk).registers.after_call = caller.after_call;
                Ok(())
            }
            Err(stop) => {
                (*walk).stop = stop as u32;
                Err(())
            }
        }
    }
}

/// The rule in force at an address.
///
/// # Safety
///
/// `walk` must be this CPU's own.
#[inline(always)]
unsafe fn rule(walk: *mut Walk, address: u64) -> Rule {
    // SAFETY: as the caller promises.
    unsafe {
        let found = &raw mut (*walk).found;
        let process = ProcessRun {
            first: (*walk).process.first,
            end: (*walk).process.end,
            generation: (*walk).process.generation,
        };
        if let Some(rule) = Found::get(found, process.generation, address) {
            return rule;
        }
        let mapping = &raw mut (*walk).mapping;
        let rule = if tables::find_mapping(process, address, mapping) {
            tables::rule(mapping, address)
        } else {
            tables::unmapped(process)
        };
        Found::put(found, process.generation, address, rule);
        rule
    }
}
