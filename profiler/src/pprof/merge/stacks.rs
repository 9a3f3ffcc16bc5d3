//! Stacks as paths from the root, so that what they have in common is kept once.

use std::collections::HashMap;

/// The stack without frames.
pub(super) const ROOT: u32 = 0;

/// A tree of locations.
pub(super) struct Stacks {
    /// The caller's node and the location of each; the first is the root, and callers come before what they call.
    nodes: Vec<(u32, u32)>,
    ids: HashMap<(u32, u32), u32>,
}

impl Stacks {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![(ROOT, 0)],
            ids: HashMap::new(),
        }
    }

    /// The node of `location` when `caller` called it.
    pub(super) fn below(&mut self, caller: u32, location: u32) -> u32 {
        let next =
            u32::try_from(self.nodes.len()).expect("a merge is ended before it has 2^32 frames");
        let node = *self.ids.entry((caller, location)).or_insert(next);
        if node == next {
            self.nodes.push((caller, location));
        }
        node
    }

    /// The locations from the innermost on.
    pub(super) fn innermost_first(&self, node: u32) -> impl Iterator<Item = u32> {
        let mut node = node;
        std::iter::from_fn(move || {
            if node == ROOT {
                return None;
            }
            let (caller, location) = self.nodes[node as usize];
            node = caller;
            Some(location)
        })
    }

    /// Caller and location of each node but the root, in the order of their numbers, which is from 1 on.
    pub(super) fn callers(&self) -> &[(u32, u32)] {
        &self.nodes[1..]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}
