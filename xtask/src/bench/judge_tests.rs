//! Profiles made by hand, of the C workload, whose verdict is known.

use super::{Verdict, judge};
use crate::bench::profile::{Frame, Profile, Stack};
use crate::bench::target::CpuTime;
use crate::bench::workloads::WORKLOADS;

fn frame(function: &str, binary: &str) -> Frame {
    Frame {
        functions: Vec::from_iter((!function.is_empty()).then(|| function.to_owned())),
        binary: binary.to_owned(),
        is_kernel: binary == "[kernel.kallsyms]",
        ..Frame::default()
    }
}

fn stack(count: u64, frames: &[(&str, &str)]) -> Stack {
    let frames = frames.iter().map(|(name, file)| frame(name, file));
    Stack {
        count,
        frames: frames.collect(),
        cut: None,
    }
}

/// Half of the time in `math`, half in `hashing`, 1,000 samples expected.
fn judged(stacks: Vec<Stack>) -> Verdict {
    let phases = [("math", 5_000_000_000), ("hashing", 5_000_000_000)];
    let truth = CpuTime {
        total: 10_000_000_000,
        phases: phases.map(|(name, ns)| (name.to_owned(), ns)).into(),
    };
    let profile = Profile {
        stacks,
        first_sample_ns: None,
    };
    judge(&WORKLOADS[0], &profile, &truth, 100)
}

fn check(figure: f64, expected: f64) {
    assert!((figure - expected).abs() < 0.05, "{figure}, not {expected}");
}

const MATH: &[(&str, &str)] = &[
    ("__sin_fma", "libm.so.6"),
    ("phase_math", "workload-c"),
    ("work_thread", "workload-c"),
];
const HASHING: &[(&str, &str)] = &[
    ("clear_page", "[kernel.kallsyms]"),
    ("hashing_inner", "workload-c"),
    ("phase_hashing", "workload-c"),
    ("work_thread", "workload-c"),
];

/// A profile that agrees with the program has nothing wrong, and kernel frames do not count as leaves.
#[test]
fn right_profile() {
    let verdict = judged(vec![stack(500, MATH), stack(500, HASHING)]);
    check(verdict.wrong_by_stack, 0.0);
    check(verdict.wrong_by_leaf, 0.0);
    check(verdict.of_expected, 100.0);
    check(verdict.root, 100.0);
    check(verdict.named, 100.0);
}

/// A stack cut at the leaf is wrong as a stack, and right as a leaf.
#[test]
fn cut_stacks() {
    let verdict = judged(vec![stack(500, &MATH[..1]), stack(500, HASHING)]);
    check(verdict.wrong_by_stack, 50.0);
    check(verdict.wrong_by_leaf, 0.0);
    check(verdict.root, 50.0);
}

/// Time shown under another phase counts once, not for both phases.
#[test]
fn wrong_phase() {
    let verdict = judged(vec![stack(600, MATH), stack(400, HASHING)]);
    check(verdict.wrong_by_stack, 10.0);
    check(verdict.wrong_by_leaf, 10.0);
}

/// Without names the library still tells the leaf of one phase, and nothing tells the other.
#[test]
fn no_names() {
    let nameless = |frames: &[(&'static str, &'static str)]| {
        let frames: Vec<_> = frames.iter().map(|(_, file)| ("", *file)).collect();
        stack(500, &frames)
    };
    let verdict = judged(vec![nameless(MATH), nameless(HASHING)]);
    check(verdict.wrong_by_stack, 100.0);
    check(verdict.wrong_by_leaf, 50.0);
    check(verdict.named, 0.0);
    check(verdict.root, 0.0);
}

/// Two equal shares deviate by `sqrt(2 · ¼ / (π n))` on average, so four times the samples halve the noise.
#[test]
fn noise_falls_with_the_samples() {
    let few = judged(vec![stack(125, MATH), stack(125, HASHING)]);
    let many = judged(vec![stack(500, MATH), stack(500, HASHING)]);
    check(few.noise, 2.52);
    check(many.noise, 1.26);
    check(judged(Vec::new()).of_expected, 0.0);
}
