//! Our stacks beside those that perf has of another run, by pairs of a return address and its caller's.

use std::collections::HashSet;

use crate::bench::profile::{Frame, Profile, Stack, base_name};

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

/// A file's name and a place in it, which are the same in every run.
type Place = (String, u64);
/// A return address and its caller's.
type Pair = (Place, Place);

/// What perf has found.
pub(super) struct Peer {
    pub(super) samples: u64,
    /// Percent of its stacks that reach the outermost frame, as far as names tell.
    pub(super) whole: f64,
    /// Percent of our pairs that perf has, too.
    pub(super) ours_in_it: f64,
    /// Percent of its pairs, in whole stacks, that ours has.
    pub(super) in_ours: f64,
}

/// Compares two profiles.
pub(super) fn compare(ours: &Profile, perf: &Profile) -> Peer {
    let with_frames = || perf.stacks.iter().filter(|stack| has_user(stack));
    let samples: u64 = with_frames().map(|stack| stack.count).sum();
    let whole: Vec<&Stack> = with_frames().filter(|stack| is_whole(stack)).collect();
    let reached: u64 = whole.iter().map(|stack| stack.count).sum();
    let share = |stacks: &[&Stack], reference: &[&Stack]| {
        let known: HashSet<Pair> = reference.iter().flat_map(|stack| pairs(stack)).collect();
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
        percent(found, all)
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

/// Without the innermost frame, which is where a sample happens to be, and without what is in no file.
fn pairs(stack: &Stack) -> Vec<Pair> {
    let place = |frame: &Frame| {
        let (path, offset) = frame.place.as_ref()?;
        Some((base_name(&path.to_string_lossy()).to_owned(), *offset))
    };
    let callers: Vec<Option<Place>> = stack.user().skip(1).map(place).collect();
    let pairs = callers.windows(2);
    pairs
        .filter_map(|pair| Some((pair[0].clone()?, pair[1].clone()?)))
        .collect()
}
