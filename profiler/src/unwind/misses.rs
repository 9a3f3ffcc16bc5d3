//! What could not be turned into rows, counted by reason. Finding it out is left to `cfi`.

macro_rules! misses {
    ($($(#[$doc:meta])* $name:ident, $text:literal;)*) => {
        /// Why a part of a binary's unwind information gave no rule.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Miss {
            $($(#[$doc])* $name,)*
        }

        impl Miss {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason in a few words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

misses! {
    /// Rows whose CFA is computed from another register than rsp and rbp.
    CfaRegister, "rows with the CFA in another register";
    /// Rows whose CFA is an expression that is none of the known ones.
    CfaExpression, "rows with an unknown CFA expression";
    /// Rows whose return address is not just below the CFA.
    ReturnAddress, "rows with the return address elsewhere";
    /// Rows whose caller's rbp is in another register, or computed.
    SavedFp, "rows with an unusual place of rbp";
    /// Rows of a signal trampoline whose frame is not the kernel's.
    SignalFrame, "rows of an unknown signal frame";
    /// Rows whose offsets are too large for a rule.
    OffsetTooLarge, "rows with an offset that is too large";
    /// Rows with one distinct rule too many: a row has 16 bits for its number.
    TooManyRules, "rows beyond the number of rules";
    /// Functions whose instructions are unknown, truncated or contradictory; counted are the functions.
    Instructions, "functions with malformed instructions";
    /// Descriptions of functions (FDEs) that are truncated or contradict themselves.
    Fde, "malformed FDEs";
    /// Descriptions of functions that refer to no common part (CIE), or to one that is malformed or unknown.
    Cie, "FDEs without a usable CIE";
    /// Descriptions of functions that lie outside the code of the file, as of those that the linker removed.
    OutsideText, "FDEs outside the code";
    /// Descriptions of functions that begin where another one is in force; the later one wins.
    Overlap, "overlapping FDEs";
    /// Functions that Go's table of functions describes in an unknown way, or that whole table.
    GoTable, "functions of an unknown kind in .gopclntab";
    /// Sections that end within an entry or are packed in an unknown way.
    Section, "truncated or unreadable sections";
}

/// How often each [`Miss`] was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Misses([u32; Miss::ALL.len()]);

impl Misses {
    /// How often this one was met.
    pub fn get(&self, miss: Miss) -> u32 {
        self.0[miss as usize]
    }

    /// Those that were met, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Miss, u32)> + '_ {
        let all = Miss::ALL.iter().map(|miss| (*miss, self.get(*miss)));
        all.filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, miss: Miss) {
        let count = &mut self.0[miss as usize];
        *count = count.saturating_add(1);
    }
}
