//! Which file a mapping is of: paths, build-ids, files that are gone or have been replaced.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::harness::{
    Recorder, Recording, Stacks, Target, build_id, copy_program, fixture, shared,
};

fn record(target: &Target) -> Recording {
    let pid = target.pid.to_string();
    Recorder::new(["-p", &pid, "-F", "997", "-d", "500ms"]).run()
}

/// The program is mapping 1, with the path and the build-id that the tools of ELF files see (PR-11, PR-12).
fn check_main(recording: &Recording, path: &Path, id: Option<&str>) {
    let profile = recording.profile();
    let main = &profile.message().mapping[0];
    assert_eq!(profile.string(main.filename), path.to_str().unwrap());
    if let Some(id) = id {
        assert_eq!(profile.string(main.build_id), id, "{}", path.display());
    }
}

/// The GNU build-id of every kind of program is that of `readelf -n`; a program without one has none; a Go program
/// without one has Go's own, or none.
#[test]
fn build_ids() {
    let Some(_turn) = shared() else { return };
    let programs = [
        "spin",
        "spin-nopie",
        "spin-lld",
        "spin-static",
        "spin-stripped",
        "phases-cpp",
        "phases-rust",
        "phases-go-gnuid",
    ];
    for name in programs {
        let target = Target::spinning(name);
        let id = build_id(&fixture(name)).unwrap_or_else(|| panic!("{name} has no build-id"));
        check_main(&record(&target), &fixture(name), Some(&id));
    }
    let target = Target::spinning("spin-nobuildid-fp");
    check_main(&record(&target), &fixture("spin-nobuildid-fp"), Some(""));
    check_main(
        &record(&Target::spinning("phases-go")),
        &fixture("phases-go"),
        None,
    );
}

/// A copy of a fixture that is running.
fn running_copy(folder: &Path) -> (Target, PathBuf) {
    let path = folder.join("program");
    copy_program(&fixture("spin-fp"), &path);
    (Target::spawn(&path, &[]), path)
}

/// What is running is what is recorded, whatever lies at its path by now.
fn check_gone(recording: &Recording, path: &Path) {
    let id = build_id(&fixture("spin-fp"));
    check_main(recording, path, id.as_deref());
    let all = Stacks::of(&recording.profile());
    all.calling(&["leaf", "middle", "work_a", "outer", "main"])
        .assert_share(&all, 0.5, "names of the running program");
    let comments = recording.comments();
    let path = path.to_str().unwrap();
    assert!(
        comments
            .iter()
            .any(|comment| comment.contains("deleted") && comment.contains(path)),
        "{comments:#?}"
    );
}

/// A program whose file was deleted keeps its path, its build-id and its names (PR-13).
#[test]
fn deleted_program() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (target, path) = running_copy(folder.path());
    fs::remove_file(&path).unwrap();
    check_gone(&record(&target), &path);
}

/// A program whose file was replaced by another, as an update does it, is not taken for the other.
#[test]
fn replaced_program() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (target, path) = running_copy(folder.path());
    let other = folder.path().join("other");
    copy_program(&fixture("phases-cpp"), &other);
    fs::rename(&other, &path).unwrap();
    check_gone(&record(&target), &path);
}

/// A program is the main binary though the dynamic linker was named as the command (PI-13).
#[test]
fn started_by_the_dynamic_linker() {
    let Some(_turn) = shared() else { return };
    let Some(linker) = interpreter(&fixture("spin-fp")) else {
        panic!("a dynamic program names its interpreter");
    };
    let program = fixture("spin-fp");
    let target = Target::spawn(Path::new(&linker), &[program.to_str().unwrap()]);
    let recording = record(&target);
    let id = build_id(&program);
    check_main(&recording, &program, id.as_deref());
}

fn interpreter(program: &Path) -> Option<String> {
    let headers = crate::harness::output(
        std::process::Command::new("readelf")
            .arg("-lW")
            .arg(program),
    );
    let (_, rest) = headers.split_once("interpreter: ")?;
    rest.split_once(']').map(|(path, _)| path.to_owned())
}

/// A name may have any bytes: in the profile it is text, with what is none replaced, and the file is opened by what it is (MP-02,
/// MP-06, MP-09).
#[test]
fn unusual_name() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"a b\nc\\012 \xff "));
    copy_program(&fixture("spin-fp"), &path);
    let target = Target::spawn(&path, &[]);
    let recording = record(&target);
    let profile = recording.profile();
    let main = &profile.message().mapping[0];
    assert_eq!(profile.string(main.filename), path.to_string_lossy());
    let id = build_id(&fixture("spin-fp"));
    assert_eq!(Some(profile.string(main.build_id)), id.as_deref());
    let all = Stacks::of(&profile);
    all.in_leaf("leaf").assert_share(&all, 0.9, "named");
}

/// Code in a file that is not ELF is sampled, has a mapping of its file and no name, and the summary says why.
#[test]
fn file_that_is_not_elf() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code.bin");
    let target = Target::spawn(&fixture("jit-fp"), &["--file", code.to_str().unwrap()]);
    let recording = record(&target);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    let inside = all.through(code.to_str().unwrap());
    inside.assert_share(&all, 0.9, "in the file");
    inside
        .calling(&["call_jit", "main"])
        .assert_share(&all, 0.9, "callers");
    let blamed = recording.summary()["frames_not_named"].as_array().unwrap();
    let blame = blamed.iter().find(|blame| blame["binary"] == "code.bin");
    let reason = blame.unwrap_or_else(|| panic!("{blamed:#?}"))["reason"]
        .as_str()
        .unwrap();
    assert!(reason.contains("ELF"), "{reason}");
}
