//! A machine that gives too little: descriptors, and room for the kernel's records.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Recorder, Stacks, Target, alone, copy_program, fixture, shared};

/// With a limit of open files, for good.
fn limited(limit: u32, args: &[&str]) -> Recorder {
    let limit = format!("--nofile={limit}:{limit}");
    Recorder::new(args).wrapped(&["prlimit", &limit])
}

/// Too few descriptors to begin with: what is missing, and how to mend it.
#[test]
fn too_few_descriptors_to_begin() {
    let Some(_turn) = shared() else { return };
    for limit in [16, 24, 32] {
        let recording = limited(limit, &["-a", "-d", "1s"]).run();
        assert_eq!(recording.status.code(), Some(1), "{}", recording.stderr);
        let remedy = format!("the limit of open files is {limit}: raise it with `ulimit -n`");
        assert!(recording.stderr.contains(&remedy), "{}", recording.stderr);
        assert!(recording.bytes.is_none());
    }
}

/// Killed when dropped.
struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// More programs than there are descriptors for: those that were met first are as ever, the others have no names, and the
/// reason is told.
#[test]
fn too_few_descriptors_for_all_programs() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let crowd: Vec<Child> = (0..40)
        .map(|number| {
            let path = folder.path().join(format!("program-{number}"));
            copy_program(&fixture("spin-fp"), &path);
            Command::new(path)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let _crowd = Crowd(crowd);
    let recording = limited(100, &["-a", "-F", "997", "-d", "2s"]).run();
    let all = Stacks::of(&recording.profile());
    let ours = all.filter(|sample| {
        let comm = sample.labels.get("comm");
        comm.is_some_and(|comm| comm.starts_with("program-"))
    });
    let named = ours.calling(&["leaf", "middle"]);
    let (named, ours) = (named.count(), ours.count());
    assert!(named > 0 && named < ours, "{named} of {ours} have names");
    let summary = recording.summary();
    assert_eq!(summary["samples"], summary["samples_tried"], "{summary:#}");
    let misses = summary["frames_not_named"].to_string();
    assert!(misses.contains("too many files are open"), "{summary:#}");
}

/// The kernel has no room for its records of mappings while nobody reads them: the loss is counted and told, all that is mapped
/// is read again, and what is sampled from then on is right.
#[test]
fn lost_records_of_mappings() {
    let Some(_turn) = alone() else { return };
    const STORM: &str = "
import mmap, time
end = time.monotonic() + 2.5
while time.monotonic() < end:
    for _ in range(1000):
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
";
    let mut storm = Command::new("python3").args(["-c", STORM]).spawn().unwrap();
    let running = Recorder::new(["-a", "-F", "997", "-d", "4s"])
        .start()
        .sampling();
    running.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1200));
    // Nobody hears of this one.
    let late = Target::spinning("spin");
    running.signal(Signal::CONT);
    let recording = running.finish();
    late.stop();
    storm.wait().unwrap();
    let summary = recording.summary();
    assert!(
        summary["lost_memory_events"].as_u64() > Some(0),
        "{summary:#}"
    );
    let notes = summary["notes"].to_string();
    assert!(
        notes.contains("lost news of what processes have mapped"),
        "{notes}"
    );
    let all = Stacks::of(&recording.profile());
    let late = all.labelled("comm", "spin");
    assert!(late.count() > 200, "{}", all.text());
    let right = late.filter(|sample| !sample.is_cut());
    right
        .calling(&["leaf", "middle"])
        .calling(&["main"])
        .assert_share(&late, 0.95, "whole and named");
}
