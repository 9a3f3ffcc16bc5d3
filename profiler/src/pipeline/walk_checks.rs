//! Compares walks in the kernel with walks of copies of the same stacks: for tests.
//!
//! Both use the same step and the same tables, so a difference is a fault of the one or the other.

use std::collections::HashMap;

use profiler_common::{LeafRegister, Memory};

use crate::sampler::{Sample, StackCopy};
use crate::unwind::Stack;

/// What came of it so far.
#[derive(Debug, Default)]
pub(super) struct WalkChecks {
    /// The last walk of each thread: a copy comes right behind it.
    last: HashMap<u32, Stack>,
    /// Walks and copies that are yet to be compared.
    pairs: Vec<(Stack, StackCopy)>,
    same: u64,
    /// The copy ended first, and was the same up to there.
    cut: u64,
    different: u64,
}

impl WalkChecks {
    /// A stack as it was walked in the kernel.
    pub(super) fn walked(&mut self, sample: &Sample) {
        let stack = Stack {
            frames: sample.user.clone(),
            stop: sample.stop,
        };
        self.last.insert(sample.tid, stack);
    }

    /// A copy of the same.
    pub(super) fn copied(&mut self, copy: StackCopy) {
        if let Some(stack) = self.last.remove(&copy.sample.tid) {
            self.pairs.push((stack, copy));
        }
    }

    /// Has all copies walked and compares.
    pub(super) fn compare(
        &mut self,
        mut walk: impl FnMut(&StackCopy, &mut Watched<'_>) -> Option<Stack>,
    ) {
        for (there, copy) in std::mem::take(&mut self.pairs) {
            let mut memory = Watched {
                copy: &copy,
                left: false,
            };
            let Some(here) = walk(&copy, &mut memory) else {
                continue;
            };
            if here == there {
                self.same += 1;
            } else if memory.left && there.frames.starts_with(&here.frames) {
                self.cut += 1;
            } else {
                self.different += 1;
                log::warn!("two walks differ: {there:x?} in the kernel, {here:x?} of a copy");
            }
        }
    }

    /// The result in a sentence; none if nothing was compared.
    pub(super) fn note(&self) -> Option<String> {
        let all = self.same + self.cut + self.different;
        (all > 0).then(|| {
            format!(
                "{all} walks were checked: {} the same, {} the same as far as the copy went, {} different",
                self.same, self.cut, self.different
            )
        })
    }
}

/// A copy that notes when a walk leaves it.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    copy: &'a StackCopy,
    left: bool,
}

impl Memory for Watched<'_> {
    fn read_u64(&mut self, address: u64) -> Option<u64> {
        let word = { self.copy }.read_u64(address);
        self.left |= word.is_none();
        word
    }

    fn leaf(&mut self, register: LeafRegister, sp: u64) -> Option<u64> {
        { self.copy }.leaf(register, sp)
    }
}
