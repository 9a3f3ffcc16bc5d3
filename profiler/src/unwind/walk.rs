//! Whole stacks in user space, for copies of stacks, core files and tests, frame by frame as the kernel's walk.

use profiler_common::{Memory, Registers, Rule, Stop, step};

use crate::addr::{CodeAddr, ProcAddr};

/// A stack, innermost frame first, and why it has no more frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stack {
    /// The frames.
    pub frames: Vec<CodeAddr>,
    /// Why the walk ended.
    pub stop: Stop,
}

/// Walks a stack of at most `max_frames` frames.
///
/// `rule_at` gives the rule for an address to look up ([`Rows::find`](super::Rows::find) of the binary that
/// is mapped there, or [`Rule::NO_MAPPING`]); `memory` reads the stack.
pub fn walk(
    mut registers: Registers,
    max_frames: usize,
    mut rule_at: impl FnMut(ProcAddr) -> Rule,
    memory: &mut impl Memory,
) -> Stack {
    let mut frames = Vec::new();
    let stop = loop {
        if frames.len() >= max_frames {
            break Stop::TooDeep;
        }
        let ip = ProcAddr(registers.ip);
        let rule = rule_at(ProcAddr(registers.lookup()));
        // To a trampoline the kernel has made the way, not a call.
        frames.push(if registers.is_exact() || rule.is_signal() {
            CodeAddr::Exact(ip)
        } else {
            CodeAddr::Return(ip)
        });
        match step(registers, rule, memory) {
            Ok(caller) => registers = caller,
            Err(stop) => break stop,
        }
    };
    Stack { frames, stop }
}
