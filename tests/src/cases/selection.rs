//! Whose samples are taken: by process, thread, name and control group.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::harness::{
    Cgroup, Recorder, Recording, Stacks, Target, copy_program, enter, fixture, shared, skip,
};

/// Programs that spin until they are killed; killed when this is dropped.
struct Spinning(Child);

impl Spinning {
    fn shell(script: &str) -> Self {
        let child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn profile_of(recording: &Recording) -> Stacks {
    Stacks::of(&recording.profile())
}

/// The id of the thread with this name.
fn thread(target: &Target, name: &str) -> u32 {
    loop {
        for tid in target.threads() {
            let comm = format!("/proc/{}/task/{tid}/comm", target.pid);
            if fs::read_to_string(comm).is_ok_and(|comm| comm.trim() == name) {
                return tid;
            }
        }
        std::thread::yield_now();
    }
}

/// A thread that is started while its process is being profiled is there from its beginning.
#[test]
fn threads_started_later() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("threads-fp", "1");
    let pid = target.pid.to_string();
    assert_eq!(
        target.threads(),
        [target.pid],
        "it starts them when it begins"
    );
    let (recording, report) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = profile_of(&recording);
    for name in ["alpha", "beta", "gamma"] {
        let own = all.labelled("thread", name);
        let (found, used) = (own.nanoseconds() as f64, report.phases[name] as f64);
        assert!(found > 0.8 * used, "{name}: {found} of {used} ns");
    }
}

/// With `--tid` there are the threads asked for and no others, under the name of their process; and the recording ends
/// with them.
#[test]
fn single_threads() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("threads-fp");
    let (alpha, gamma) = (thread(&target, "alpha"), thread(&target, "gamma"));
    let tids = format!("{alpha},{gamma}");
    let recording = Recorder::new(["--tid", &tids, "-F", "997"])
        .start()
        .sampling();
    std::thread::sleep(std::time::Duration::from_millis(700));
    target.stop();
    let recording = recording.finish();
    assert_eq!(recording.summary()["ended"], "targets-gone");
    let all = profile_of(&recording);
    let mut expected = [alpha.to_string(), gamma.to_string()];
    expected.sort_unstable();
    assert_eq!(all.values("tid"), expected);
    assert_eq!(all.values("thread"), ["alpha", "gamma"]);
    assert_eq!(all.values("comm"), ["threads-fp"]);
    all.calling(&["alpha_work", "run"]).assert_share(
        &all.labelled("tid", &alpha.to_string()),
        0.9,
        "alpha",
    );
    assert!(
        recording
            .comments()
            .iter()
            .any(|comment| comment.contains(&tids.replace(',', ", "))),
        "{:?}",
        recording.comments()
    );
}

/// With `--pid`, children are there when they are asked for: those that there are already and those forked later.
#[test]
fn children_of_a_process() {
    let Some(_turn) = shared() else { return };
    let spin = fixture("spin-fp").to_str().unwrap().to_owned();
    // The first child is there when sampling begins; the second is started a while later.
    let script = format!("{spin} 5 & sleep 0.6; {spin} 5 & wait");
    let check = |option: &str, programs: usize| {
        let shell = Spinning::shell(&script);
        let pid = shell.0.id().to_string();
        let children = format!("/proc/{pid}/task/{pid}/children");
        while fs::read_to_string(&children)
            .unwrap()
            .split_whitespace()
            .count()
            < 2
        {
            std::thread::yield_now();
        }
        let recording = Recorder::new(["-p", &pid, option, "-F", "497", "-d", "1300ms"]).run();
        let left = fs::read_to_string(&children).unwrap();
        let all = Stacks::of(&recording.profile_without_samples());
        let spins = all.labelled("comm", "spin-fp");
        assert_eq!(
            spins.values("pid").len(),
            programs,
            "{option}\n{}",
            all.text()
        );
        for child in left.split_whitespace() {
            let _ = Command::new("kill").arg(child).status();
        }
    };
    check("--inherit", 2);
    check("--no-inherit", 0);
}

/// A name selects all threads of a process, whatever they are called, from its first sample on, and follows it when it
/// runs another program.
#[test]
fn by_name() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let wanted = folder.path().join("wanted-program");
    copy_program(&fixture("threads-fp"), &wanted);
    let target = Target::spawn(&wanted, &["--wait", "0.6"]);
    let other = Target::spinning("spin-fp");
    let recorder = Recorder::new(["--comm", "^wanted-", "-F", "997"]);
    let running = recorder.start().sampling();
    let mut target = target;
    target.begin();
    // Named otherwise at first: `sh` is not wanted, what it becomes is.
    let spin = fixture("spin-fp");
    let link = folder.path().join("wanted-later");
    std::os::unix::fs::symlink(spin, &link).unwrap();
    let later = format!("exec {} 0.3", link.display());
    let later = Command::new("sh")
        .args(["-c", &later])
        .stdout(Stdio::null())
        .spawn();
    let mut later = later.unwrap();
    let report = target.finish();
    later.wait().unwrap();
    running.signal(Signal::INT);
    let recording = running.finish();
    other.stop();
    let all = profile_of(&recording);
    assert_eq!(
        all.values("comm"),
        ["wanted-later", "wanted-program"],
        "{}",
        all.text()
    );
    let own = all.labelled("comm", "wanted-program");
    let threads = own.values("thread");
    for name in ["alpha", "beta", "gamma"] {
        assert!(threads.iter().any(|thread| thread == name), "{threads:?}");
    }
    let (found, used) = (own.nanoseconds() as f64, report.total as f64);
    assert!(found > 0.9 * used, "{found} of {used} ns");
    let later_ns = all.labelled("comm", "wanted-later").nanoseconds();
    assert!(later_ns > 240_000_000, "{later_ns} of 0.3 s");
    let summary = recording.summary();
    assert_eq!(summary["samples_tried"], summary["samples"], "{summary:#}");
}

/// Beside ids a name narrows them; a name that nobody has is said to be that, with the names that there were.
#[test]
fn names_beside_ids() {
    let Some(_turn) = shared() else { return };
    let (spin, threads) = (Target::spinning("spin-fp"), Target::spinning("threads-fp"));
    let pids = format!("{},{}", spin.pid, threads.pid);
    let with = |pattern: &str| {
        Recorder::new(["-p", &pids, "--comm", pattern, "-F", "497", "-d", "400ms"]).run()
    };
    let all = profile_of(&with("spin"));
    assert_eq!(all.values("pid"), [spin.pid.to_string()]);
    let nobody = with("^nobody$");
    assert_eq!(nobody.status.code(), Some(3), "{}", nobody.stderr);
    for part in ["matches ^nobody$", "spin-fp, threads-fp"] {
        assert!(nobody.stderr.contains(part), "no {part}: {}", nobody.stderr);
    }
}

/// A control group selects what is in it and below it, also what enters it while sampling goes on, and nothing else.
#[test]
fn by_control_group() {
    let Some(_turn) = shared() else { return };
    let Some(cgroup) = Cgroup::new("selection") else {
        skip("no control groups of version 2 can be made here");
        return;
    };
    let below = cgroup.child("below");
    let targets = [(); 3].map(|()| Target::spinning("spin-fp"));
    let [inside, later, outside] = &targets;
    enter(&below, inside.pid);
    let by_path = cgroup.path_of(cgroup.directory());
    let by_directory = cgroup.directory().to_str().unwrap().to_owned();
    for named in [&by_path, &by_directory] {
        let recorder = Recorder::new(["--cgroup", named, "-F", "997", "-d", "1s"]);
        let running = recorder.start().sampling();
        enter(cgroup.directory(), later.pid);
        let all = profile_of(&running.finish());
        let mut expected = [inside.pid.to_string(), later.pid.to_string()];
        expected.sort_unstable();
        assert_eq!(all.values("pid"), expected, "{}", all.text());
        assert!(!expected.contains(&outside.pid.to_string()));
    }
    targets.into_iter().for_each(|target| drop(target.stop()));
}

/// What cannot be selected is refused with its cause and a remedy.
#[test]
fn refusals() {
    let Some(_turn) = shared() else { return };
    let check = |args: &[&str], code: i32, parts: &[&str]| {
        let recording = Recorder::new(args).run();
        assert_eq!(
            recording.status.code(),
            Some(code),
            "{args:?}: {}",
            recording.stderr
        );
        for part in parts {
            assert!(
                recording.stderr.contains(part),
                "no {part:?}: {}",
                recording.stderr
            );
        }
    };
    check(
        &["--comm", "a("],
        2,
        &["no regular expression", "unclosed group"],
    );
    check(
        &["-a", "--labels", "pod"],
        2,
        &["no label", "pod", "known are pid"],
    );
    check(&["--tid", "4194305"], 1, &["no thread 4194305", "ps -L"]);
    let has_version_2 = fs::read_to_string("/proc/self/mountinfo")
        .is_ok_and(|mounts| mounts.contains(" - cgroup2 "));
    if has_version_2 {
        check(
            &["--cgroup", "no/such/group"],
            1,
            &["no control group no/such/group", "systemd-cgls"],
        );
    } else {
        check(&["--cgroup", "x"], 1, &["no control groups of version 2"]);
    }
    if has_version_2 && Path::new("/sys/fs/cgroup/memory").is_dir() {
        check(&["--cgroup", "/sys/fs/cgroup/memory"], 1, &["version 1"]);
    }
}
