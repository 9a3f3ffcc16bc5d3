//! Our stacks beside those that perf has of another run, by pairs of a return address and its caller's.

use std::collections::HashSet;

use crate::bench::profile::{Profile, Stack};

/// The outermost functions of whole stacks; where the entry point has no name, what it calls.
const OUTERMOST: &[&str] = &[
    "_start",
    "__libc_start",
    "clone3",
    "__clone",
    "start_thread",
    "runtime.goexit",
    "runtime.mstart",
    "runtime.rt0_go",
    "_dl_start",
    "vfork",
];

/// What perf has found.
pub(super) struct Peer {
    pub(super) samples: u64,
    /// Percent of its stacks that reach the outermost frame, as far as names tell.
    pub(super) whole: f64,
    /// Percent of our pairs that perf has, too; `None` where addresses differ from run to run.
    pub(super) ours_in_it: Option<f64>,
    /// Percent of its pairs, in whole stacks, that ours has.
    pub(super) in_ours: Option<f64>,
}

/// Compares two profiles.
pub(super) fn compare(ours: &Profile, perf: &Profile, same_addresses: bool) -> Peer {
    let with_frames = || perf.stacks.iter().filter(|stack| has_user(stack));
    let samples: u64 = with_frames().map(|stack| stack.count).sum();
    let whole: Vec<&Stack> = with_frames().filter(|stack| is_whole(stack)).collect();
    let reached: u64 = whole.iter().map(|stack| stack.count).sum();
    let share = |stacks: &[&Stack], reference: &[&Stack]| {
        let known: HashSet<(u64, u64)> = reference.iter().flat_map(|stack| pairs(stack)).collect();
        let (mut all, mut found) = (0, 0);
        for stack in stacks {
            for pair in pairs(stack) {
                all += stack.count;
                found += if known.contains(&pair) {
                    stack.count
                } else {
                    0
                };
            }
        }
        same_addresses.then(|| percent(found, all))
    };
    let own: Vec<&Stack> = ours.stacks.iter().collect();
    Peer {
        samples,
        whole: percent(reached, samples),
        ours_in_it: share(&own, &whole),
        in_ours: share(&whole, &own),
    }
}

/// A part of a whole; all of nothing.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        100.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}

fn has_user(stack: &Stack) -> bool {
    stack.user().next().is_some()
}

fn is_whole(stack: &Stack) -> bool {
    let mut outer = stack.user().rev().take(2);
    outer.any(|frame| {
        let mut functions = frame.functions.iter();
        functions.any(|function| OUTERMOST.iter().any(|name| function.starts_with(name)))
    })
}

/// Without the innermost frame, which is where a sample happens to be.
fn pairs(stack: &Stack) -> Vec<(u64, u64)> {
    let callers: Vec<u64> = stack.user().skip(1).map(|frame| frame.address).collect();
    callers.windows(2).map(|pair| (pair[0], pair[1])).collect()
}
