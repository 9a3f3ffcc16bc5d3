//! Judges perf events: that there are some, that they are allowed, and what they can tell.

use rustix::io::Errno;

use super::facts::Facts;
use super::{Finding, kernel};

/// A finding for each part.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    vec![
        perf_events(facts),
        paranoid(facts),
        sample_rate(facts),
        side_band(facts),
        cycles(facts),
    ]
}

fn perf_events(facts: &Facts) -> Finding {
    const NAME: &str = "perf-events";
    let Err(error) = &facts.parts.cpu_clock else {
        let cpus = facts.parts.cpus;
        let found = format!(
            "cpu-clock was opened on {cpus} CPU{}",
            if cpus == 1 { "" } else { "s" }
        );
        return Finding::ok(NAME, found).needed();
    };
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS) => Finding::missing(
            NAME,
            format!("refused: {error}"),
            "see CAP_PERFMON and perf_event_paranoid",
        )
        .needed(),
        Some(Errno::PERM) => kernel::refused(facts, NAME, error),
        _ => Finding::missing(
            NAME,
            format!("this kernel has no cpu-clock event: {error}"),
            "nothing can be sampled; a kernel with CONFIG_PERF_EVENTS is needed",
        )
        .needed(),
    }
}

fn paranoid(facts: &Facts) -> Finding {
    const NAME: &str = "perf_event_paranoid";
    let Some(level) = facts.settings.paranoid else {
        let found = "the kernel has no such setting, so no perf events";
        return Finding::missing(NAME, found, "see perf-events").needed();
    };
    let is_refused = facts.parts.cpu_clock.is_err();
    // Above 2, the kernels of Debian and Ubuntu want CAP_SYS_ADMIN even of who has CAP_PERFMON.
    if is_refused && level > 2 {
        return Finding::missing(
            NAME,
            format!("{level}: perf events are for root alone"),
            "nothing can be sampled without root",
        )
        .needed()
        .mended_by("sudo sysctl kernel.perf_event_paranoid=2".to_owned());
    }
    Finding::ok(NAME, format!("{level}; with CAP_PERFMON that is enough")).needed()
}

fn sample_rate(facts: &Facts) -> Finding {
    const NAME: &str = "sample-rate";
    match facts.settings.most_samples {
        None => Finding::ok(NAME, "no limit is known"),
        Some(most) if most >= 99 => Finding::ok(NAME, format!("at most {most} samples a second (-F)")),
        Some(most) => Finding::limited(
            NAME,
            format!("at most {most} samples a second: the kernel has lowered it because interrupts took too long, or somebody has"),
            "the usual 99 a second are refused; ask for fewer with -F",
        )
        .mended_by("sudo sysctl kernel.perf_event_max_sample_rate=100000".to_owned()),
    }
}

fn side_band(facts: &Facts) -> Finding {
    const NAME: &str = "process-news";
    match &facts.parts.side_band {
        Ok(()) => Finding::ok(
            NAME,
            "the kernel's records of mappings, forks and execs can be had",
        ),
        Err(error) if Errno::from_io_error(error) == Some(Errno::PERM) => Finding::limited(
            NAME,
            format!("no room for the kernel's records of mappings: {error}"),
            "programs and libraries that live for milliseconds have no names",
        )
        .mended_by("sudo sysctl kernel.perf_event_mlock_kb=2048".to_owned()),
        Err(error) => Finding::limited(
            NAME,
            format!("the kernel's records of mappings cannot be had: {error}"),
            "programs and libraries that live for milliseconds have no names",
        ),
    }
}

fn cycles(facts: &Facts) -> Finding {
    const NAME: &str = "hardware-cycles";
    match &facts.parts.cycles {
        Ok(()) => Finding::ok(NAME, "they are there; samples are taken by CPU time"),
        Err(error) => {
            let found = match Errno::from_io_error(error) {
                Some(Errno::ACCESS | Errno::PERM) => format!("not known: {error}"),
                _ => format!("none, as in most virtual machines: {error}"),
            };
            let means = "nothing is missed: samples are taken by CPU time";
            Finding::missing(NAME, found, means)
        }
    }
}
