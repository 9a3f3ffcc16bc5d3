//! Each sample is looked up in what was mapped when it was taken: libraries in the place of others, programs that have ended
//! before anybody could ask, a profiler that was not there for a second.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::check::Sample;
use crate::harness::{Recorder, Recording, Stacks, Target, alone, fixture, shared};

/// A library that is unloaded for another at the same address has the samples of its turn, and the other those of its own;
/// and no stack is shown as whole that was walked by the other's rows.
#[test]
fn libraries_in_turn_at_one_address() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("swap_libs", "1.6");
    let pid = target.pid.to_string();
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = Stacks::of(&recording.profile());
    for name in ["first", "second"] {
        let (leaf, work) = (format!("{name}_leaf"), format!("{name}_work"));
        let library = fixture(&format!("{name}_lib.so"));
        let inside = all.in_leaf(&leaf);
        let expected = report.phases[name] as f64 / report.total as f64;
        inside.assert_share(&all, expected - 0.1, name);
        let whole = inside.filter(|sample| !sample.is_cut());
        // Of each turn of 200 ms the first part, until its news has been read, may be cut.
        whole.assert_share(&inside, 0.4, "whole");
        assert_eq!(
            whole.calling(&[&leaf, &work, "main"]).count(),
            whole.count(),
            "{}",
            whole.text()
        );
        let right = inside.through(library.to_str().unwrap());
        assert_eq!(right.count(), inside.count(), "{}", inside.text());
    }
}

/// A shell that starts two short programs at a time, a hundred and more a second.
fn shell_loop(folder: &tempfile::TempDir) -> String {
    let script = folder.path().join("loop.sh");
    let spin = fixture("spin");
    let text = format!(
        "#!/bin/sh\ni=0\nwhile [ $i -lt 100 ]; do\n\
         {spin} 0.004 >/dev/null </dev/null\n\
         sed -n 1,5p /etc/passwd >/dev/null\n\
         i=$((i+1))\ndone\n",
        spin = spin.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

/// Of the samples with a user stack nearly all have the binary of the innermost frame, with its build-id, and nothing was
/// lost. Some end in code that no table describes: the lazy binding of the dynamic linker.
fn check_loop(recording: &Recording, all: &Stacks) {
    const KERNEL: &str = "[kernel.kallsyms]";
    fn innermost(sample: &Sample) -> Option<&str> {
        let mut files = sample.stack.iter().map(|frame| frame.file.as_deref());
        files
            .find(|file| *file != Some(KERNEL))
            .map(Option::unwrap_or_default)
    }
    let user = all.filter(|sample| innermost(sample).is_some());
    assert!(user.count() > 200, "{}", all.text());
    let located = user.filter(|sample| innermost(sample).is_some_and(|file| !file.is_empty()));
    located.assert_share(&user, 0.99, "with a binary");
    let whole = user.filter(|sample| !sample.is_cut());
    whole.assert_share(&user, 0.95, "whole");
    let summary = recording.summary();
    assert_eq!(
        summary["lost"].as_object().map(serde_json::Map::len),
        Some(0)
    );
    assert_eq!(summary["lost_memory_events"], 0);
}

/// Programs that live for some milliseconds, most of which have ended before anybody could ask about them.
#[test]
fn short_programs_of_a_command() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = shell_loop(&folder);
    let recording = Recorder::new(["-F", "997", "--", "sh", &script]).run();
    let all = Stacks::of(&recording.profile());
    check_loop(&recording, &all);
    all.labelled("comm", "spin")
        .assert_share(&all, 0.3, "the programs");
}

/// The same, seen by a profiler of everything, which has to have heard of them by itself.
#[test]
fn short_programs_of_the_machine() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = shell_loop(&folder);
    let running = Recorder::new(["-F", "997", "-a", "-d", "2s"])
        .start()
        .sampling();
    let mut shell = std::process::Command::new("sh")
        .arg(&script)
        .spawn()
        .unwrap();
    let recording = running.finish();
    shell.kill().unwrap();
    shell.wait().unwrap();
    let all = Stacks::of(&recording.profile());
    let ours = all.filter(|sample| {
        let comm = sample.labels.get("thread").map(String::as_str);
        matches!(comm, Some("spin" | "sed"))
    });
    check_loop(&recording, &ours);
}

/// A profiler that is stopped for a second while programs come and go loses no sample that the ring has room for, and says
/// what it lost; what it says fits what it has.
#[test]
fn stopped_profiler() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = shell_loop(&folder);
    let running = Recorder::new(["-F", "99", "--", "sh", &script])
        .start()
        .sampling();
    running.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    running.signal(Signal::CONT);
    let recording = running.finish();
    let all = Stacks::of(&recording.profile());
    let summary = recording.summary();
    assert_eq!(summary["samples"], all.count());
    assert_eq!(
        summary["lost"].as_object().map(serde_json::Map::len),
        Some(0)
    );
    let spins = all.labelled("thread", "spin");
    spins
        .calling(&["leaf", "middle"])
        .assert_share(&spins, 0.6, "named");
}
