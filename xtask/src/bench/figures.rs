//! The columns of the results, their medians over rounds, and the goals they are held against.

use super::profilers::Kind;
use super::round::Round;

/// One kind of figure.
pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) digits: usize,
    pub(super) of: fn(&Round) -> Option<f64>,
    /// Whether a peer's figure divided by ours says something.
    pub(super) is_cost: bool,
}

pub(super) const FIGURES: &[Figure] = &[
    cost("CPU s", 3, |round| Some(cpu_s(round))),
    Figure {
        is_cost: false,
        ..cost("of it after", 3, |round| Some(round.readable?.cpu_s))
    },
    cost("first sample s", 3, |round| round.first_sample_s),
    cost("ready s", 3, |round| Some(round.ready_s)),
    cost("peak MiB", 1, |round| Some(peak_mib(round))),
    Figure {
        is_cost: false,
        ..cost("BPF MiB", 1, |round| {
            (round.bpf_kib > 0).then_some(round.bpf_kib as f64 / 1024.0)
        })
    },
    cost("size KiB", 1, |round| Some(round.size as f64 / 1024.0)),
    quality("samples", 0, |round| Some(round.samples as f64)),
    quality("of expected %", 1, |round| Some(round.verdict.of_expected)),
    quality("root %", 1, root),
    quality("named %", 1, |round| Some(round.verdict.named)),
    quality("wrong by stack %", 1, |round| {
        Some(round.verdict.wrong_by_stack)
    }),
    quality("wrong by leaf %", 1, |round| {
        Some(round.verdict.wrong_by_leaf)
    }),
    quality("noise %", 1, |round| Some(round.verdict.noise)),
];

/// A figure of ours and what it is to stay below.
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) at_most: f64,
    pub(super) unit: &'static str,
    pub(super) of: fn(&Round) -> Option<f64>,
    /// The only workload it was set for, if there is one.
    pub(super) workload: Option<&'static str>,
}

/// The best that was measured of any profiler on such a machine, for 10 s at 99 Hz of one busy program.
pub(super) const GOALS: &[Goal] = &[
    goal("CPU time, start to named file", 0.15, "s", |round| {
        Some(cpu_s(round))
    }),
    goal("start to first sample", 0.1, "s", |round| {
        round.first_sample_s
    }),
    goal("end of sampling to file", 0.2, "s", |round| {
        Some(round.ready_s)
    }),
    goal("resident memory at its peak", 40.0, "MiB", |round| {
        Some(peak_mib(round))
    }),
    Goal {
        workload: Some("c"),
        ..goal("size of the file", 64.0, "KiB", |round| {
            Some(round.size as f64 / 1024.0)
        })
    },
];

/// What the goals are for.
pub(super) const GOAL_SECONDS: u32 = 10;
pub(super) const GOAL_FREQUENCY: u32 = 99;

/// The median of one figure of one profiler over its rounds.
pub(super) fn median(rounds: &[Round], kind: Kind, of: fn(&Round) -> Option<f64>) -> Option<f64> {
    let rounds = rounds.iter().filter(|round| round.kind == kind);
    median_of(rounds.filter_map(of).collect())
}

/// The middle of some figures.
pub(super) fn median_of(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return Some(values[middle]);
    }
    let (below, above) = (values.get(middle.wrapping_sub(1))?, values.get(middle)?);
    Some((below + above) / 2.0)
}

/// Stacks that are whole, in percent.
pub(super) fn root(round: &Round) -> Option<f64> {
    Some(round.verdict.root)
}

fn cpu_s(round: &Round) -> f64 {
    round.recording.cpu_s + round.readable.map_or(0.0, |usage| usage.cpu_s)
}

fn peak_mib(round: &Round) -> f64 {
    let readable = round.readable.map_or(0, |usage| usage.peak_kib);
    round.recording.peak_kib.max(readable) as f64 / 1024.0
}

const fn cost(title: &'static str, digits: usize, of: fn(&Round) -> Option<f64>) -> Figure {
    Figure {
        title,
        digits,
        of,
        is_cost: true,
    }
}

const fn quality(title: &'static str, digits: usize, of: fn(&Round) -> Option<f64>) -> Figure {
    Figure {
        title,
        digits,
        of,
        is_cost: false,
    }
}

const fn goal(
    what: &'static str,
    at_most: f64,
    unit: &'static str,
    of: fn(&Round) -> Option<f64>,
) -> Goal {
    Goal {
        what,
        at_most,
        unit,
        of,
        workload: None,
    }
}

#[cfg(test)]
mod tests {
    use super::median_of;

    /// The middle one, or the mean of the two in the middle, whatever the order; nothing of nothing.
    #[test]
    fn medians() {
        assert_eq!(median_of(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median_of(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median_of(vec![5.0]), Some(5.0));
        assert_eq!(median_of(Vec::new()), None);
    }
}
