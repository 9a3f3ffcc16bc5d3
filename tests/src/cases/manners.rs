//! How the profiler behaves: signals, files, terminals, what it says and how it exits.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Recorder, Recording, Stacks, Target, fixture, output, shared, skip};

/// Whether this program is installed; the test is skipped if not.
#[track_caller]
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("{program} is not installed (util-linux)"));
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Ctrl-C and SIGTERM end the sampling, and the profile is written.
#[test]
fn signals_end_the_sampling() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    for signal in [Signal::INT, Signal::TERM] {
        let pid = target.pid.to_string();
        let recording = Recorder::new(["-p", &pid, "-F", "997"]).start().sampling();
        std::thread::sleep(Duration::from_millis(300));
        recording.signal(signal);
        let recording = recording.finish();
        assert_eq!(recording.summary()["ended"], "stopped", "{signal:?}");
        let all = Stacks::of(&recording.profile());
        all.calling(&["leaf"])
            .assert_share(&all, 0.5, "it was sampled until then");
    }
}

/// A second Ctrl-C ends the program although the profile is not written; what waits for it never gets half of one.
#[test]
fn second_interrupt_aborts() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("cpu.pb.gz");
    output(Command::new("mkfifo").arg(&pipe));
    let pid = target.pid.to_string();
    let args = [
        "-v",
        "--log-format",
        "json",
        "-p",
        &pid,
        "-o",
        pipe.to_str().unwrap(),
    ];
    let running = Recorder::plain(&pipe, args).start().sampling();
    let profiler = running.pid();
    // Nobody reads the pipe, so the profiler waits there until the second signal, whenever that comes.
    let proc = format!("/proc/{profiler}/stat");
    while fs::read_to_string(&proc).is_ok_and(|stat| !stat.contains(") Z")) {
        running.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
    }
    let recording = running.finish();
    assert_eq!(
        recording.status.code(),
        Some(128 + 2),
        "{}",
        recording.stderr
    );
    assert_eq!(names(folder.path()), ["cpu.pb.gz"]);
}

/// Two signals at once abort before anything is written: the old file stays, nothing lies beside it.
#[test]
fn abort_leaves_the_old_file() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cpu.pb.gz");
    fs::write(&path, "old").unwrap();
    let pid = target.pid.to_string();
    let args = [
        "-v",
        "--log-format",
        "json",
        "-p",
        &pid,
        "-o",
        path.to_str().unwrap(),
    ];
    let running = Recorder::plain(&path, args).start().sampling();
    // While it is stopped both signals become pending, and it finds both when it goes on.
    for signal in [Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT] {
        running.signal(signal);
    }
    let recording = running.finish();
    // Which of the two is handled last is the kernel's choice.
    let code = recording.status.code();
    assert!(
        code == Some(128 + 2) || code == Some(128 + 15),
        "{code:?}: {}",
        recording.stderr
    );
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["cpu.pb.gz"]);
}

/// An old file is replaced in one step: whoever has it open keeps reading the old one, and its mode stays.
#[test]
fn old_file_is_replaced() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cpu.pb.gz");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let mut reader = File::open(&path).unwrap();
    let pid = target.pid.to_string();
    let args = ["-p", &pid, "-d", "200ms", "-o", path.to_str().unwrap()];
    Recorder::plain(&path, args).run().profile();
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(names(folder.path()), ["cpu.pb.gz"]);
}

/// `-o -` writes the profile to standard output and nothing else, whatever a started command prints.
#[test]
fn profile_to_standard_output() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let pid = target.pid.to_string();
    let args = ["-o", "-", "-F", "997", "-d", "300ms", "-p", &pid];
    let recording = Recorder::plain(Path::new("-"), args).run();
    assert!(Stacks::of(&recording.profile()).count() > 0);
    assert!(
        recording.stderr.contains("profile  standard output"),
        "{}",
        recording.stderr
    );

    let program = fixture("spin-fp");
    let args = [
        "-o",
        "-",
        "-F",
        "997",
        "--",
        program.to_str().unwrap(),
        "0.3",
    ];
    let recording = Recorder::plain(Path::new("-"), args).run();
    assert!(Stacks::of(&recording.profile()).count() > 0);
    assert!(
        recording.stderr.contains("cpu total="),
        "{}",
        recording.stderr
    );
}

/// A profile never goes to a terminal; the message has the remedy.
#[test]
fn terminal_is_spared() {
    let Some(_turn) = shared() else { return };
    if !has("script") {
        return;
    }
    let recording = on_terminal("-o - -a -d 100ms");
    assert_eq!(recording.status.code(), Some(1));
    let said = String::from_utf8_lossy(&recording.stdout).into_owned();
    assert!(
        said.contains("terminal") && said.contains("-o cpu.pb.gz"),
        "{said}"
    );
}

/// The status line is on a terminal only, and is gone at the end; `-q` has neither it nor a summary.
#[test]
fn status_line() {
    let Some(_turn) = shared() else { return };
    if !has("script") {
        return;
    }
    let target = Target::spinning("spin-fp");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cpu.pb.gz");
    let args = format!("-o {} -F 997 -d 1s -p {}", file.display(), target.pid);
    let shown = |recording: Recording| {
        assert_eq!(recording.status.code(), Some(0));
        String::from_utf8_lossy(&recording.stdout).into_owned()
    };
    let said = shown(on_terminal(&args));
    let status = said
        .split('\r')
        .filter(|line| line.contains(" lost  "))
        .count();
    assert!(status >= 2, "{said:?}");
    let cleared = said.rfind("\r\x1b[K").expect("the line is removed");
    assert!(
        cleared < said.find("samples  ").expect("a summary")
            || said[cleared..].contains("samples  "),
        "{said:?}"
    );
    assert_eq!(shown(on_terminal(&format!("-q {args}"))), "");

    let words: Vec<&str> = args.split(' ').collect();
    let recording = Recorder::plain(&file, &words).run();
    recording.profile();
    assert!(
        !recording.stderr.contains('\x1b') && recording.stderr.contains("samples  "),
        "{}",
        recording.stderr
    );
    let quiet = Recorder::plain(&file, [&["-q"], words.as_slice()].concat()).run();
    quiet.profile();
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.len()), ("", 0));
}

/// Runs the profiler with a terminal for all its output, which is the recording's standard output then.
fn on_terminal(args: &str) -> Recording {
    let line = format!("{} {args}", crate::harness::profiler().display());
    Recorder::plain(Path::new("-"), [""; 0])
        .replaced("script", ["-qec", line.as_str(), "/dev/null"])
        .run()
}

/// The summary is for people by default: counts, losses, names, the command to look at the file.
#[test]
fn summary_for_people() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-stripped-fp");
    let pid = target.pid.to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cpu.pb.gz");
    let path = file.to_str().unwrap();
    let recording = Recorder::plain(&file, ["-p", &pid, "-d", "300ms", "-o", path]).run();
    recording.profile();
    let parts = [
        "at 99 Hz",
        "of CPU time, 1 process\n",
        "lost     none",
        "spin-stripped-fp: stripped, no debug file for build-id ",
        &format!("go tool pprof -top {path}"),
    ];
    for part in parts {
        assert!(
            recording.stderr.contains(part),
            "no {part:?} in\n{}",
            recording.stderr
        );
    }
}

/// The summary tells how the command ended, and the exit code is about the profile, not the command.
#[test]
fn end_of_the_command() {
    let Some(_turn) = shared() else { return };
    let spin = fixture("spin-fp");
    let cases = [
        ("exit 7", vec![], "exited with status 7"),
        ("kill -SEGV $$", vec![], "was killed by signal 11 (SIGSEGV)"),
        (
            "exec sleep 100",
            vec!["-d", "500ms"],
            "was killed by signal 15 (SIGTERM), asked to end",
        ),
    ];
    for (end, options, expected) in cases {
        let script = format!("{} 0.2; {end}", spin.display());
        let args = [
            &options,
            ["-F", "997", "--", "sh", "-c", &script].as_slice(),
        ]
        .concat();
        let recording = Recorder::new(args).run();
        recording.profile();
        let command = recording.summary()["command"].as_str().unwrap();
        assert!(command.starts_with(expected), "{script}: {command}");
    }
}

/// Without samples the profile is written, the likely cause is said, and the exit code is 3.
#[test]
fn no_samples() {
    let Some(_turn) = shared() else { return };
    let idle = Target::waiting("spin-fp", "1");
    let pid = idle.pid.to_string();
    let recording = Recorder::new(["-p", &pid, "-d", "300ms"]).run();
    check_no_samples(&recording, "it waited or slept");

    let recording = Recorder::new(["-p", &pid]).start().sampling();
    drop(idle);
    check_no_samples(&recording.finish(), "ended before the first one");
}

fn check_no_samples(recording: &Recording, cause: &str) {
    assert_eq!(recording.status.code(), Some(3), "{}", recording.stderr);
    assert!(recording.stderr.contains(cause), "{}", recording.stderr);
    let profile = recording.profile_without_samples();
    assert_eq!(profile.total_count(), 0);
    let main = profile.string(profile.message().mapping[0].filename);
    assert_eq!(Path::new(main), fixture("spin-fp"));
}
