//! Why the walk of a user stack ended. What a frame without a rule means is left to the code that walks.

macro_rules! stops {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a walk ended; the number is the one in records and the index of the counter.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum Stop {
            $($(#[$doc])* $name = $number,)*
        }

        impl Stop {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason with this number, if there is one.
            #[inline(always)]
            pub const fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The reason in a few words, for summaries and profiles.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

stops! {
    /// The outermost frame: unwind information says that nothing called it, or it is the entry point.
    End = 0, "end";
    /// Code that keeps frame pointers, and the frame pointer is zero, which marks the deepest frame
    /// (System V ABI for x86-64, section 3.4.1 "Initial Stack and Register State").
    FramePointerEnd = 1, "end of the frame pointers";
    /// A return address of zero: what programs put under the first frame of a stack that they make themselves.
    ZeroReturnAddress = 2, "zero return address";
    /// There are more frames than the record holds; the outer ones are missing.
    TooDeep = 3, "deeper than the walk goes";
    /// The task had no user memory at that moment: a kernel thread, or a process in exec or exit.
    NoUserStack = 4, "no user stack";
    /// An address outside all known mappings of the process, and the frame pointer did not help.
    NoMapping = 5, "no mapping";
    /// The binary has unwind information, but none for this address, and the frame pointer did not help.
    NoRow = 6, "no row";
    /// The binary's rows are not there (not made yet, or evicted), and the frame pointer did not help.
    NoTable = 7, "no table";
    /// The rule of this address needs something that rows do not express, such as another register.
    UnsupportedRule = 8, "unsupported rule";
    /// Stack memory could not be read: not mapped, swapped out, or beyond the end of a copy.
    ReadFailed = 9, "read failed";
    /// The caller's frame would not lie above the called one's, so the walk would not come to an end.
    NoProgress = 10, "no progress";
    /// The binary has no unwind information at all, and the frame pointer does not point to a frame.
    FramePointerBroken = 11, "broken frame pointer";
    /// The kernel's own frame-pointer walk ended; it cannot tell an outermost frame from a broken chain.
    KernelWalkEnd = 12, "end of the kernel's walk";
    /// Something else was mapped at the address since the tables were made that the walk went by; user space says so.
    MappedAnew = 13, "mapped anew a moment before";
    /// The page where the kernel runs instructions that a uprobe stands in the place of, and catches returns that one wants
    /// to see: where in the program that belongs cannot be seen.
    Uprobes = 14, "page of uprobes";
}

impl Stop {
    /// How many reasons there are: the size of the table of counters.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// Whether the walk reached the outermost frame, as far as can be known; otherwise outer frames are missing.
    pub const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::End | Self::FramePointerEnd | Self::ZeroReturnAddress
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are the positions in the list, so that they can index a table, and come back as the same reason.
    #[test]
    fn numbers_are_indices() {
        for (index, stop) in (0..).zip(Stop::ALL) {
            assert_eq!(*stop as u32, index);
            assert_eq!(Stop::from_u32(index), Some(*stop));
        }
        assert_eq!(Stop::from_u32(Stop::COUNT), None);
    }
}
