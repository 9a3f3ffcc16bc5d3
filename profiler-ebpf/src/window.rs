//! The stack window: a piece of the stack in memory of this CPU, from which frames are served.
//!
//! Reading user memory is most of the cost of a walk, and a read of a kibibyte costs little more than one of a
//! word (76 and 83 ns where this was measured). So the walk reads a piece at a time, upwards, and most frames
//! need no read of their own.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use profiler_common::{LeafRegister, Memory};

use crate::registers::LeafRegisters;

/// Words of the window: 1 KiB. Smaller ones read more often, larger ones are no faster.
pub(crate) const WORDS: usize = 128;
const BYTES: u64 = (WORDS * 8) as u64;
const PAGE: u64 = 4096;

/// A piece of the stack.
#[repr(C)]
pub(crate) struct Window {
    /// Address of the first byte.
    base: u64,
    /// Bytes that are there.
    length: u64,
    words: [u64; WORDS],
}

/// Registers of the innermost frame.
#[repr(C)]
pub(crate) struct Leaf {
    /// Its stack pointer, by which it is known.
    pub(crate) sp: u64,
    pub(crate) registers: LeafRegisters,
}

/// Reads through a window; both must be this CPU's own.
pub(crate) struct Stack(pub(crate) *mut Window, pub(crate) *const Leaf);

impl Stack {
    /// Forgets what an earlier walk has read.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        // SAFETY: the window is this CPU's own, as the type demands.
        unsafe { (*self.0).length = 0 };
    }

    /// Reads the piece that begins at `address`, or what of it lies in the same page: the next may not exist.
    #[inline(always)]
    fn refill(&mut self, address: u64) -> bool {
        // SAFETY: the window is this CPU's own; neither size is larger than its words.
        unsafe {
            let words = (&raw mut (*self.0).words).cast();
            (*self.0).base = address;
            (*self.0).length = BYTES;
            if bpf_probe_read_user(words, BYTES as u32, address as *const _) == 0 {
                return true;
            }
            // At most BYTES - 8, and 0 when all of it is in one page, which cannot be read then.
            let in_page = (PAGE - (address & (PAGE - 1))) & (BYTES - 8);
            (*self.0).length = in_page;
            if in_page == 0 {
                return false;
            }
            let failed = bpf_probe_read_user(words, in_page as u32, address as *const _) != 0;
            if failed {
                (*self.0).length = 0;
            }
            !failed
        }
    }
}

impl Memory for Stack {
    #[inline(always)]
    fn read_u64(&mut self, address: u64) -> Option<u64> {
        if address & 7 != 0 {
            let mut word = 0u64;
            // SAFETY: a checked read into a word of this function.
            let failed =
                unsafe { bpf_probe_read_user((&raw mut word).cast(), 8, address as *const _) } != 0;
            return (!failed).then_some(word);
        }
        // SAFETY: the window is this CPU's own, as the type demands.
        let (base, length) = unsafe { ((*self.0).base, (*self.0).length) };
        let mut offset = address.wrapping_sub(base);
        if offset >= length {
            if !self.refill(address) {
                return None;
            }
            offset = 0;
        }
        let index = (offset >> 3) as usize & (WORDS - 1);
        // SAFETY: the mask keeps the index inside.
        Some(unsafe { (&raw const (*self.0).words).cast::<u64>().add(index).read() })
    }

    #[inline(always)]
    fn leaf(&mut self, register: LeafRegister, sp: u64) -> Option<u64> {
        // SAFETY: both are this CPU's own, as the type demands, and an index is inside.
        unsafe {
            let registers = (&raw const (*self.1).registers).cast::<u64>();
            ((*self.1).sp == sp).then(|| registers.add(register.index()).read())
        }
    }
}

const _: () = assert!(WORDS.is_power_of_two());
