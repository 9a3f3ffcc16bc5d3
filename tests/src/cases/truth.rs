//! The CPU time in a profile against the CPU time that the kernel accounts to the process.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::{Recorder, Recording, Report, Stacks, Target, alone, assert_about, fixture};

/// Often enough that a program on a shared CPU is not hit or missed by chance, and in step neither with the scheduler's
/// ticks (100, 250 or 1000 a second) nor with the phases of the programs.
const HZ: &str = "1733";

/// How often a measurement may be repeated.
const ATTEMPTS: usize = 3;

/// Measures once more when it went wrong: while a virtual machine is held up by its host, the clock that samples stands
/// still and the one that the kernel accounts by does not, or the other way round (3.6 % and 2.2 % were seen, once in
/// some fifty runs, where 0.4 % is usual). What is wrong by itself is wrong every time.
fn measure(once: impl Fn()) {
    for _ in 1..ATTEMPTS {
        if catch_unwind(AssertUnwindSafe(&once)).is_ok() {
            return;
        }
    }
    once();
}

/// The CPU time of a profile is within 2 % of what the kernel accounts. Below, where samples are few and the machine is
/// shared, four standard deviations of hitting a program that has only a part of a CPU come on top.
fn check_total(recording: &Recording, report: &Report) {
    let profile = recording.profile();
    let found = Stacks::of(&profile).nanoseconds() as f64;
    let wanted = report.total as f64;
    let summary = recording.summary();
    let number = |name: &str| summary[name].as_f64().expect("a number");
    let away = (1.0 - wanted / number("elapsed_ns")).max(0.0);
    let samples = wanted / number("period_ns");
    let tolerance = wanted * (0.02 + 4.0 * (away / samples).sqrt() * is_sparse(&number));
    assert!(
        (found - wanted).abs() <= tolerance,
        "{found} ns in the profile, {wanted} ns by the kernel, {tolerance} ns of tolerance\n{summary:#}"
    );
    assert_eq!(found, number("cpu_time_ns"));
    assert_eq!(
        Stacks::of(&profile).count() as f64 * number("period_ns"),
        found
    );
}

/// Samples that are closer together than a program is on a CPU at a time (milliseconds) do not hit or miss by chance.
fn is_sparse(number: &dyn Fn(&str) -> f64) -> f64 {
    if number("frequency_hz") < 1000.0 {
        1.0
    } else {
        0.0
    }
}

/// The part of each phase is what the target says.
fn check_phases(recording: &Recording, report: &Report, functions: &[(&str, &str)]) {
    let all = Stacks::of(&recording.profile());
    let whole: u64 = report.phases.values().sum();
    let shares: BTreeMap<&str, f64> = functions
        .iter()
        .map(|(phase, function)| (*phase, all.calling(&[function]).share_of(&all)))
        .collect();
    for (phase, share) in shares {
        let expected = report.phases[phase] as f64 / whole as f64;
        assert_about(share, expected, all.count(), phase);
    }
}

/// A program that spins for 5 s on one thread shows 5 s, and its two phases as they were.
#[test]
fn five_seconds_on_one_thread() {
    let Some(_turn) = alone() else { return };
    measure(|| {
        let target = Target::waiting("spin-fp", "5");
        let pid = target.pid.to_string();
        let (recording, report) = Recorder::new(["-p", &pid, "-F", HZ]).run_over(target);
        check_total(&recording, &report);
        check_phases(
            &recording,
            &report,
            &[("work_a", "work_a"), ("work_b", "work_b")],
        );
    });
}

/// The same at the default rate.
#[test]
fn default_frequency() {
    let Some(_turn) = alone() else { return };
    measure(|| {
        let target = Target::waiting("spin-fp", "3");
        let pid = target.pid.to_string();
        let (recording, report) = Recorder::new(["-p", &pid]).run_over(target);
        assert_eq!(recording.summary()["period_ns"], 10_101_010);
        check_total(&recording, &report);
    });
}

/// A command is sampled from its first instruction to its end.
#[test]
fn whole_life_of_a_command() {
    let Some(_turn) = alone() else { return };
    measure(|| {
        let program = fixture("spin-fp");
        let program = program.to_str().unwrap();
        let recording = Recorder::new(["-F", HZ, "--", program, "2"]).run();
        let report = Report::find(&String::from_utf8_lossy(&recording.stdout));
        check_total(&recording, &report);
    });
}

/// The time of several threads adds up, and each has its part.
#[test]
fn several_threads() {
    let Some(_turn) = alone() else { return };
    measure(|| {
        let target = Target::waiting("threads-fp", "3");
        let pid = target.pid.to_string();
        let (recording, report) = Recorder::new(["-p", &pid, "-F", HZ]).run_over(target);
        // On two CPUs at once there is no telling from the elapsed time how much of a CPU each thread had.
        let found = Stacks::of(&recording.profile()).nanoseconds() as f64;
        let wanted = report.total as f64;
        assert!(
            (found - wanted).abs() <= 0.02 * wanted,
            "{found} ns, {wanted} ns by the kernel"
        );
        check_phases(
            &recording,
            &report,
            &[
                ("alpha", "alpha_work"),
                ("beta", "beta_work"),
                ("gamma", "gamma_work"),
            ],
        );
    });
}

/// Time in the kernel counts as the program's, with kernel frames and without.
#[test]
fn time_in_the_kernel() {
    let Some(_turn) = alone() else { return };
    measure(|| {
        for option in ["--kernel", "--no-kernel"] {
            let target = Target::waiting("kernelwork-fp", "1.5");
            let pid = target.pid.to_string();
            let (recording, report) =
                Recorder::new(["-p", &pid, "-F", HZ, option]).run_over(target);
            check_total(&recording, &report);
        }
    });
}
