//! Targets that a walk could get lost in, and binaries that are not what they were: each costs its own frames at most.

use std::fs::OpenOptions;

use crate::harness::{Recorder, Setting, Stacks, Target, alone, copy_program, fixture, shared};

/// Frame pointers that point to themselves or to each other and stack pointers to nowhere end a walk, and the stack is
/// marked: nothing hangs, nothing is lost, and nothing is taken for whole that is not.
#[test]
fn stacks_that_lead_nowhere() {
    let Some(_turn) = shared() else { return };
    for unwind in ["auto", "dwarf", "fp"] {
        let target = Target::waiting("hostile", "0.5");
        let pid = target.pid.to_string();
        let arguments = ["-p", &pid, "-F", "997", "--unwind", unwind];
        let (recording, report) = Recorder::new(arguments).run_over(target);
        let all = Stacks::of(&recording.profile());
        assert!(all.count() * 1_003_009 > report.total / 2, "{unwind}");
        assert_eq!(recording.summary()["lost"], serde_json::json!({}));
        for function in [
            "self_pointing",
            "circle",
            "nowhere",
            "not_canonical",
            "in_kernel",
        ] {
            let here = all.calling(&[function]);
            assert!(here.count() > 0, "{unwind}: {function}: {}", all.text());
            let open = here.filter(|sample| !sample.is_cut());
            let lost = open.count() - open.calling(&["main"]).count();
            assert_eq!(lost, 0, "{unwind}: {function}: {}", open.text());
        }
    }
}

/// The same in memory of no file, where frame pointers may lead down to another stack: a circle is gone round until the
/// sample is full.
#[test]
fn stacks_that_lead_nowhere_in_no_file() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("hostile-no-file", "0.5");
    let pid = target.pid.to_string();
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = Stacks::of(&recording.profile());
    assert!(all.count() * 1_003_009 > report.total / 2);
    assert_eq!(recording.summary()["lost"], serde_json::json!({}));
    let circle = all.filter(|sample| sample.stack.len() > 500);
    assert!(circle.count() > 0, "{}", all.text());
    let open = circle.filter(|sample| !sample.is_cut());
    assert_eq!(open.count(), 0, "{}", open.text());
}

/// A library whose file has lost its end while it is mapped has no rows any more; the program that uses it has, and the
/// library is blamed.
#[test]
fn library_cut_while_it_is_mapped() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("late_dlopen");
    let library = folder.path().join("late_lib.so");
    copy_program(&fixture("late_dlopen"), &program);
    copy_program(&fixture("late_lib.so"), &library);
    let mut target = Target::spawn(&program, &[]);
    let line = target.next_line();
    assert!(line.starts_with("loaded "), "{line:?}");
    // Behind the code, before what describes it.
    let file = OpenOptions::new().write(true).open(&library).unwrap();
    file.set_len(0x2000).unwrap();
    let pid = target.pid.to_string();
    // Its end would touch what is gone, so it is killed when it is dropped.
    let recording = Recorder::new(["-p", &pid, "-F", "997", "-d", "500ms"]).run();
    let all = Stacks::of(&recording.profile());
    assert!(all.count() > 100, "{}", recording.stderr);
    let inside = all.through(library.to_str().unwrap());
    inside.assert_share(&all, 0.9, "in the library");
    let not_named = &recording.summary()["frames_not_named"];
    assert!(not_named.to_string().contains("late_lib.so"), "{not_named}");
}

/// A process with more mappings than the kernel's table has room for is walked by what is in its files.
#[test]
fn a_hundred_thousand_mappings() {
    let Some(_turn) = alone() else { return };
    let limit = Setting::change("/proc/sys/vm/max_map_count", "300000").unwrap();
    let target = Target::waiting("many_mappings", "0.5");
    drop(limit);
    let pid = target.pid.to_string();
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = Stacks::of(&recording.profile());
    // Much of the time goes to giving so much memory back.
    let working = all.calling(&["bottom"]);
    assert!(
        working.count() * 1_003_009 > report.total / 2,
        "{}",
        all.text()
    );
    let whole = working.calling(&["bottom", "middle", "main"]);
    whole.assert_share(&working, 0.98, "whole");
    let notes = &recording.summary()["notes"];
    assert!(notes.to_string().contains("mappings"), "{notes}");
}
