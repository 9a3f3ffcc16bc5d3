//! How much of a profile is wrong, measured against what the program itself says about its CPU time.
//!
//! A sample is judged twice. By its whole stack: it belongs to the phase whose function is in it; a stack that was
//! cut below that function belongs to none. And by its innermost frame alone, which needs no unwinding, only
//! right addresses and names. Either way the share of each phase, and of what is outside all phases, is compared
//! with the true share, and half the sum of the differences is the share of CPU time shown in a wrong place.
//! Errors that cancel each other out within a phase are not seen.

use super::profile::{Profile, Stack};
use super::target::CpuTime;
use super::workload::{Phase, Workload};

/// What is to be said about one profile; shares are in percent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    /// Samples, of those that the used CPU time stands for.
    pub(super) of_expected: f64,
    /// Stacks that reach `main` or the entry of a thread.
    pub(super) root: f64,
    /// User frames with a name.
    pub(super) named: f64,
    pub(super) wrong_by_stack: f64,
    pub(super) wrong_by_leaf: f64,
    /// What random sampling alone would make wrong on average, with this many samples.
    pub(super) noise: f64,
}

/// Compares a profile with the CPU time that the program used while it was made.
pub(super) fn judge(
    workload: &Workload,
    profile: &Profile,
    truth: &CpuTime,
    frequency: u32,
) -> Verdict {
    let samples = profile.samples();
    let shares = true_shares(workload.phases, truth);
    let by_stack = |stack: &Stack| phase_by_stack(workload.phases, stack);
    let by_leaf = |stack: &Stack| phase_by_leaf(workload.phases, stack);
    let reaches = |stack: &Stack| stack.user().any(|frame| frame.is_named(workload.roots));
    let user_stacks = count(profile, |stack| stack.user().next().is_some());
    let frames = |wanted: fn(&&super::profile::Frame) -> bool| -> u64 {
        let frames = |stack: &Stack| stack.count * stack.user().filter(wanted).count() as u64;
        profile.stacks.iter().map(frames).sum()
    };
    Verdict {
        of_expected: percent(
            samples as f64,
            truth.total as f64 / 1e9 * f64::from(frequency),
        ),
        root: percent(count(profile, reaches) as f64, user_stacks as f64),
        named: percent(
            frames(|frame| !frame.functions.is_empty()) as f64,
            frames(|_| true) as f64,
        ),
        wrong_by_stack: wrong(profile, &shares, by_stack),
        wrong_by_leaf: wrong(profile, &shares, by_leaf),
        noise: noise(&shares, samples),
    }
}

/// The share of each phase and, last, of what is outside them.
fn true_shares(phases: &[Phase], truth: &CpuTime) -> Vec<f64> {
    let total = truth.total.max(1) as f64;
    let mut shares: Vec<f64> = phases
        .iter()
        .map(|phase| *truth.phases.get(phase.name).unwrap_or(&0) as f64 / total)
        .collect();
    let outside = 1.0 - shares.iter().sum::<f64>();
    // A phase is counted at its end, so the sum may exceed the total by the piece that began before.
    shares.push(outside.max(0.0));
    shares
}

fn phase_by_stack(phases: &[Phase], stack: &Stack) -> Option<usize> {
    phases.iter().position(|phase| match phase.function {
        Some(function) => stack.user().any(|frame| frame.is_named(&[function])),
        None => stack.user().any(|frame| frame.is_in(phase.binaries)),
    })
}

fn phase_by_leaf(phases: &[Phase], stack: &Stack) -> Option<usize> {
    let leaf = stack.user().next()?;
    phases.iter().position(|phase| {
        let itself = phase.function.is_some_and(|name| leaf.is_named(&[name]));
        itself || leaf.is_named(phase.leaves) || leaf.is_in(phase.binaries)
    })
}

/// Half the sum of the differences between the shown and the true shares.
fn wrong(profile: &Profile, shares: &[f64], phase_of: impl Fn(&Stack) -> Option<usize>) -> f64 {
    let outside = shares.len() - 1;
    let mut shown = vec![0_u64; shares.len()];
    for stack in &profile.stacks {
        shown[phase_of(stack).unwrap_or(outside)] += stack.count;
    }
    let samples = profile.samples().max(1) as f64;
    let differences = shown
        .iter()
        .zip(shares)
        .map(|(shown, share)| (*shown as f64 / samples - share).abs());
    50.0 * differences.sum::<f64>()
}

/// The same figure for a perfect profiler: the mean absolute deviation of a binomial share is about
/// `sqrt(2 p (1 - p) / (π n))`.
fn noise(shares: &[f64], samples: u64) -> f64 {
    let n = samples.max(1) as f64;
    let deviations = shares
        .iter()
        .map(|share| (2.0 * share * (1.0 - share).max(0.0) / (std::f64::consts::PI * n)).sqrt());
    50.0 * deviations.sum::<f64>()
}

fn count(profile: &Profile, wanted: impl Fn(&Stack) -> bool) -> u64 {
    let stacks = profile.stacks.iter().filter(|stack| wanted(stack));
    stacks.map(|stack| stack.count).sum()
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole == 0.0 {
        0.0
    } else {
        100.0 * part / whole
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
