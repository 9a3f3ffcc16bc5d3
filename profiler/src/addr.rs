//! The kinds of address, each its own type: in a process, as an ELF file states it, and an offset in a file.
//!
//! Converting one into another needs a mapping or program headers and is left to [`crate::process`] and
//! [`crate::binary`].

use std::fmt;

macro_rules! address_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address_type! {
    /// An address in the memory of one process, as the CPU sees it.
    ProcAddr
}
address_type! {
    /// An address as the ELF file states it (`p_vaddr`, `st_value`); what `addr2line` and `nm` speak of.
    ElfAddr
}
address_type! {
    /// A position in a file, in bytes from its start.
    FileOffset
}

/// An address of code, with the knowledge of how it was come by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CodeAddr {
    /// The very instruction: the interrupted one, or the one a signal interrupted.
    Exact(ProcAddr),
    /// Where a call returns to, which is one instruction after the call and may belong to another function.
    Return(ProcAddr),
}

impl CodeAddr {
    /// The address to look up: a return address minus one lies inside the call instruction.
    ///
    /// This is the only place that subtracts; pprof's `Location.address` holds the result.
    pub fn lookup(self) -> ProcAddr {
        match self {
            Self::Exact(address) => address,
            Self::Return(address) => ProcAddr(address.0.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a return address is moved back, and zero stays zero.
    #[test]
    fn lookup_moves_return_addresses_only() {
        assert_eq!(CodeAddr::Exact(ProcAddr(0x1000)).lookup(), ProcAddr(0x1000));
        assert_eq!(CodeAddr::Return(ProcAddr(0x1000)).lookup(), ProcAddr(0xfff));
        assert_eq!(CodeAddr::Return(ProcAddr(0)).lookup(), ProcAddr(0));
    }
}
