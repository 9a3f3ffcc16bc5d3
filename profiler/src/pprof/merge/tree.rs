//! A flame graph: which frames called which, with what was spent below them, of one profile or of two beside each other.

use std::collections::HashMap;

use super::Merge;
use super::tables::entry;
use crate::pprof::proto;

/// The name of what was too small to be shown.
const REST: &str = "…";
/// The name of the node that has all.
const ALL: &str = "all";

/// What frames are called by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The function; where it has no name, the file of the mapping in brackets.
    Function,
    /// The source file. Frames of one file that call each other are one.
    File,
    /// The file of the mapping. Frames of one file that call each other are one.
    Binary,
}

/// A tree in preorder: each node is followed by those below it, the largest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// What nodes are called, each name once.
    pub names: Vec<String>,
    /// The nodes; the first one is the root, which has all.
    pub nodes: Vec<TreeNode>,
}

/// A node. For each, what is its own and what the nodes below it have are its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeNode {
    /// How many nodes are above it.
    pub depth: usize,
    /// Index of its name.
    pub name: usize,
    /// What was spent in it and below it.
    pub value: i64,
    /// What was spent in it.
    pub own: i64,
    /// [`Self::value`] in the profile that this one is compared with; 0 without one.
    pub value_before: i64,
    /// [`Self::own`] in the profile that this one is compared with; 0 without one.
    pub own_before: i64,
}

impl Merge {
    /// The tree of all samples. What has less than `share` of all (0 to 1) is put together, at each place, in one node `…`.
    pub fn tree(self, by: By, share: f64) -> Tree {
        let mut frames = Frames::new();
        frames.add(self, by, Side::Now);
        frames.into_tree(share)
    }

    /// The tree of both profiles, with frames that are called the same, by the same, in one node.
    pub fn difference(before: Self, now: Self, by: By, share: f64) -> Tree {
        let mut frames = Frames::new();
        frames.add(before, by, Side::Before);
        frames.add(now, by, Side::Now);
        frames.into_tree(share)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Now,
    Before,
}

/// Values of [`Side::Now`] and [`Side::Before`].
type Both = [i64; 2];

/// A tree that is being made.
struct Frames {
    names: Vec<String>,
    name_ids: HashMap<String, usize>,
    /// The caller's node, the name, and what is the node's own. Callers come before what they call.
    nodes: Vec<(usize, usize, Both)>,
    ids: HashMap<(usize, usize), usize>,
}

impl Frames {
    fn new() -> Self {
        let mut frames = Self {
            names: Vec::new(),
            name_ids: HashMap::new(),
            nodes: Vec::new(),
            ids: HashMap::new(),
        };
        let all = frames.name(ALL);
        frames.nodes.push((0, all, [0; 2]));
        frames
    }

    fn name(&mut self, text: &str) -> usize {
        if let Some(&name) = self.name_ids.get(text) {
            return name;
        }
        self.names.push(text.to_owned());
        self.name_ids.insert(text.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    fn below(&mut self, caller: usize, name: usize) -> usize {
        let next = self.nodes.len();
        let node = *self.ids.entry((caller, name)).or_insert(next);
        if node == next {
            self.nodes.push((caller, name, [0; 2]));
        }
        node
    }

    fn add(&mut self, merge: Merge, by: By, side: Side) {
        let main = merge.main_value();
        let tables = merge.tables;
        let strings = tables.strings.into_table();
        let text = |index| super::text_of(&strings, index);
        // The frames of each location, outermost first; several where calls were inlined.
        let frames = |location: &proto::Location| -> Vec<String> {
            let file = match location.mapping_id {
                0 => "",
                mapping => text(entry(&tables.mappings, mapping).filename),
            };
            let functions = location
                .line
                .iter()
                .rev()
                .map(|line| entry(&tables.functions, line.function_id));
            let named = functions.map(|function| match by {
                By::Function => (text(function.name), file),
                By::File => (text(function.filename), file),
                By::Binary => (file, ""),
            });
            let mut named: Vec<_> = named.map(|(name, file)| spoken(name, file)).collect();
            if named.is_empty() {
                named.push(match by {
                    By::Binary => spoken(file, ""),
                    By::Function | By::File => spoken("", file),
                });
            }
            named
        };
        let names = tables.locations.iter().map(|location| {
            let names = frames(location).into_iter();
            names.map(|name| self.name(&name)).collect()
        });
        let names: Vec<Vec<usize>> = names.collect();
        let mut nodes = vec![0];
        for &(caller, location) in merge.stacks.callers() {
            let mut node = nodes[caller as usize];
            for &name in entry(&names, u64::from(location)) {
                let is_same = node != 0 && self.nodes[node].1 == name;
                if by == By::Function || !is_same {
                    node = self.below(node, name);
                }
            }
            nodes.push(node);
        }
        for sample in &merge.samples {
            let own = &mut self.nodes[nodes[sample.stack as usize]].2[side as usize];
            *own = own.saturating_add(sample.values.get(main).copied().unwrap_or(0));
        }
    }

    fn into_tree(mut self, share: f64) -> Tree {
        let rest = self.name(REST);
        let mut values: Vec<Both> = self.nodes.iter().map(|(_, _, own)| *own).collect();
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for node in (1..self.nodes.len()).rev() {
            let caller = self.nodes[node].0;
            values[caller] = sum(values[caller], values[node]);
            below[caller].push(node);
        }
        let all = values[0];
        let is_small = |value: Both| {
            let mut sides = value.into_iter().zip(all);
            sides.all(|(value, all)| (value as f64) < all as f64 * share || value == 0)
        };
        let mut nodes = Vec::new();
        // What is still to be written, the next one last; without a node, what was put together.
        let mut open = vec![(0, self.nodes[0].1, Some(0), values[0])];
        while let Some((depth, name, node, value)) = open.pop() {
            let own = node.map_or(value, |node: usize| self.nodes[node].2);
            nodes.push(TreeNode {
                depth,
                name,
                value: value[0],
                own: own[0],
                value_before: value[1],
                own_before: own[1],
            });
            let Some(node) = node else { continue };
            let (small, mut large): (Vec<usize>, Vec<usize>) = below[node]
                .iter()
                .partition(|&&node| is_small(values[node]));
            let folded = small
                .iter()
                .fold([0; 2], |folded, &node| sum(folded, values[node]));
            if folded != [0; 2] {
                open.push((depth + 1, rest, None, folded));
            }
            // The largest is to be popped first.
            large.sort_by(|&one, &other| {
                let size = |node: usize| values[node][0].max(values[node][1]);
                let name = |node: usize| &self.names[self.nodes[node].1];
                size(one)
                    .cmp(&size(other))
                    .then_with(|| name(other).cmp(name(one)))
            });
            open.extend(
                large
                    .iter()
                    .map(|&node| (depth + 1, self.nodes[node].1, Some(node), values[node])),
            );
        }
        Tree {
            names: self.names,
            nodes,
        }
    }
}

fn sum(one: Both, other: Both) -> Both {
    [
        one[0].saturating_add(other[0]),
        one[1].saturating_add(other[1]),
    ]
}

/// `name`, or what can be said without one.
fn spoken(name: &str, file: &str) -> String {
    if !name.is_empty() {
        return name.to_owned();
    }
    let file = file.rsplit('/').next().unwrap_or(file);
    let file = file.trim_start_matches('[').trim_end_matches(']');
    format!("[{}]", if file.is_empty() { "unknown" } else { file })
}
