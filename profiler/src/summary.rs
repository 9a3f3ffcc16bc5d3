//! What a profile was made of and what is missing from it, with the reasons; counted by the pipeline, printed by
//! [`crate::cli`], and part of the profile's comments.

use std::collections::BTreeMap;
use std::time::Duration;

use profiler_common::Stop;

use crate::sampler::{Losses, ProgramCost, Sample};

/// Names to tell when none was wanted.
const MOST_NAMES: usize = 12;

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// How long sampling went on.
    pub elapsed: Duration,
    /// Samples per second that were asked for, on each CPU.
    pub frequency_hz: u32,
    /// CPU time that one sample stands for, in nanoseconds.
    pub period_ns: u64,
    /// Time of the earliest sample, in nanoseconds of `CLOCK_MONOTONIC`.
    pub first_sample_ns: Option<u64>,
    /// Samples that were counted.
    pub samples: u64,
    /// Samples and events that did not arrive.
    pub losses: Losses,
    /// Samples by the reason for which the walk of their user stack ended.
    pub stops: BTreeMap<Stop, u64>,
    /// Samples whose stack was copied and walked in user space, because tables were not ready.
    pub copied: u64,
    /// Processes that gave samples.
    pub processes: u64,
    /// Processes that ended before their mappings could be read.
    pub gone_processes: u64,
    /// What was forgotten to make room for others.
    pub evicted: Evicted,
    /// What was found out about frames.
    pub frames: FrameCounts,
    /// What of all that ran was to be profiled, one sentence for each condition.
    pub selection: Vec<String>,
    /// Names of processes that were seen and not wanted.
    pub other_names: Vec<String>,
    /// Things that were worked around or left out, one sentence each.
    pub notes: Vec<String>,
    /// What the kernel accounts to the BPF programs; empty unless it keeps count.
    pub costs: Vec<ProgramCost>,
}

/// What was forgotten to make room for others. None of it makes a profile worse by itself: it is found again when it is met
/// again, if it is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Evicted {
    /// Binaries that were closed.
    pub binaries: u64,
    /// Processes that were forgotten before they had ended.
    pub processes: u64,
    /// Binaries whose unwind rows were taken out of the kernel's tables.
    pub rows: u64,
}

/// Counts of several runs, or windows, together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Samples that were counted.
    pub samples: u64,
    /// Samples and events that did not arrive.
    pub losses: Losses,
    /// Samples by the reason for which the walk of their user stack ended.
    pub stops: BTreeMap<Stop, u64>,
    /// Samples whose stack was copied and walked in user space.
    pub copied: u64,
    /// Frames with a function, counted once per sample.
    pub named: u64,
    /// Frames without, likewise.
    pub not_named: u64,
    /// Processes that ended before their mappings could be read.
    pub gone_processes: u64,
    /// What was forgotten to make room for others, in all.
    pub evicted: Evicted,
}

impl Counts {
    /// Adds those of the window that follows.
    pub(crate) fn add(&mut self, window: &Summary) {
        self.samples += window.samples;
        self.losses = self.losses.plus(&window.losses);
        for (stop, count) in &window.stops {
            *self.stops.entry(*stop).or_insert(0) += count;
        }
        self.copied += window.copied;
        self.named += window.frames.named;
        self.not_named += window.frames.not_named.values().sum::<u64>();
        self.gone_processes += window.gone_processes;
        // Windows tell of all since the start.
        self.evicted = window.evicted;
    }
}

/// What was found out about frames, counted once per sample that has the frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameCounts {
    /// Frames with a function.
    pub named: u64,
    /// Frames without, by whose fault.
    pub not_named: BTreeMap<Blame, u64>,
}

/// Why frames have no name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Blame {
    /// The binary, by its file name, or what stands for it.
    pub binary: String,
    /// The reason.
    pub reason: String,
}

impl Summary {
    /// Counts how a sample's walk ended.
    pub(crate) fn count(&mut self, sample: &Sample) {
        *self.stops.entry(sample.stop).or_insert(0) += 1;
        let first = self.first_sample_ns.get_or_insert(sample.time_ns);
        *first = sample.time_ns.min(*first);
    }

    /// CPU time that the samples stand for.
    pub(crate) fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.samples.saturating_mul(self.period_ns))
    }

    /// Samples that were taken but are not in the profile.
    pub(crate) fn lost(&self) -> u64 {
        self.losses.samples()
    }

    /// Each reason for lost samples, with how many.
    pub(crate) fn lost_by_reason(&self) -> Vec<(&'static str, u64)> {
        nonzero(&[
            ("the ring buffer was full", self.losses.ring_full),
            ("the kernel refused the record", self.losses.output_failed),
            ("the record could not be decoded", self.losses.malformed),
        ])
    }

    /// Samples whose user stack reached its outermost frame.
    pub(crate) fn complete(&self) -> u64 {
        let complete = self.stops.iter().filter(|(stop, _)| stop.is_complete());
        complete.map(|(_, count)| count).sum()
    }

    /// Each reason for stacks that are not whole, with how many samples.
    pub(crate) fn cut_by_reason(&self) -> Vec<(&'static str, u64)> {
        let cut = self.stops.iter().filter(|(stop, _)| !stop.is_complete());
        cut.map(|(stop, count)| (stop.text(), *count)).collect()
    }

    /// Whom unnamed frames are to be blamed on, worst first.
    pub(crate) fn most_to_blame(&self) -> Vec<(&Blame, u64)> {
        let mut blamed: Vec<_> = self
            .frames
            .not_named
            .iter()
            .map(|(blame, count)| (blame, *count))
            .collect();
        blamed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        blamed
    }

    /// Why there are no samples, most likely.
    pub(crate) fn no_samples_because(&self, all_ended: bool) -> String {
        if self.lost() > 0 {
            return "all of them were lost".to_owned();
        }
        if all_ended {
            return "what was to be profiled ended before the first one".to_owned();
        }
        let mut reason =
            "nothing that was to be profiled used the CPU in that time (it waited or slept)"
                .to_owned();
        if !self.selection.is_empty() {
            reason += &format!("; wanted was {}", self.selection.join(", and "));
        }
        if !self.other_names.is_empty() {
            let names = self.other_names.iter().take(MOST_NAMES);
            let names: Vec<&str> = names.map(String::as_str).collect();
            reason += &format!("; others that did were named {}", names.join(", "));
            if let Some(more) = self.other_names.len().checked_sub(MOST_NAMES + 1) {
                reason += &format!(" and {} more", more + 1);
            }
        }
        reason
    }

    /// Sentences for the comments of the profile, the same as those that are printed.
    pub(crate) fn comments(&self) -> Vec<String> {
        let mut comments = vec![format!(
            "profiler: {} samples, {} lost",
            self.samples,
            self.lost()
        )];
        let reasons = self
            .lost_by_reason()
            .into_iter()
            .map(|(reason, count)| format!("lost: {count} because {reason}"));
        comments.extend(reasons);
        let cut = self
            .cut_by_reason()
            .into_iter()
            .map(|(reason, count)| format!("stacks cut: {count}, {reason}"));
        comments.extend(cut);
        comments
    }
}

fn nonzero(reasons: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    reasons
        .iter()
        .copied()
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When nothing matched, what was looked for is said, and what there was instead.
    #[test]
    fn nothing_matched() {
        let mut summary = Summary {
            selection: vec!["only processes whose name matches ^nginx$".to_owned()],
            other_names: vec!["bash".to_owned(), "nginx-debug".to_owned()],
            ..Summary::default()
        };
        let reason = summary.no_samples_because(false);
        assert!(reason.contains("matches ^nginx$"), "{reason}");
        assert!(reason.ends_with("named bash, nginx-debug"), "{reason}");
        summary.other_names = (0..14).map(|number| number.to_string()).collect();
        let reason = summary.no_samples_because(false);
        assert!(reason.ends_with("10, 11 and 2 more"), "{reason}");
    }

    /// Counts add up, only reasons that occurred are named, and the worst is named first.
    #[test]
    fn counts_and_reasons() {
        let blame = |binary: &str| Blame {
            binary: binary.to_owned(),
            reason: "stripped".to_owned(),
        };
        let summary = Summary {
            samples: 99,
            period_ns: 10_101_010,
            losses: Losses {
                tried: 104,
                ring_full: 4,
                malformed: 1,
                ..Losses::default()
            },
            stops: BTreeMap::from([(Stop::TooDeep, 2), (Stop::End, 97)]),
            frames: FrameCounts {
                named: 10,
                not_named: BTreeMap::from([(blame("a.so"), 1), (blame("b.so"), 7)]),
            },
            ..Summary::default()
        };
        assert_eq!(summary.samples + summary.lost(), summary.losses.tried);
        assert_eq!(summary.cpu_time(), Duration::from_nanos(999_999_990));
        assert_eq!(summary.cut_by_reason(), [("deeper than the walk goes", 2)]);
        assert_eq!(summary.most_to_blame()[0].0.binary, "b.so");
        assert_eq!(
            summary.comments(),
            [
                "profiler: 99 samples, 5 lost",
                "lost: 4 because the ring buffer was full",
                "lost: 1 because the record could not be decoded",
                "stacks cut: 2, deeper than the walk goes",
            ]
        );
    }
}
