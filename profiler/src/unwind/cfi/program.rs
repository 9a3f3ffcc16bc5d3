//! Runs the call frame instructions of one function (DWARF 5, section 6.4.2) and emits a row wherever they change
//! what is tracked. What a state means as a rule is left to `state`.

use profiler_common::Rule;

use super::entries::Common;
use super::pointer::Bases;
use super::reader::Reader;
pub(super) use super::state::State;
use super::state::{CfaState, FP, RA, RegisterState};
use crate::unwind::Miss;
use crate::unwind::rows::Builder;

/// Nested `DW_CFA_remember_state`; compilers write one or two.
const MAX_REMEMBERED: usize = 64;

// DWARF 5, section 7.24, table 7.29: opcodes with an operand in the low six bits, then the others.
const ADVANCE_LOC: u8 = 0x40;
const OFFSET: u8 = 0x80;
const RESTORE: u8 = 0xc0;
const LOW_SIX: u8 = 0x3f;
const NOP: u8 = 0x00;
const SET_LOC: u8 = 0x01;
const ADVANCE_LOC1: u8 = 0x02;
const ADVANCE_LOC2: u8 = 0x03;
const ADVANCE_LOC4: u8 = 0x04;
const OFFSET_EXTENDED: u8 = 0x05;
const RESTORE_EXTENDED: u8 = 0x06;
const UNDEFINED: u8 = 0x07;
const SAME_VALUE: u8 = 0x08;
const REGISTER: u8 = 0x09;
const REMEMBER_STATE: u8 = 0x0a;
const RESTORE_STATE: u8 = 0x0b;
const DEF_CFA: u8 = 0x0c;
const DEF_CFA_REGISTER: u8 = 0x0d;
const DEF_CFA_OFFSET: u8 = 0x0e;
const DEF_CFA_EXPRESSION: u8 = 0x0f;
const EXPRESSION: u8 = 0x10;
const OFFSET_EXTENDED_SF: u8 = 0x11;
const DEF_CFA_SF: u8 = 0x12;
const DEF_CFA_OFFSET_SF: u8 = 0x13;
const VAL_OFFSET: u8 = 0x14;
const VAL_OFFSET_SF: u8 = 0x15;
const VAL_EXPRESSION: u8 = 0x16;
/// `DW_CFA_GNU_args_size`: bytes of arguments on the stack, which matter to exceptions only (LSB Core 5.0,
/// table 10-5).
const GNU_ARGS_SIZE: u8 = 0x2e;
/// `DW_CFA_GNU_negative_offset_extended`: an offset whose sign is turned around; old compilers (same table).
const GNU_NEGATIVE_OFFSET_EXTENDED: u8 = 0x2f;

/// Instructions and what they need to be understood.
pub(super) struct Program<'p, 'a> {
    pub(super) common: &'p Common<'a>,
    pub(super) bases: &'p Bases,
    pub(super) instructions: Reader<'a>,
    /// Where the instructions end, in bytes from the start of the section.
    pub(super) instructions_end: u64,
}

/// What one instruction did.
enum Effect {
    /// Nothing that a rule depends on.
    None,
    /// The state may be another one.
    Changed,
    /// What follows is about this address.
    Location(u64),
}

/// A function on its way through its instructions.
struct Run<'a> {
    location: u64,
    state: State<'a>,
    remembered: Vec<State<'a>>,
}

impl<'a> Program<'_, 'a> {
    /// The state behind the initial instructions of a CIE, or `None` if they are malformed.
    pub(super) fn initial_state(mut self) -> Option<State<'a>> {
        let mut run = Run::new(0, State::default());
        while !self.instructions.is_empty() {
            // A location makes no sense here, as there is none yet.
            self.execute(&mut run)?;
        }
        Some(run.state)
    }

    /// Emits the rows of a function from `start` to `end`.
    pub(super) fn run(mut self, start: u64, end: u64, builder: &mut Builder) {
        let mut run = Run::new(start, self.common.initial);
        let mut rule = None;
        while !self.instructions.is_empty() {
            match self.execute(&mut run) {
                Some(Effect::None) => {}
                Some(Effect::Changed) => rule = None,
                Some(Effect::Location(next)) => {
                    if next > run.location {
                        self.emit(&run, &mut rule, builder);
                    }
                    run.location = next;
                    if next >= end {
                        return;
                    }
                }
                None => {
                    builder.miss(Miss::Instructions);
                    builder.push(run.location, Rule::UNSUPPORTED);
                    return;
                }
            }
        }
        self.emit(&run, &mut rule, builder);
    }

    /// A row for the state, unless that is the one of the row before.
    #[inline]
    fn emit(&self, run: &Run<'a>, rule: &mut Option<Rule>, builder: &mut Builder) {
        if rule.is_some() {
            return;
        }
        let new = run
            .state
            .rule(self.common.is_signal)
            .unwrap_or_else(|miss| {
                builder.miss(miss);
                Rule::UNSUPPORTED
            });
        *rule = Some(new);
        builder.push(run.location, new);
    }

    /// Runs one instruction; `None` if it is malformed.
    #[inline]
    fn execute(&mut self, run: &mut Run<'a>) -> Option<Effect> {
        let opcode = self.instructions.u8()?;
        let low = opcode & LOW_SIX;
        match opcode & !LOW_SIX {
            ADVANCE_LOC => self.advance(run, low.into()),
            OFFSET => {
                let offset = self.factored_unsigned()?;
                Some(run.set(low.into(), RegisterState::AtCfa(offset)))
            }
            RESTORE => Some(run.restore(low.into(), &self.common.initial)),
            _ => self.execute_extended(opcode, run),
        }
    }

    fn execute_extended(&mut self, opcode: u8, run: &mut Run<'a>) -> Option<Effect> {
        match opcode {
            NOP => Some(Effect::None),
            GNU_ARGS_SIZE => self.instructions.uleb().map(|_| Effect::None),
            SET_LOC | ADVANCE_LOC1 | ADVANCE_LOC2 | ADVANCE_LOC4 => self.move_on(opcode, run),
            REMEMBER_STATE if run.remembered.len() < MAX_REMEMBERED => {
                run.remembered.push(run.state);
                Some(Effect::None)
            }
            RESTORE_STATE => {
                run.state = run.remembered.pop()?;
                Some(Effect::Changed)
            }
            DEF_CFA | DEF_CFA_SF | DEF_CFA_REGISTER | DEF_CFA_OFFSET | DEF_CFA_OFFSET_SF
            | DEF_CFA_EXPRESSION => self.define_cfa(opcode, run),
            _ => self.define_register(opcode, run),
        }
    }

    fn move_on(&mut self, opcode: u8, run: &Run<'a>) -> Option<Effect> {
        let delta = match opcode {
            ADVANCE_LOC1 => self.instructions.u8()?.into(),
            ADVANCE_LOC2 => self.instructions.u16()?.into(),
            ADVANCE_LOC4 => self.instructions.u32()?.into(),
            _ => {
                let encoding = self.common.pointer_encoding;
                let address =
                    self.bases
                        .pointer(encoding, &mut self.instructions, self.instructions_end)?;
                return (address >= run.location).then_some(Effect::Location(address));
            }
        };
        self.advance(run, delta)
    }

    #[inline]
    fn advance(&self, run: &Run<'a>, delta: u64) -> Option<Effect> {
        let delta = delta.wrapping_mul(self.common.code_factor);
        run.location.checked_add(delta).map(Effect::Location)
    }

    fn define_cfa(&mut self, opcode: u8, run: &mut Run<'a>) -> Option<Effect> {
        let (old_register, old_offset) = match run.state.cfa {
            CfaState::Register(register, offset) => (Some(register), Some(offset)),
            _ => (None, None),
        };
        let operands = &mut self.instructions;
        run.state.cfa = match opcode {
            DEF_CFA => CfaState::Register(operands.uleb()?, operands.uleb()? as i64),
            DEF_CFA_SF => CfaState::Register(operands.uleb()?, self.factored_signed()?),
            DEF_CFA_REGISTER => CfaState::Register(operands.uleb()?, old_offset?),
            DEF_CFA_OFFSET => CfaState::Register(old_register?, operands.uleb()? as i64),
            DEF_CFA_OFFSET_SF => CfaState::Register(old_register?, self.factored_signed()?),
            _ => CfaState::Expression(self.block()?),
        };
        Some(Effect::Changed)
    }

    fn define_register(&mut self, opcode: u8, run: &mut Run<'a>) -> Option<Effect> {
        if !matches!(opcode, OFFSET_EXTENDED..=REGISTER | EXPRESSION..=VAL_EXPRESSION | GNU_NEGATIVE_OFFSET_EXTENDED)
        {
            return None;
        }
        let register = self.instructions.uleb()?;
        let state = match opcode {
            OFFSET_EXTENDED => RegisterState::AtCfa(self.factored_unsigned()?),
            OFFSET_EXTENDED_SF => RegisterState::AtCfa(self.factored_signed()?),
            GNU_NEGATIVE_OFFSET_EXTENDED => {
                RegisterState::AtCfa(self.factored_unsigned()?.wrapping_neg())
            }
            RESTORE_EXTENDED => return Some(run.restore(register, &self.common.initial)),
            UNDEFINED => RegisterState::Undefined,
            SAME_VALUE => RegisterState::Same,
            REGISTER => RegisterState::In(self.instructions.uleb()?),
            VAL_OFFSET => {
                self.instructions.uleb()?;
                RegisterState::Other
            }
            VAL_OFFSET_SF => {
                self.instructions.sleb()?;
                RegisterState::Other
            }
            EXPRESSION => RegisterState::At(self.block()?),
            VAL_EXPRESSION => {
                self.block()?;
                RegisterState::Other
            }
            _ => return None,
        };
        Some(run.set(register, state))
    }

    #[inline]
    fn factored_unsigned(&mut self) -> Option<i64> {
        let factor = self.common.data_factor;
        self.instructions
            .uleb()
            .map(|offset| (offset as i64).wrapping_mul(factor))
    }

    fn factored_signed(&mut self) -> Option<i64> {
        let factor = self.common.data_factor;
        self.instructions
            .sleb()
            .map(|offset| offset.wrapping_mul(factor))
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.instructions.uleb()?;
        self.instructions.bytes(length)
    }
}

impl<'a> Run<'a> {
    fn new(location: u64, state: State<'a>) -> Self {
        Self {
            location,
            state,
            remembered: Vec::new(),
        }
    }

    #[inline]
    fn set(&mut self, register: u64, state: RegisterState<'a>) -> Effect {
        match register {
            FP => self.state.fp = state,
            RA => self.state.ra = state,
            _ => return Effect::None,
        }
        Effect::Changed
    }

    fn restore(&mut self, register: u64, initial: &State<'a>) -> Effect {
        match register {
            FP => self.set(register, initial.fp),
            RA => self.set(register, initial.ra),
            _ => Effect::None,
        }
    }
}
