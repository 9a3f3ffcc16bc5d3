//! Programs that change while they are sampled: children, exec, libraries loaded later.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{
    Recorder, Report, Stacks, Target, alone, assert_about, build_id, fixture, shared,
};

fn path(name: &str) -> String {
    fixture(name).to_str().unwrap().to_owned()
}

/// A process that executes other programs has the functions of each (PI-10).
#[test]
fn one_process_three_programs() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("exec_chain-fp", "1.5");
    let pid = target.pid.to_string();
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = Stacks::of(&recording.profile());
    for stage in ["first_stage", "second_stage", "third_stage"] {
        let own = all.calling(&["turn", stage, "main"]);
        let expected = report.phases[stage] as f64 / report.total as f64;
        assert_about(own.share_of(&all) + 0.01, expected, all.count(), stage);
    }
}

/// Programs without PIE that follow each other at the same addresses, in a child and then in its parent, keep their
/// samples apart (PI-10).
#[test]
fn programs_at_the_same_address() {
    let Some(_turn) = shared() else { return };
    let (first, second) = (path("spin-nopie-fp"), path("spin-lld-nopie-fp"));
    let script = format!("{first} 0.5; exec {second} 0.5");
    let recording = Recorder::new(["-F", "997", "--", "sh", "-c", &script]).run();
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    assert_eq!(all.values("pid").len(), 2, "{}", all.text());
    for (program, comm) in [(&first, "spin-nopie-fp"), (&second, "spin-lld-nopie-")] {
        let own = all.labelled("comm", comm);
        own.assert_share(&all, 0.35, comm);
        own.through(program).assert_share(&own, 0.9, comm);
        own.calling(&["leaf", "middle"])
            .assert_share(&own, 0.8, comm);
        let mapping = profile.mapping(program).unwrap();
        assert_eq!(
            Some(profile.string(mapping.build_id)),
            build_id(program.as_ref()).as_deref()
        );
    }
    assert_eq!(all.through(&first).through(&second).count(), 0);
}

/// A library that is loaded while sampling goes on has its names and its build-id (PI-08).
#[test]
fn library_loaded_later() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("late_dlopen-fp", "1.2");
    let pid = target.pid.to_string();
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    let late = all.calling(&["late_leaf", "late_work", "main"]);
    let expected = report.phases["late"] as f64 / report.total as f64;
    late.assert_share(&all, expected - 0.1, "in the library");
    let library = path("late_lib.so");
    let mapping = profile.mapping(&library).expect("the library is a mapping");
    assert_eq!(
        Some(profile.string(mapping.build_id)),
        build_id(library.as_ref()).as_deref()
    );
    all.calling(&["early_work", "main"])
        .assert_share(&all, 1.0 - expected - 0.1, "before that");
}

/// Children that live for 10 ms are sampled, each under its own id, with all of their time.
#[test]
fn short_children() {
    let Some(_turn) = alone() else { return };
    let script = path("short.sh");
    let recording = Recorder::new(["-F", "4999", "--", &script, "30"]).run();
    let report = Report::find(&String::from_utf8_lossy(&recording.stdout));
    let all = Stacks::of(&recording.profile());
    let spins = all.labelled("comm", "spin");
    let runs = spins.values("pid").len();
    assert!(runs >= 28, "{runs} of 30 children\n{}", all.text());
    let (found, spun) = (spins.nanoseconds() as f64, report.phases["spin"] as f64);
    assert!(found > 0.9 * spun, "{found} of {spun} ns");
    let shell = all.labelled("comm", "short.sh");
    assert!(shell.count() > 0, "{}", all.text());
    assert_eq!(recording.summary()["children_not_followed"], 0);
}

/// Children that live long enough for the profiler to get a CPU meanwhile, be the machine ever so busy, have names;
/// and they are there for another program that was executed on the way.
#[test]
fn children_are_named() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let command = folder.path().join("longer");
    let text = format!("#!/bin/sh\nexec {} 0.06\n", path("spin-fp"));
    fs::write(&command, text).unwrap();
    fs::set_permissions(&command, Permissions::from_mode(0o755)).unwrap();
    let recording = Recorder::new(["-F", "4999", "--", &path("short.sh"), "12"])
        .env("SHORT_COMMAND", &command)
        .run();
    let all = Stacks::of(&recording.profile());
    let spins = all.labelled("comm", "spin-fp");
    spins.assert_share(&all, 0.6, "the children");
    spins
        .calling(&["leaf", "middle"])
        .assert_share(&spins, 0.7, "named in the children");
}

/// With `--no-inherit` there is the command alone.
#[test]
fn children_left_out() {
    let Some(_turn) = shared() else { return };
    let script = path("short.sh");
    let recording = Recorder::new(["-F", "4999", "--no-inherit", "--", &script, "30"]).run();
    let all = Stacks::of(&recording.profile());
    assert_eq!(all.values("pid").len(), 1, "{}", all.text());
    assert_eq!(all.labelled("comm", "short.sh").count(), all.count());
}
