//! What one row of unwind information says: where the caller's frame is. Applying it is left to `step`.
//!
//! ```text
//!  63            32 31          16 15      8 7       0
//!  ┌───────────────┬──────────────┬─────────┬─────────┐
//!  │ CFA operand   │ rbp offset   │ rbp     │ CFA     │
//!  │ i32 or 2 × i16│ i16          │ kind    │ kind    │
//!  └───────────────┴──────────────┴─────────┴─────────┘
//! ```
//!
//! CFA is the Canonical Frame Address of DWARF (version 5, section 6.4): the value that the stack pointer had
//! before the call. On x86-64 the return address lies in the eight bytes below it; a frame for which that is
//! not so has no rule. The CFA's operand has 32 bits because every large program has frames above 32 KiB.

use core::fmt;

use crate::Stop;

/// How the CFA is found; the lowest byte of a rule.
pub(crate) mod cfa_kind {
    pub(crate) const SP: u8 = 1;
    pub(crate) const FP: u8 = 2;
    pub(crate) const PLT: u8 = 3;
    pub(crate) const DEREF_SP: u8 = 4;
    pub(crate) const DEREF_FP: u8 = 5;
    pub(crate) const SIGNAL: u8 = 6;
    pub(crate) const OUTERMOST: u8 = 7;
    pub(crate) const FRAME_POINTER: u8 = 8;
    pub(crate) const STOP: u8 = 9;
    /// Above these two, in the lower half of the byte, is the register.
    pub(crate) const LEAF: u8 = 0x10;
    pub(crate) const RETURN_IN: u8 = 0x20;
}

/// The half of the byte that is not the register.
pub(crate) const KIND_OF_LEAF: u8 = 0xf0;

/// Where the caller's rbp is; the second byte of a rule.
pub(crate) mod fp_kind {
    pub(crate) const SAME: u8 = 0;
    pub(crate) const AT_CFA: u8 = 1;
    pub(crate) const AT_FP: u8 = 2;
}

/// A register that a walk knows in the innermost frame only, where it has been interrupted: those that functions use for
/// a CFA or a return address until they have saved it, and need not keep for their callers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeafRegister(u8);

impl LeafRegister {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// Their names, by their [index](Self::index).
    pub const NAMES: [&str; Self::COUNT] = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "r10", "r11"];

    /// By its number in DWARF (System V ABI for x86-64, figure 3.36).
    pub const fn from_dwarf(number: u64) -> Option<Self> {
        match number {
            0..=5 => Some(Self(number as u8)),
            10 | 11 => Some(Self(number as u8 - 4)),
            _ => None,
        }
    }

    /// Its place among the registers that are kept.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize & (Self::COUNT - 1)
    }

    /// The lower half of the kind of a rule.
    #[inline(always)]
    pub(crate) const fn of_kind(kind: u8) -> Self {
        Self(kind & (Self::COUNT as u8 - 1))
    }

    const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// A rule, as the kernel's table holds it. Zero is no rule: it stops a walk with [`Stop::NoTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Rule(u64);

/// Where the Canonical Frame Address is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cfa {
    /// `rsp + n`.
    Sp(i32),
    /// `rbp + n`.
    Fp(i32),
    /// In a procedure linkage table: `rsp + offset + ((rip & 15) >= threshold ? 8 : 0)`, as an entry of
    /// 16 bytes has pushed its number from its byte `threshold` on.
    Plt {
        /// Distance before the push.
        offset: i16,
        /// First byte of the entry at which the push is done.
        threshold: i16,
    },
    /// `*(rsp + inner) + outer`: the function has moved its stack and keeps the old place in memory.
    DerefSp {
        /// Added before the read.
        inner: i16,
        /// Added to what was read.
        outer: i16,
    },
    /// `register + offset`, which holds in the innermost frame.
    Leaf {
        /// The register.
        register: LeafRegister,
        /// Added to it.
        offset: i32,
    },
    /// `*(rbp + inner) + outer`, for the same reason.
    DerefFp {
        /// Added before the read.
        inner: i16,
        /// Added to what was read.
        outer: i16,
    },
}

/// Where the rbp of the caller is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SavedFp {
    /// Still in rbp.
    Same,
    /// In memory at `CFA + n`.
    AtCfa(i16),
    /// In memory at `rbp + n`.
    AtFp(i16),
}

impl Rule {
    /// A signal trampoline: the interrupted registers are in the kernel's signal frame.
    pub const SIGNAL: Self = Self(cfa_kind::SIGNAL as u64);
    /// Nothing called this code.
    pub const OUTERMOST: Self = Self(cfa_kind::OUTERMOST as u64);
    /// A gap in a binary that has unwind information: by frame pointer if that looks right.
    pub const NO_ROW: Self = Self::frame_pointer(Stop::NoRow);
    /// A binary without unwind information, which is expected to keep frame pointers (Go).
    pub const NO_CFI: Self = Self::frame_pointer(Stop::FramePointerBroken);
    /// Code outside all known mappings, such as a JIT's: by frame pointer if that looks right.
    pub const NO_MAPPING: Self = Self::frame_pointer(Stop::NoMapping);
    /// A binary whose rows are not there: by frame pointer if that looks right.
    pub const NO_TABLE: Self = Self::frame_pointer(Stop::NoTable);
    /// A rule that rows cannot express. No guess is made: the code says that it is not a usual frame.
    pub const UNSUPPORTED: Self = Self::stop(Stop::UnsupportedRule);

    /// The rule for a frame whose caller's frame and rbp are found like this.
    #[inline(always)]
    pub const fn new(cfa: Cfa, saved_fp: SavedFp) -> Self {
        let (kind, operand) = match cfa {
            Cfa::Sp(n) => (cfa_kind::SP, n as u32),
            Cfa::Fp(n) => (cfa_kind::FP, n as u32),
            Cfa::Plt { offset, threshold } => (cfa_kind::PLT, pair(offset, threshold)),
            Cfa::DerefSp { inner, outer } => (cfa_kind::DEREF_SP, pair(inner, outer)),
            Cfa::DerefFp { inner, outer } => (cfa_kind::DEREF_FP, pair(inner, outer)),
            Cfa::Leaf { register, offset } => (cfa_kind::LEAF | register.0, offset as u32),
        };
        let (fp_kind, offset) = match saved_fp {
            SavedFp::Same => (fp_kind::SAME, 0),
            SavedFp::AtCfa(n) => (fp_kind::AT_CFA, n),
            SavedFp::AtFp(n) => (fp_kind::AT_FP, n),
        };
        Self(
            (operand as u64) << 32
                | (offset as u16 as u64) << 16
                | (fp_kind as u64) << 8
                | kind as u64,
        )
    }

    /// Steps by frame pointer; `otherwise` is why the walk ends if that does not look like a frame.
    pub const fn frame_pointer(otherwise: Stop) -> Self {
        Self((otherwise as u64) << 32 | cfa_kind::FRAME_POINTER as u64)
    }

    /// The return address is in a register, which holds in the innermost frame, and the CFA is `rsp + offset`: glibc's
    /// `vfork` keeps it there while the child uses its stack.
    pub const fn return_in(register: LeafRegister, offset: i32) -> Self {
        Self((offset as u32 as u64) << 32 | (cfa_kind::RETURN_IN | register.0) as u64)
    }

    /// Whether this is [`SIGNAL`](Self::SIGNAL), the frame of which nothing has called.
    #[inline(always)]
    pub const fn is_signal(self) -> bool {
        self.cfa_kind() == cfa_kind::SIGNAL
    }

    /// The walk ends here.
    pub const fn stop(stop: Stop) -> Self {
        Self((stop as u64) << 32 | cfa_kind::STOP as u64)
    }

    /// From what [`bits`](Self::bits) gave. Any number is a rule; one that was never made stops the walk.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number that stands in the table.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn cfa_kind(self) -> u8 {
        self.0 as u8
    }

    #[inline(always)]
    pub(crate) const fn fp_kind(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The rbp offset, extended to the width of an address.
    #[inline(always)]
    pub(crate) const fn fp_offset(self) -> u64 {
        (self.0 >> 16) as i16 as i64 as u64
    }

    /// The whole CFA operand.
    #[inline(always)]
    pub(crate) const fn offset(self) -> u64 {
        (self.0 >> 32) as i32 as i64 as u64
    }

    /// The first half of the CFA operand.
    #[inline(always)]
    pub(crate) const fn inner(self) -> u64 {
        (self.0 >> 32) as i16 as i64 as u64
    }

    /// The second half of the CFA operand.
    #[inline(always)]
    pub(crate) const fn outer(self) -> u64 {
        (self.0 >> 48) as i16 as i64 as u64
    }

    /// Why the walk ends here or, in a step by frame pointer, would end.
    #[inline(always)]
    pub(crate) const fn stop_reason(self) -> Stop {
        if self.cfa_kind() != cfa_kind::FRAME_POINTER && self.cfa_kind() != cfa_kind::STOP {
            return Stop::NoTable;
        }
        match Stop::from_u32((self.0 >> 32) as u32) {
            Some(stop) => stop,
            None => Stop::NoTable,
        }
    }
}

impl fmt::Display for Rule {
    /// As `readelf -wF` writes such things: `rsp+16 rbp=c-16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inner, outer) = (self.inner() as i64, self.outer() as i64);
        match self.cfa_kind() {
            cfa_kind::SP => write!(f, "rsp{:+}", self.offset() as i64)?,
            cfa_kind::FP => write!(f, "rbp{:+}", self.offset() as i64)?,
            cfa_kind::PLT => write!(f, "rsp{inner:+}, plt+8 from byte {outer}")?,
            cfa_kind::DEREF_SP => write!(f, "*(rsp{inner:+}){outer:+}")?,
            cfa_kind::DEREF_FP => write!(f, "*(rbp{inner:+}){outer:+}")?,
            cfa_kind::SIGNAL => return f.write_str("signal frame"),
            cfa_kind::OUTERMOST => return f.write_str("outermost"),
            cfa_kind::FRAME_POINTER => {
                return write!(f, "by frame pointer, else {}", self.stop_reason().text());
            }
            kind if kind & KIND_OF_LEAF == cfa_kind::LEAF => {
                let register = LeafRegister::of_kind(kind);
                write!(f, "{}{:+}", register.name(), self.offset() as i64)?;
            }
            kind if kind & KIND_OF_LEAF == cfa_kind::RETURN_IN => {
                let register = LeafRegister::of_kind(kind);
                return write!(
                    f,
                    "rsp{:+}, return address in {}",
                    self.offset() as i64,
                    register.name()
                );
            }
            _ => return f.write_str(self.stop_reason().text()),
        }
        match self.fp_kind() {
            fp_kind::AT_CFA => write!(f, " rbp=c{:+}", self.fp_offset() as i64),
            fp_kind::AT_FP => write!(f, " rbp=*(rbp{:+})", self.fp_offset() as i64),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({self})")
    }
}

const fn pair(first: i16, second: i16) -> u32 {
    (second as u16 as u32) << 16 | first as u16 as u32
}
