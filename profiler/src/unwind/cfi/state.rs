//! What call frame instructions say at one address about CFA, rbp and return address, and the rule for it.

use profiler_common::{Cfa, LeafRegister, Rule, SavedFp};

use super::reader::Reader;
use crate::unwind::Miss;

/// rbp, rsp and the return address (System V ABI, figure 3.36, "DWARF Register Number Mapping").
pub(super) const FP: u64 = 6;
pub(super) const SP: u64 = 7;
pub(super) const RA: u64 = 16;

/// Where x86-64 has the return address, from the CFA.
const RA_OFFSET: i64 = -8;

// DWARF 5, section 7.7.1, table 7.9.
const DW_OP_DEREF: u8 = 0x06;
const DW_OP_PLUS_UCONST: u8 = 0x23;
const DW_OP_LIT0: u8 = 0x30;
const DW_OP_LIT15: u8 = 0x3f;
const DW_OP_BREG_FP: u8 = 0x70 + FP as u8;
const DW_OP_BREG_SP: u8 = 0x70 + SP as u8;
const DW_OP_BREG_RA: u8 = 0x70 + RA as u8;

/// `lit15, and, litN, ge, lit3, shl, plus` behind `breg7 n, breg16 0`; the third byte is the threshold.
const PLT_TAIL: [u8; 7] = [DW_OP_LIT15, 0x1a, 0x00, 0x2a, 0x33, 0x24, 0x22];

/// The columns that are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State<'a> {
    pub(super) cfa: CfaState<'a>,
    pub(super) fp: RegisterState<'a>,
    pub(super) ra: RegisterState<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CfaState<'a> {
    /// Nothing was said yet.
    Unset,
    /// Register plus offset.
    Register(u64, i64),
    /// What a DWARF expression gives.
    Expression(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RegisterState<'a> {
    /// Not to be known; for the return address: nothing called this.
    Undefined,
    /// Unchanged. What has no rule is unchanged too.
    Same,
    /// In memory at CFA plus offset.
    AtCfa(i64),
    /// In memory at the address that an expression gives.
    At(&'a [u8]),
    /// In another register.
    In(u64),
    /// Computed.
    Other,
}

impl Default for State<'_> {
    fn default() -> Self {
        Self {
            cfa: CfaState::Unset,
            fp: RegisterState::Same,
            ra: RegisterState::Same,
        }
    }
}

impl State<'_> {
    /// The rule, or why there is none.
    #[inline]
    pub(super) fn rule(&self, is_signal: bool) -> Result<Rule, Miss> {
        if self.ra == RegisterState::Undefined {
            return Ok(Rule::OUTERMOST);
        }
        if is_signal {
            return self.signal_rule();
        }
        let cfa = self.cfa()?;
        if let (RegisterState::In(register), Cfa::Sp(offset), RegisterState::Same) =
            (self.ra, cfa, self.fp)
        {
            let register = LeafRegister::from_dwarf(register).ok_or(Miss::ReturnAddress)?;
            return Ok(Rule::return_in(register, offset));
        }
        if self.ra != RegisterState::AtCfa(RA_OFFSET) {
            return Err(Miss::ReturnAddress);
        }
        Ok(Rule::new(cfa, self.saved_fp(cfa)?))
    }

    #[inline]
    fn cfa(&self) -> Result<Cfa, Miss> {
        match self.cfa {
            CfaState::Register(SP, offset) => fit(offset).map(Cfa::Sp),
            CfaState::Register(FP, offset) => fit(offset).map(Cfa::Fp),
            CfaState::Register(register, offset) => {
                let register = LeafRegister::from_dwarf(register).ok_or(Miss::CfaRegister)?;
                let offset = fit(offset)?;
                Ok(Cfa::Leaf { register, offset })
            }
            CfaState::Unset => Err(Miss::CfaRegister),
            CfaState::Expression(expression) => cfa_expression(expression),
        }
    }

    #[inline]
    fn saved_fp(&self, cfa: Cfa) -> Result<SavedFp, Miss> {
        match self.fp {
            // An undefined rbp is of no use to the caller, so it does no harm to keep what it is.
            RegisterState::Same | RegisterState::Undefined => Ok(SavedFp::Same),
            RegisterState::AtCfa(offset) => fit(offset).map(SavedFp::AtCfa),
            RegisterState::At(expression) => saved_at(expression, cfa),
            RegisterState::In(_) | RegisterState::Other => Err(Miss::SavedFp),
        }
    }

    /// The one signal frame there is on x86-64: what `step` reads, described as glibc does it
    /// (sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c).
    fn signal_rule(&self) -> Result<Rule, Miss> {
        let at = |state, offset| matches!(state, RegisterState::At(e) if register_plus(e) == Some((SP, offset)));
        let CfaState::Expression(expression) = self.cfa else {
            return Err(Miss::SignalFrame);
        };
        let cfa = cfa_expression(expression)
            == Ok(Cfa::DerefSp {
                inner: 160,
                outer: 0,
            });
        if cfa && at(self.fp, 120) && at(self.ra, 168) {
            Ok(Rule::SIGNAL)
        } else {
            Err(Miss::SignalFrame)
        }
    }
}

/// The known expressions for a CFA: `reg + n`, `*(reg + a) + b`, and that of procedure linkage tables.
fn cfa_expression(expression: &[u8]) -> Result<Cfa, Miss> {
    let mut reader = Reader::new(expression);
    let Some((register, offset)) = based(&mut reader) else {
        return Err(Miss::CfaExpression);
    };
    match (register, reader.u8()) {
        (SP, None) => fit(offset).map(Cfa::Sp),
        (FP, None) => fit(offset).map(Cfa::Fp),
        (_, Some(DW_OP_DEREF)) => {
            let outer = if reader.is_empty() {
                Some(0)
            } else {
                plus_constant(&mut reader)
            };
            let outer = outer
                .filter(|_| reader.is_empty())
                .ok_or(Miss::CfaExpression)?;
            let (inner, outer) = (fit(offset)?, fit(outer)?);
            Ok(if register == SP {
                Cfa::DerefSp { inner, outer }
            } else {
                Cfa::DerefFp { inner, outer }
            })
        }
        (SP, Some(DW_OP_BREG_RA)) if reader.sleb() == Some(0) => {
            let threshold = plt_threshold(reader.rest()).ok_or(Miss::CfaExpression)?;
            Ok(Cfa::Plt {
                offset: fit(offset)?,
                threshold,
            })
        }
        _ => Err(Miss::CfaExpression),
    }
}

/// rbp saved where an expression says.
///
/// gcc describes a function that realigns its stack with rbp at `*(rbp+0)`, and does not take that back when `leave`
/// has restored rbp, so that at the `ret` the caller's rbp would be looked for in the caller's frame (libgcc crashes
/// there). The CFA tells: a function that finds its frame by rsp has no use of rbp for that.
fn saved_at(expression: &[u8], cfa: Cfa) -> Result<SavedFp, Miss> {
    match (register_plus(expression), cfa) {
        (Some((FP, _)), Cfa::Sp(_)) => Ok(SavedFp::Same),
        (Some((FP, offset)), _) => fit(offset).map(SavedFp::AtFp),
        (Some((SP, offset)), Cfa::Sp(cfa)) => {
            fit(offset.wrapping_sub(cfa.into())).map(SavedFp::AtCfa)
        }
        _ => Err(Miss::SavedFp),
    }
}

fn plt_threshold(tail: &[u8]) -> Option<i16> {
    let mut tail: [u8; PLT_TAIL.len()] = tail.try_into().ok()?;
    let literal = std::mem::take(&mut tail[2]);
    let known = tail == PLT_TAIL && (DW_OP_LIT0..=DW_OP_LIT15).contains(&literal);
    known.then(|| (literal - DW_OP_LIT0).into())
}

fn plus_constant(reader: &mut Reader<'_>) -> Option<i64> {
    match reader.u8()? {
        DW_OP_PLUS_UCONST => reader.uleb()?.try_into().ok(),
        _ => None,
    }
}

/// An expression that is nothing but `rbp + n` or `rsp + n`.
fn register_plus(expression: &[u8]) -> Option<(u64, i64)> {
    let mut reader = Reader::new(expression);
    based(&mut reader).filter(|_| reader.is_empty())
}

fn based(reader: &mut Reader<'_>) -> Option<(u64, i64)> {
    let register = match reader.u8()? {
        DW_OP_BREG_FP => FP,
        DW_OP_BREG_SP => SP,
        _ => return None,
    };
    Some((register, reader.sleb()?))
}

#[inline]
fn fit<T: TryFrom<i64>>(offset: i64) -> Result<T, Miss> {
    offset.try_into().map_err(|_| Miss::OffsetTooLarge)
}
