//! Counts identical stacks of located frames.
//!
//! Frames refer to mappings and stacks to frames by index, so that a million samples of one loop take the memory of
//! one. Locating is done before ([`crate::process`]), naming after ([`crate::symbolize`]).

mod mappings;

use std::collections::HashMap;
use std::sync::Arc;

use profiler_common::{COMM_LEN, Stop};

pub(crate) use mappings::{MappingIndex, MappingTable, Place};

/// A frame: an address in a mapping, or in none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Frame {
    /// Where the address lies; `None` when no mapping has it.
    pub(crate) mapping: Option<MappingIndex>,
    /// Address in the process or in the kernel, one less than the return address for callers.
    pub(crate) address: u64,
}

/// Index of a [`Frame`] in [`Aggregate::frames`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FrameIndex(u32);

/// What samples that are counted together have in common besides their stack. A label that was not asked for, or that the
/// sample has not, is `None`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Labels {
    /// Process id.
    pub(crate) pid: Option<u32>,
    /// Process id in the initial pid namespace.
    pub(crate) host_pid: Option<u32>,
    /// Process id in the process's own pid namespace.
    pub(crate) ns_pid: Option<u32>,
    /// Thread id.
    pub(crate) tid: Option<u32>,
    /// Name of the process, padded with zeros.
    pub(crate) comm: Option<[u8; COMM_LEN]>,
    /// Name of the thread, padded with zeros.
    pub(crate) thread: Option<[u8; COMM_LEN]>,
    /// Path of the control group.
    pub(crate) cgroup: Option<Arc<str>>,
    /// Id of the container.
    pub(crate) container: Option<Arc<str>>,
    /// The CPU.
    pub(crate) cpu: Option<u32>,
    /// Whether the kernel was interrupted.
    pub(crate) in_kernel: Option<bool>,
    /// Name of the program that the process runs, for profiles that are split by it; no label of samples.
    pub(crate) program: Option<Arc<str>>,
}

/// All that is known of the samples so far.
#[derive(Debug, Default)]
pub(crate) struct Aggregate {
    /// Every mapping that has a frame, and those that were asked to be kept.
    pub(crate) mappings: MappingTable,
    frames: Vec<Frame>,
    frame_index: HashMap<Frame, FrameIndex>,
    labels: Vec<Arc<Labels>>,
    label_index: HashMap<Arc<Labels>, u32>,
    stacks: HashMap<Stack, u64>,
    /// Frames of all stacks.
    stack_frames: usize,
    samples: u64,
    scratch: Vec<FrameIndex>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stack {
    labels: u32,
    stop: Stop,
    frames: Box<[FrameIndex]>,
}

/// A stack with the number of samples that had it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    /// Innermost frame first.
    pub(crate) frames: &'a [FrameIndex],
    /// Why the walk ended.
    pub(crate) stop: Stop,
    /// What the samples have in common.
    pub(crate) labels: &'a Labels,
    /// How many samples.
    pub(crate) count: u64,
}

impl Aggregate {
    /// Counts one sample; frames come innermost first.
    pub(crate) fn add(&mut self, frames: impl Iterator<Item = Frame>, stop: Stop, labels: &Labels) {
        let mut stack = std::mem::take(&mut self.scratch);
        stack.clear();
        stack.extend(frames.map(|frame| self.intern(frame)));
        let labels = self.intern_labels(labels);
        let key = Stack {
            labels,
            stop,
            frames: stack.as_slice().into(),
        };
        let count = self.stacks.entry(key).or_insert(0);
        if *count == 0 {
            self.stack_frames += stack.len();
        }
        *count += 1;
        self.samples += 1;
        self.scratch = stack;
    }

    /// How many samples were counted.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// The memory that it takes, in bytes, without what tables have to spare and what labels and mappings take, which are
    /// few.
    pub(crate) fn bytes(&self) -> u64 {
        let frame = 2 * size_of::<Frame>() + size_of::<FrameIndex>();
        let stack = size_of::<Stack>() + size_of::<u64>();
        let bytes = self.frames.len() * frame
            + self.stacks.len() * stack
            + self.stack_frames * size_of::<FrameIndex>();
        bytes as u64
    }

    /// Every distinct frame.
    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Every distinct stack, in no particular order.
    pub(crate) fn stacks(&self) -> impl Iterator<Item = Counted<'_>> {
        self.stacks.iter().map(|(stack, count)| Counted {
            frames: &stack.frames,
            stop: stack.stop,
            labels: &self.labels[stack.labels as usize],
            count: *count,
        })
    }

    fn intern(&mut self, frame: Frame) -> FrameIndex {
        *self.frame_index.entry(frame).or_insert_with(|| {
            self.frames.push(frame);
            FrameIndex(self.frames.len() as u32 - 1)
        })
    }

    fn intern_labels(&mut self, labels: &Labels) -> u32 {
        if let Some(index) = self.label_index.get(labels) {
            return *index;
        }
        let index = self.labels.len() as u32;
        let labels = Arc::new(labels.clone());
        self.labels.push(Arc::clone(&labels));
        self.label_index.insert(labels, index);
        index
    }
}

impl FrameIndex {
    /// Position in [`Aggregate::frames`].
    pub(crate) fn position(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(tid: u32) -> Labels {
        Labels {
            tid: Some(tid),
            ..Labels::default()
        }
    }

    fn frames(addresses: &[u64]) -> impl Iterator<Item = Frame> {
        addresses.iter().map(|address| Frame {
            mapping: None,
            address: *address,
        })
    }

    /// Equal stacks are one entry; another label, end or order of frames makes another; nothing is lost.
    #[test]
    fn identical_stacks_are_counted() {
        let mut aggregate = Aggregate::default();
        for _ in 0..3 {
            aggregate.add(frames(&[1, 2]), Stop::End, &labels(1));
        }
        aggregate.add(frames(&[2, 1]), Stop::End, &labels(1));
        aggregate.add(frames(&[1, 2]), Stop::TooDeep, &labels(1));
        aggregate.add(frames(&[1, 2]), Stop::End, &labels(2));
        aggregate.add(frames(&[]), Stop::NoUserStack, &labels(1));
        let mut counts: Vec<u64> = aggregate.stacks().map(|stack| stack.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 1, 1, 3]);
        assert_eq!(aggregate.samples(), 7);
        assert_eq!(aggregate.frames().len(), 2);
    }

    /// Memory grows with distinct stacks and frames, and with nothing else.
    #[test]
    fn memory_is_that_of_distinct_stacks() {
        let mut aggregate = Aggregate::default();
        let mut bytes = vec![aggregate.bytes()];
        for addresses in [&[1, 2, 3][..], &[1, 2, 3], &[1, 2], &[1, 2, 3, 4]] {
            aggregate.add(frames(addresses), Stop::End, &labels(1));
            bytes.push(aggregate.bytes());
        }
        let grown: Vec<u64> = bytes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(bytes[0], 0);
        assert_eq!(grown[1], 0);
        assert!(
            grown[2] > 0 && grown[2] < grown[3] && grown[3] < grown[0],
            "{grown:?}"
        );
    }
}
