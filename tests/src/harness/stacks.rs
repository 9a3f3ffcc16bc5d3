//! Questions to the samples of a profile: how many have this function, this chain of calls, this label.

use crate::check::{CheckedProfile, Sample};

/// The samples of a profile, or some of them.
#[derive(Clone, Debug)]
pub(crate) struct Stacks(Vec<Sample>);

impl Stacks {
    /// All samples of a profile.
    pub(crate) fn of(profile: &CheckedProfile) -> Self {
        Self(profile.samples())
    }

    /// How many samples there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|sample| sample.count as u64).sum()
    }

    /// The CPU time that they stand for.
    pub(crate) fn nanoseconds(&self) -> u64 {
        self.0.iter().map(|sample| sample.nanoseconds as u64).sum()
    }

    /// Those that a condition holds for.
    pub(crate) fn filter(&self, condition: impl Fn(&Sample) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|sample| condition(sample))
                .cloned()
                .collect(),
        )
    }

    /// Those with this label.
    pub(crate) fn labelled(&self, key: &str, value: &str) -> Self {
        self.filter(|sample| sample.labels.get(key).is_some_and(|found| found == value))
    }

    /// Those in which these functions call each other, innermost first, inlined ones included. A name also stands for
    /// itself with parameters or a hash behind it: see [`names`].
    pub(crate) fn calling(&self, chain: &[&str]) -> Self {
        self.filter(|sample| {
            let functions = functions(sample);
            functions.windows(chain.len()).any(|window| {
                window
                    .iter()
                    .zip(chain)
                    .all(|(function, name)| names(function, name))
            })
        })
    }

    /// Those whose innermost frame is this function, or something inlined into it.
    pub(crate) fn in_leaf(&self, name: &str) -> Self {
        self.filter(|sample| {
            let leaf = sample.stack.first();
            leaf.is_some_and(|frame| frame.functions.iter().any(|function| names(function, name)))
        })
    }

    /// Those with a frame in this file.
    pub(crate) fn through(&self, file: &str) -> Self {
        self.filter(|sample| {
            sample
                .stack
                .iter()
                .any(|frame| frame.file.as_deref() == Some(file))
        })
    }

    /// All values of a label.
    pub(crate) fn values(&self, key: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .0
            .iter()
            .filter_map(|sample| sample.labels.get(key).cloned())
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// What part of another set of samples these are.
    pub(crate) fn share_of(&self, whole: &Self) -> f64 {
        self.count() as f64 / whole.count().max(1) as f64
    }

    /// Checks that these are at least such a part of `whole`; `what` says what they have in common.
    #[track_caller]
    pub(crate) fn assert_share(&self, whole: &Self, least: f64, what: &str) {
        let share = self.share_of(whole);
        assert!(
            share >= least,
            "{what}: {} of {} samples, wanted {:.0} %; the stacks are\n{}",
            self.count(),
            whole.count(),
            100.0 * least,
            whole.text()
        );
    }

    /// The most frequent stacks, for messages.
    pub(crate) fn text(&self) -> String {
        let mut samples = self.0.clone();
        samples.sort_by_key(|sample| std::cmp::Reverse(sample.count));
        let line = |sample: &Sample| {
            let frames: Vec<String> = sample
                .stack
                .iter()
                .map(|frame| match frame.functions.as_slice() {
                    [] => format!("{:#x} in {:?}", frame.address, frame.file),
                    names => names.join("+").chars().take(60).collect(),
                })
                .take(8)
                .collect();
            format!(
                "{:6} {} {:?}",
                sample.count,
                frames.join(" < "),
                sample.labels
            )
        };
        samples
            .iter()
            .take(8)
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Whether a function as the profile names it is the one with this plain name: the names of C++ go on with parameters,
/// those of Rust may with a hash.
fn names(function: &str, name: &str) -> bool {
    let rest = function.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('(') || rest.starts_with("::h"))
}

fn functions(sample: &Sample) -> Vec<&str> {
    let frames = sample.stack.iter();
    frames
        .flat_map(|frame| frame.functions.iter().map(String::as_str))
        .collect()
}

/// Checks that a share that was counted is a share that was expected, within four standard deviations of counting
/// `samples` at random and half a percent.
#[track_caller]
pub(crate) fn assert_about(found: f64, expected: f64, samples: u64, what: &str) {
    let deviation = (expected * (1.0 - expected) / samples as f64).sqrt();
    let tolerance = 4.0 * deviation + 0.005;
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found:.4} in the profile, {expected:.4} by the target's account, {samples} samples"
    );
}
