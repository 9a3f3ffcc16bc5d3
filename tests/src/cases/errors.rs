//! What cannot be done: each message names the thing and the remedy, and the exit code says whose fault it is.

use std::fs;
use std::path::Path;

use crate::harness::{Recorder, Recording, Target, shared, skip};

/// The machine or the target is in the way.
const IMPOSSIBLE: i32 = 1;
/// Other arguments are needed.
const WRONG_USAGE: i32 = 2;

fn check(recording: &Recording, code: i32, parts: &[&str]) {
    assert_eq!(recording.status.code(), Some(code), "{}", recording.stderr);
    for part in parts {
        assert!(
            recording.stderr.contains(part),
            "no {part:?} in\n{}",
            recording.stderr
        );
    }
    assert!(recording.bytes.is_none(), "a profile was written");
    assert!(!recording.stderr.contains("sampling began") || code == IMPOSSIBLE);
}

/// A process that does not exist, a thread, a zombie, a program that does not exist.
#[test]
fn targets_that_cannot_be() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("threads-fp");
    let thread = loop {
        // It starts them only after it has said that it is ready.
        if let Some(tid) = target.threads().into_iter().find(|tid| *tid != target.pid) {
            break tid.to_string();
        }
        std::thread::yield_now();
    };
    let process = format!("profile the process: --pid {}", target.pid);
    let mut zombie = std::process::Command::new("true").spawn().unwrap();
    let zombie_pid = zombie.id().to_string();
    let stat = format!("/proc/{zombie_pid}/stat");
    while !fs::read_to_string(&stat).unwrap().contains(") Z") {
        std::thread::yield_now();
    }
    // Larger than the largest kernel.pid_max.
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (
            &["-p", "4194305"],
            IMPOSSIBLE,
            &["there is no process 4194305", "pgrep"],
        ),
        (
            &["-p", &thread],
            WRONG_USAGE,
            &["is a thread of process", &process],
        ),
        (
            &["-p", &zombie_pid],
            IMPOSSIBLE,
            &[&zombie_pid, "has ended"],
        ),
        (
            &["--", "/no/such/program"],
            IMPOSSIBLE,
            &["/no/such/program", "check its name"],
        ),
        (
            &["--", "/etc/passwd"],
            IMPOSSIBLE,
            &["/etc/passwd", "executable"],
        ),
        (&["-p", "0"], WRONG_USAGE, &["'0'", "--pid"]),
    ];
    for (args, code, parts) in cases {
        check(&Recorder::new(args).run(), code, parts);
    }
    zombie.wait().unwrap();
}

/// Arguments that make no sense or that this kernel does not allow.
#[test]
fn wrong_usage() {
    let Some(_turn) = shared() else { return };
    let most: u32 = fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let limit = format!("at most {most} Hz");
    let more = (most + 1).to_string();
    let sysctl = format!("kernel.perf_event_max_sample_rate={more}");
    let cases: [(&[&str], &[&str]); 6] = [
        (&[], &["--pid", "--all", "COMMAND"]),
        (&["-a", "-F", &more], &[&limit, &sysctl]),
        (&["-a", "-F", "0"], &["at least 1"]),
        (&["-a", "-d", "5"], &["unit"]),
        (&["-a", "-p", "1"], &["cannot be used with"]),
        (&["-a", "--no-such-option"], &["--no-such-option"]),
    ];
    for (args, parts) in cases {
        check(&Recorder::new(args).run(), WRONG_USAGE, parts);
    }
}

/// A place where no file can be made is refused before anything is sampled.
#[test]
fn output_that_cannot_be() {
    let Some(_turn) = shared() else { return };
    let cases: [(&str, &[&str]); 4] = [
        (
            "/no/such/folder/cpu.pb.gz",
            &["/no/such/folder", "mkdir -p"],
        ),
        ("/proc/cpu.pb.gz", &["/proc", "choose another place"]),
        ("/tmp", &["/tmp is a directory", "-o /tmp/cpu.pb.gz"]),
        ("/dev/full", &["/dev/full", "free some space"]),
    ];
    for (output, parts) in cases {
        let args = ["-v", "-a", "-d", "100ms", "-o", output];
        let recording = Recorder::plain(Path::new(output), args).run();
        check(&recording, IMPOSSIBLE, parts);
        let sampled = recording.stderr.contains("sampling began");
        assert_eq!(sampled, output == "/dev/full", "{}", recording.stderr);
    }
}

/// On a full disk the old file stays, no half of a new one is left, and the remedy is named.
#[test]
fn full_disk() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().to_str().unwrap();
    // A small disk in a mount namespace of its own, which goes with it.
    let script = r#"
        mount -t tmpfs -o size=64k none "$DISK" || { echo cannot mount; exit 0; }
        echo old > "$DISK/cpu.pb.gz"
        dd if=/dev/zero of="$DISK/rest" bs=1k 2>/dev/null
        "$@"; code=$?
        ls -A "$DISK"; cat "$DISK/cpu.pb.gz"
        exit $code"#;
    let path = folder.path().join("cpu.pb.gz");
    let args = [
        "-a",
        "-d",
        "200ms",
        "-F",
        "997",
        "-o",
        path.to_str().unwrap(),
    ];
    let recording = Recorder::plain(&path, args)
        .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
        .env("DISK", disk)
        .run();
    let printed = String::from_utf8(recording.stdout.clone()).unwrap();
    if printed.starts_with("cannot mount") || recording.stderr.contains("unshare failed") {
        skip("a mount namespace of its own cannot be made here");
        return;
    }
    check(
        &recording,
        IMPOSSIBLE,
        &["cpu.pb.gz", "No space left", "free some space"],
    );
    assert_eq!(printed, "cpu.pb.gz\nrest\nold\n");
}

/// A reader that goes away before the profile comes is named as the cause.
#[test]
fn reader_of_the_pipe_is_gone() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let script = r#"{ "$@" 2> "$SAID"; echo $? >> "$SAID"; } | true; sleep 0.1; cat "$SAID" >&2"#;
    let recording = Recorder::plain(Path::new("-"), ["-a", "-d", "500ms", "-o", "-"])
        .wrapped(&["sh", "-c", script, "sh"])
        .env("SAID", &said)
        .run();
    assert!(
        recording.stderr.contains("the reader of the pipe has gone"),
        "{}",
        recording.stderr
    );
    assert!(
        recording.stderr.trim().ends_with('1'),
        "{}",
        recording.stderr
    );
}
