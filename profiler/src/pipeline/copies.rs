//! Samples that came with a copy of their stack and wait for the unwind rows of what was mapped then.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::addr::{CodeAddr, ProcAddr};
use crate::process::Snapshot;
use crate::sampler::{Sample, StackCopy};

/// How much of copies may wait; those that wait longest are walked with what is there when it gets more.
const MOST_BYTES: usize = 32 << 20;

/// A copied stack and what was mapped when it was read from the ring.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) copy: StackCopy,
    /// `None` when the process could not be asked any more.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Whether its walk has led to an unknown mapping before.
    pub(super) again: bool,
}

/// All that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Copies {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Copies {
    /// One more.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.size();
        self.waiting.push_back(waiting);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next that is ready, or that has to make room for the others; all of them at the `end`.
    pub(super) fn pop(
        &mut self,
        end: bool,
        is_ready: impl Fn(&Snapshot) -> bool,
    ) -> Option<Waiting> {
        let ready = |waiting: &Waiting| waiting.snapshot.as_deref().is_none_or(&is_ready);
        let next = if end || self.bytes > MOST_BYTES {
            0
        } else {
            self.waiting.iter().position(ready)?
        };
        let waiting = self.waiting.remove(next)?;
        self.bytes -= waiting.size();
        Some(waiting)
    }
}

impl Waiting {
    fn size(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.copy.stack[..])
    }
}

/// What is known of a copied stack without walking it: the frame that was interrupted.
pub(super) fn innermost_only(copy: StackCopy) -> Sample {
    Sample {
        user: vec![CodeAddr::Exact(ProcAddr(copy.registers.ip))],
        ..copy.sample
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::{LeafRegister, Registers};

    use super::*;
    use crate::process::Resolver;

    fn waiting(tid: u32, words: usize, snapshot: Option<&Arc<Snapshot>>) -> Waiting {
        let sample = Sample::of_thread(1, tid);
        Waiting {
            copy: StackCopy {
                sample,
                registers: Registers::interrupted(1, 2, 3),
                leaf: [0; LeafRegister::COUNT],
                stack: vec![0; words],
            },
            snapshot: snapshot.cloned(),
            again: false,
        }
    }

    fn tid(next: Option<Waiting>) -> Option<u32> {
        next.map(|waiting| waiting.copy.sample.tid)
    }

    /// What is ready does not wait for what is not; at the end everything comes, oldest first.
    #[test]
    fn order() {
        let own = Resolver::default().snapshot(std::process::id()).unwrap();
        let mut copies = Copies::default();
        copies.push(waiting(1, 10, Some(&own)));
        copies.push(waiting(2, 10, None));
        copies.push(waiting(3, 10, Some(&own)));
        assert_eq!(tid(copies.pop(false, |_| false)), Some(2));
        assert_eq!(tid(copies.pop(false, |_| false)), None);
        assert_eq!(tid(copies.pop(false, |_| true)), Some(1));
        assert_eq!(tid(copies.pop(true, |_| false)), Some(3));
        assert_eq!(tid(copies.pop(true, |_| false)), None);
    }

    /// Too many do not wait: the oldest goes, ready or not, until the others have room.
    #[test]
    fn room() {
        let own = Resolver::default().snapshot(std::process::id()).unwrap();
        let mut copies = Copies::default();
        for tid in 0..3 {
            copies.push(waiting(tid, MOST_BYTES / 8 / 2, Some(&own)));
        }
        assert_eq!(tid(copies.pop(false, |_| false)), Some(0));
        assert_eq!(tid(copies.pop(false, |_| false)), Some(1));
        assert_eq!(tid(copies.pop(false, |_| false)), None);
    }
}
