//! Files on file systems that may not answer: what they say while they do, and that nobody waits when they do not.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Recorder, Recording, Silence, SilentFiles, Stacks, Target, build_id, fixture, shared,
};

const PROGRAM: &str = "spin-fp";

fn spinning(files: &SilentFiles) -> Target {
    Target::spawn(&files.program(), &[])
}

fn recorder(target: &Target, duration: &str) -> Recorder {
    let pid = target.pid.to_string();
    Recorder::new(["-p", &pid, "-F", "997", "-d", duration])
}

/// The program's stacks, and what the profile says its build-id is.
fn program(recording: &Recording, files: &SilentFiles) -> (Stacks, String) {
    let profile = recording.profile();
    let path = files.program();
    let path = path.to_str().unwrap();
    let mut mappings = profile.message().mapping.iter();
    let mapping = mappings.find(|mapping| profile.string(mapping.filename) == path);
    let id = profile.string(mapping.expect(path).build_id).to_owned();
    (Stacks::of(&profile).through(path), id)
}

/// It is as if the file were in any other place.
fn assert_known(recording: &Recording, files: &SilentFiles) {
    let (stacks, id) = program(recording, files);
    assert_eq!(Some(id), build_id(&fixture(PROGRAM)));
    let whole = stacks.filter(|sample| !sample.is_cut());
    let known = whole.calling(&["leaf", "middle"]).calling(&["main"]);
    known.assert_share(&stacks, 0.98, "named and whole");
}

/// Nothing but the name of the file is known, and it is said why.
fn assert_unknown(recording: &Recording, files: &SilentFiles) {
    let (stacks, id) = program(recording, files);
    assert!(stacks.count() > 100, "{}", stacks.text());
    assert_eq!(id, "");
    assert_eq!(stacks.calling(&["leaf"]).count(), 0);
    let summary = recording.summary();
    let misses = summary["frames_not_named"].to_string();
    assert!(
        misses.contains("its file system did not answer in time"),
        "{summary:#}"
    );
}

/// A file on a file system that answers has its build-id and names, also when the server falls silent afterwards.
#[test]
fn answers() {
    let Some(_turn) = shared() else { return };
    let files = SilentFiles::with(&fixture(PROGRAM));
    let target = spinning(&files);
    assert_known(&recorder(&target, "1s").run(), &files);
    let running = recorder(&target, "10s").start().sampling();
    std::thread::sleep(Duration::from_secs(1));
    files.fall_silent(Silence::All);
    running.signal(Signal::INT);
    assert_known(&running.finish(), &files);
}

/// A file whose server is silent costs the profile that file's names and nothing else, and the profiler ends.
#[test]
fn silence() {
    let Some(_turn) = shared() else { return };
    for silence in [Silence::All, Silence::Reads] {
        let files = SilentFiles::with(&fixture(PROGRAM));
        let target = spinning(&files);
        files.fall_silent(silence);
        assert_unknown(&recorder(&target, "1s").run(), &files);
        assert!(files.waiting() > 0, "somebody has asked");
        let everything = Recorder::new(["-a", "-F", "997", "-d", "1s"]).run();
        assert_unknown(&everything, &files);
    }
}

/// What comes late is known from then on.
#[test]
fn late_answers() {
    let Some(_turn) = shared() else { return };
    let files = SilentFiles::with(&fixture(PROGRAM));
    let target = spinning(&files);
    files.fall_silent(Silence::All);
    let running = recorder(&target, "10s").start().sampling();
    std::thread::sleep(Duration::from_secs(1));
    files.answer();
    std::thread::sleep(Duration::from_secs(1));
    running.signal(Signal::INT);
    let recording = running.finish();
    let (stacks, id) = program(&recording, &files);
    assert_eq!(Some(id), build_id(&fixture(PROGRAM)));
    // All are named, those from before too.
    let named = stacks.calling(&["leaf"]);
    named.assert_share(&stacks, 0.98, "named");
}
