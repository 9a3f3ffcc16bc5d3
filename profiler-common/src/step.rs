//! Unwinding one frame: registers and a rule in, the caller's registers or the reason to stop out.
//!
//! The BPF walker, the walk in user space, tests and the fuzzer call this very function; how memory is read is
//! theirs. The verifier of the kernel has to accept it, so there is no indexing, no loop and no arithmetic that
//! could panic. Finding the rule of an address, and how many frames are enough, is left to the walks.

use crate::rule::{KIND_OF_LEAF, cfa_kind, fp_kind};
use crate::{LeafRegister, Rule, Stop};

/// Offsets from rsp in a signal trampoline, where rsp points to the kernel's `struct ucontext`
/// (arch/x86/include/uapi/asm/sigcontext.h): `uc_mcontext` is at 40, and in it `rbp` at 80, `rsp` at 120,
/// `rip` at 128.
const SIGNAL_FP: u64 = 120;
const SIGNAL_SP: u64 = 160;
const SIGNAL_IP: u64 = 168;

/// Size of an address in memory.
const WORD: u64 = 8;

/// A step down by this much or more leads to another stack; Go's smallest one has 2 KiB, a page is twice that.
const OTHER_STACK: u64 = 4096;

/// How a walk reads the stack that it walks.
pub trait Memory {
    /// The eight bytes at an address, or `None` when they cannot be read.
    fn read_u64(&mut self, address: u64) -> Option<u64>;

    /// What a register holds that is known in the innermost frame only, if `sp` is the stack pointer there.
    #[inline(always)]
    fn leaf(&mut self, _register: LeafRegister, _sp: u64) -> Option<u64> {
        None
    }
}

impl<F: FnMut(u64) -> Option<u64>> Memory for F {
    #[inline(always)]
    fn read_u64(&mut self, address: u64) -> Option<u64> {
        self(address)
    }
}

/// The registers that a walk follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// rip, or the return address.
    pub ip: u64,
    /// rsp.
    pub sp: u64,
    /// rbp, whether or not it is used as a frame pointer.
    pub fp: u64,
    /// 1 when `ip` is a return address, 0 when it is the very instruction that was interrupted.
    ///
    /// Subtracted from `ip` before it is looked up: the instruction behind a call may belong to another row, or
    /// even to another function.
    pub after_call: u64,
}

impl Registers {
    /// The registers of an interrupted thread.
    #[inline(always)]
    pub const fn interrupted(ip: u64, sp: u64, fp: u64) -> Self {
        Self {
            ip,
            sp,
            fp,
            after_call: 0,
        }
    }

    /// The address whose mapping and row count.
    #[inline(always)]
    pub const fn lookup(&self) -> u64 {
        self.ip.wrapping_sub(self.after_call)
    }

    /// Whether `ip` is the very instruction: the innermost frame, or one that a signal interrupted.
    #[inline(always)]
    pub const fn is_exact(&self) -> bool {
        self.after_call == 0
    }
}

/// The registers in the caller of a frame, to which `rule` applies.
///
/// # Errors
///
/// The reason for which there is no caller or it cannot be found.
#[inline(always)]
pub fn step<M: Memory>(
    registers: Registers,
    rule: Rule,
    memory: &mut M,
) -> Result<Registers, Stop> {
    let cfa = match rule.cfa_kind() {
        cfa_kind::SP => registers.sp.wrapping_add(rule.offset()),
        cfa_kind::FP => registers.fp.wrapping_add(rule.offset()),
        cfa_kind::PLT => {
            let pushed = if registers.ip & 15 >= rule.outer() {
                WORD
            } else {
                0
            };
            registers.sp.wrapping_add(rule.inner()).wrapping_add(pushed)
        }
        cfa_kind::DEREF_SP => {
            read(memory, registers.sp.wrapping_add(rule.inner()))?.wrapping_add(rule.outer())
        }
        cfa_kind::DEREF_FP => {
            read(memory, registers.fp.wrapping_add(rule.inner()))?.wrapping_add(rule.outer())
        }
        cfa_kind::SIGNAL => return step_signal(registers, memory),
        cfa_kind::OUTERMOST => return Err(Stop::End),
        cfa_kind::FRAME_POINTER => {
            return step_frame_pointer(registers, rule.stop_reason(), memory);
        }
        kind if kind & KIND_OF_LEAF == cfa_kind::LEAF => {
            leaf(memory, kind, registers)?.wrapping_add(rule.offset())
        }
        kind if kind & KIND_OF_LEAF == cfa_kind::RETURN_IN => {
            let ip = leaf(memory, kind, registers)?;
            let sp = registers.sp.wrapping_add(rule.offset());
            return returned(ip, sp, registers.fp);
        }
        _ => return Err(rule.stop_reason()),
    };
    // A frame holds at least its return address, so the caller's stack pointer is above this one's.
    if cfa <= registers.sp {
        return Err(Stop::NoProgress);
    }
    // rbp is saved below the return address: reading it first suits a reader that copies upwards.
    let fp = match rule.fp_kind() {
        fp_kind::AT_CFA => read(memory, cfa.wrapping_add(rule.fp_offset()))?,
        fp_kind::AT_FP => read(memory, registers.fp.wrapping_add(rule.fp_offset()))?,
        _ => registers.fp,
    };
    let ip = read(memory, cfa.wrapping_sub(WORD))?;
    returned(ip, cfa, fp)
}

/// The registers that a signal interrupted.
///
/// The interrupted stack may be another one (`sigaltstack`) and lie below, so there is nothing to compare.
#[inline(always)]
fn step_signal<M: Memory>(registers: Registers, memory: &mut M) -> Result<Registers, Stop> {
    let fp = read(memory, registers.sp.wrapping_add(SIGNAL_FP))?;
    let sp = read(memory, registers.sp.wrapping_add(SIGNAL_SP))?;
    let ip = read(memory, registers.sp.wrapping_add(SIGNAL_IP))?;
    Ok(Registers::interrupted(ip, sp, fp))
}

/// One step along the chain of frame pointers, if rbp looks like one: it points to an aligned place above rsp,
/// where the next one lies, which is higher up or zero. If it does not, the reason is `otherwise`.
///
/// Code that is known to keep frame pointers may also go down by a distance that means another stack: Go's
/// `runtime.systemstack` calls on the stack of the thread, with the frame pointer still in the goroutine's.
#[inline(always)]
fn step_frame_pointer<M: Memory>(
    registers: Registers,
    otherwise: Stop,
    memory: &mut M,
) -> Result<Registers, Stop> {
    let fp = registers.fp;
    let kept = matches!(otherwise, Stop::FramePointerBroken);
    // Only where frame pointers are the rule does zero mean the end; elsewhere rbp can hold any number.
    if fp == 0 && kept {
        return Err(Stop::FramePointerEnd);
    }
    let least_down = if kept { OTHER_STACK } else { u64::MAX };
    if fp & (WORD - 1) != 0 || fp < registers.sp && registers.sp.wrapping_sub(fp) < least_down {
        return Err(otherwise);
    }
    let Some(next) = memory.read_u64(fp) else {
        return Err(otherwise);
    };
    if next != 0 && next <= fp && fp.wrapping_sub(next) < least_down {
        return Err(otherwise);
    }
    let Some(ip) = memory.read_u64(fp.wrapping_add(WORD)) else {
        return Err(otherwise);
    };
    returned(ip, fp.wrapping_add(2 * WORD), next)
}

/// The register that a rule names; in the innermost frame, for in others nobody knows what it was.
#[inline(always)]
fn leaf<M: Memory>(memory: &mut M, kind: u8, registers: Registers) -> Result<u64, Stop> {
    let register = LeafRegister::of_kind(kind);
    let known = if registers.is_exact() {
        memory.leaf(register, registers.sp)
    } else {
        None
    };
    match known {
        Some(value) => Ok(value),
        None => Err(Stop::UnsupportedRule),
    }
}

#[inline(always)]
fn returned(ip: u64, sp: u64, fp: u64) -> Result<Registers, Stop> {
    if ip == 0 {
        return Err(Stop::ZeroReturnAddress);
    }
    Ok(Registers {
        ip,
        sp,
        fp,
        after_call: 1,
    })
}

#[inline(always)]
fn read<M: Memory>(memory: &mut M, address: u64) -> Result<u64, Stop> {
    match memory.read_u64(address) {
        Some(value) => Ok(value),
        None => Err(Stop::ReadFailed),
    }
}

const _: () = assert!(size_of::<Registers>() == 32);

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
