//! Programs in namespaces of their own, and the profiler in one.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Recorder, Stacks, build_id, copy_program, fixture, output, shared, skip};

/// A program that was started by others and spins; killed with all of them when this is dropped.
struct Contained {
    unshare: Child,
    /// The id of the program as the tests see it.
    pid: u32,
    /// The id that it has in its own namespace, as it says itself.
    inner: u32,
}

impl Contained {
    /// Starts a fixture by `unshare` with these options; `None` where that cannot be done.
    fn spinning(options: &[&str], command: &[&str]) -> Option<Self> {
        let mut unshare = Command::new("unshare")
            .args(options)
            .args(["--kill-child", "--"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(unshare.stdout.take()?)
            .read_line(&mut line)
            .ok()?;
        let Some(inner) = line.trim().strip_prefix("ready ") else {
            let _ = unshare.kill();
            let _ = unshare.wait();
            skip(&format!("unshare {options:?} cannot be done here"));
            return None;
        };
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let children = fs::read_to_string(children).unwrap();
        let pid = children.split_whitespace().next();
        Some(Self {
            // Without --fork it has become the program itself.
            pid: pid.map_or(unshare.id(), |pid| pid.parse().unwrap()),
            inner: inner.parse().unwrap(),
            unshare,
        })
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// What a shell does to have another root, as container runtimes do it: the mount of the old one is at `/old`.
fn into(root: &str) -> String {
    format!("mount --rbind {root} {root} && cd {root} && pivot_root . old && cd /")
}

/// A folder that can be the root of a program: a fixture that needs no library, and places to mount things at.
fn root_with(program: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["proc", "sys", "dev", "tmp", "app", "old"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    copy_program(&fixture(program), &root.path().join("app/server"));
    root
}

/// A program in a pid and a user namespace of its own has the id that was typed, and its own on request.
#[test]
fn target_in_a_deeper_namespace() {
    let Some(_turn) = shared() else { return };
    let program = fixture("spin-fp").to_str().unwrap().to_owned();
    let options = ["--user", "--map-root-user", "--pid", "--fork"];
    let Some(target) = Contained::spinning(&options, &[&program]) else {
        return;
    };
    assert_eq!(target.inner, 1);
    let pid = target.pid.to_string();
    let labels = ["--labels", "pid,host_pid,ns_pid"];
    let args = ["-p", &pid, "-F", "997", "-d", "400ms"];
    let recording = Recorder::new(args.iter().chain(&labels)).run();
    let all = Stacks::of(&recording.profile());
    assert_eq!(all.values("pid"), [pid]);
    assert_eq!(all.values("host_pid"), Vec::<String>::new());
    assert_eq!(all.values("ns_pid"), ["1"]);
    all.calling(&["leaf", "middle"])
        .assert_share(&all, 0.8, "named");
}

/// The files of a program in a mount namespace with a root of its own are its own, not those at the same path here.
#[test]
fn target_with_a_root_of_its_own() {
    let Some(_turn) = shared() else { return };
    let root = root_with("spin-static-fp");
    let path = root.path().to_str().unwrap();
    let options = ["--mount", "--pid", "--fork"];
    let script = format!("{} && exec /app/server", into(path));
    let Some(target) = Contained::spinning(&options, &["sh", "-c", &script]) else {
        return;
    };
    assert!(!Path::new("/app/server").exists());
    let pid = target.pid.to_string();
    let recording = Recorder::new(["-p", &pid, "-F", "997", "-d", "400ms"]).run();
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    all.through("/app/server")
        .assert_share(&all, 0.95, "as it sees its own file");
    all.calling(&["leaf", "middle"])
        .assert_share(&all, 0.8, "named");
    let mapping = profile.mapping("/app/server").unwrap();
    assert_eq!(
        Some(profile.string(mapping.build_id)),
        build_id(&fixture("spin-static-fp")).as_deref()
    );
}

/// Runs `script` with the profiler and its arguments as `"$@"`, in a pid namespace with a `/proc` of its own.
fn in_pid_namespace(args: &[&str], script: &str) -> Recorder {
    Recorder::new(args).wrapped(&[
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        script,
        "sh",
    ])
}

/// In a pid namespace the ids are those of the namespace, for programs in it and in namespaces below it, and the ids of
/// the host stand beside them; what is outside of it is not there.
#[test]
fn profiler_in_a_pid_namespace() {
    let Some(_turn) = shared() else { return };
    let spin = fixture("spin-fp").to_str().unwrap().to_owned();
    let script = format!(
        r#"{spin} 9 > /dev/null & one=$!
        unshare --pid --fork --kill-child {spin} 9 > /dev/null & two=$!
        while ! below=$(cat /proc/$two/task/$two/children) || [ -z "$below" ]; do :; done
        echo $one $below
        "$@"; code=$?
        kill $one $two
        exit $code"#
    );
    let outside = crate::harness::Target::spinning("threads-fp");
    let args = ["-a", "-F", "997", "-d", "800ms"];
    let recording = in_pid_namespace(&args, &script).run();
    outside.stop();
    if recording.stderr.contains("unshare failed") {
        skip("a pid namespace of its own cannot be made here");
        return;
    }
    let printed = String::from_utf8(recording.stdout.clone()).unwrap();
    let mut expected: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(expected.len(), 2, "{printed}");
    expected.sort_unstable();
    let all = Stacks::of(&recording.profile());
    let spins = all.labelled("comm", "spin-fp");
    assert_eq!(spins.values("pid"), expected, "{}", all.text());
    assert_eq!(spins.values("tid"), expected);
    // Two others, which are ids of this namespace.
    let on_host = spins.values("host_pid");
    assert_eq!(on_host.len(), 2, "{on_host:?}");
    assert!(on_host.iter().all(|pid| !expected.contains(&pid.as_str())));
    spins
        .calling(&["leaf", "middle"])
        .assert_share(&spins, 0.8, "named");
    assert_eq!(
        all.labelled("comm", "threads-fp").count(),
        0,
        "{}",
        all.text()
    );
    assert!(
        recording
            .comments()
            .iter()
            .any(|comment| comment.contains("pid namespace of its own")),
        "{:?}",
        recording.comments()
    );
}

/// There, too, a process can be chosen by its id, and a command with its children is followed from the fork on.
#[test]
fn processes_and_commands_in_a_pid_namespace() {
    let Some(_turn) = shared() else { return };
    let spin = fixture("spin-fp").to_str().unwrap().to_owned();
    let script = format!(
        r#"{spin} 9 > /dev/null & one=$!; echo $one
        "$@" --pid $one; code=$?
        kill $one; exit $code"#
    );
    let recording = in_pid_namespace(&["-F", "997", "-d", "400ms"], &script).run();
    if recording.stderr.contains("unshare failed") {
        skip("a pid namespace of its own cannot be made here");
        return;
    }
    let all = Stacks::of(&recording.profile());
    let printed = String::from_utf8_lossy(&recording.stdout).trim().to_owned();
    assert_eq!(all.values("pid"), [printed]);
    assert_eq!(all.values("host_pid").len(), 1);
    all.calling(&["leaf", "middle"])
        .assert_share(&all, 0.8, "named");

    let command = format!("{spin} 0.3 & {spin} 0.3; wait");
    let args = ["-F", "997", "--", "sh", "-c", &command];
    let recording = in_pid_namespace(&args, r#""$@""#).run();
    let spins = Stacks::of(&recording.profile()).labelled("comm", "spin-fp");
    assert_eq!(spins.values("pid").len(), 2, "{}", spins.text());
    assert!(spins.nanoseconds() > 500_000_000, "{}", spins.text());
    spins
        .calling(&["leaf", "middle"])
        .assert_share(&spins, 0.7, "named");
}

/// With a `/proc` of another namespace an id would mean two processes; that is refused with the remedy.
#[test]
fn proc_of_another_namespace() {
    let Some(_turn) = shared() else { return };
    let recording = Recorder::new(["-a", "-d", "100ms"])
        .wrapped(&["unshare", "--pid", "--fork"])
        .run();
    if recording.stderr.contains("unshare failed") {
        skip("a pid namespace of its own cannot be made here");
        return;
    }
    assert_eq!(recording.status.code(), Some(1), "{}", recording.stderr);
    for part in ["/proc is not of the pid namespace", "--mount-proc"] {
        assert!(recording.stderr.contains(part), "{}", recording.stderr);
    }
}

/// In something like a container, with a root and a pid namespace of its own, the profiler finds the files of programs
/// in there, and the profile has the paths that are true in there.
#[test]
fn profiler_in_a_container() {
    let Some(_turn) = shared() else { return };
    let root = root_with("spin-static-fp");
    let profiler = crate::harness::profiler();
    copy_program(&profiler, &root.path().join("app/profiler"));
    let libraries = output(Command::new("ldd").arg(&profiler));
    let shell = Path::new("/bin/sh").canonicalize().unwrap();
    let of_shell = output(Command::new("ldd").arg(&shell));
    for library in libraries.lines().chain(of_shell.lines()) {
        let Some(path) = library
            .split_whitespace()
            .find(|word| word.starts_with('/'))
        else {
            continue;
        };
        let copy = root.path().join(&path[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        copy_program(Path::new(path), &copy);
    }
    copy_program(&shell, &root.path().join("app/sh"));
    // The mounts belong to the namespace and go with it.
    let place = root.path().display();
    let script = format!(
        r#"for kind in sys dev; do mount --rbind /$kind {place}/$kind || exit; done
        mount -t proc proc {place}/proc || exit
        {} && exec /app/sh -c '
            /app/server 9 > /dev/null & one=$!
            /app/profiler --pid $one -F 997 -d 400ms -o /tmp/cpu.pb.gz; code=$?
            kill $one; exit $code'"#,
        into(&place.to_string())
    );
    let path = root.path().join("tmp/cpu.pb.gz");
    let recording = Recorder::plain(&path, [""; 0])
        .wrapped(&[
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            &script,
        ])
        .run();
    if recording.stderr.contains("mount: ") || recording.stderr.contains("unshare failed") {
        skip("a container cannot be made here");
        return;
    }
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    all.through("/app/server")
        .assert_share(&all, 0.95, "its file");
    all.calling(&["leaf", "middle"])
        .assert_share(&all, 0.8, "named");
    assert_eq!(all.values("pid").len(), 1);
    assert_ne!(all.values("host_pid"), all.values("pid"));
    let mapping = profile.mapping("/app/server").unwrap();
    assert_eq!(
        Some(profile.string(mapping.build_id)),
        build_id(&fixture("spin-static-fp")).as_deref()
    );
}
