//! `profiler serve`: windows that adjoin, lose nothing and repeat nothing, whatever happens to the machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Service, Target, WindowFile, alone, assert_adjoining, assert_each_sample_once, copy_program,
    count_of, fixture, shared, skip, windows,
};

/// What the kernel side tried is in the windows together, each sample once, but for what was lost and told. Windows adjoin
/// to the nanosecond, and each is valid by itself.
#[test]
fn windows_have_each_sample_once() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::spinning("threads-fp");
    let mut service = Service::start(folder.path(), &["--window", "1s", "-F", "499"]);
    service.wait_for_windows(3);
    let said = service.stop();
    drop(target);
    let windows = windows(folder.path());
    assert!(windows.len() >= 4, "{said}");
    let sum = assert_each_sample_once(&windows, &said);
    assert!(sum > 1000, "{said}");
    assert_adjoining(&windows);
}

/// Names and build-ids are in later windows too, though the file has gone, and in the last one, though the process has.
#[test]
fn names_stay_when_file_and_process_go() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("short-lived");
    copy_program(&fixture("threads-fp"), &program);
    let target = Target::spawn(&program, &[]);
    let pid = target.pid;
    let dir = folder.path().join("windows");
    let mut service = Service::start(&dir, &["--window", "1s", "-F", "199"]);
    service.wait_for_windows(1);
    fs::remove_file(&program).unwrap();
    service.wait_for_windows(2);
    drop(target);
    let said = service.stop();
    let with: Vec<WindowFile> = windows(&dir)
        .into_iter()
        .filter(|window| count_of(&window.profile, "pid", &pid.to_string()) > 0)
        .collect();
    assert!(with.len() >= 3, "{said}");
    for window in &with {
        let message = window.profile.message();
        let mapping = message.mapping.iter().find(|mapping| {
            window
                .profile
                .string(mapping.filename)
                .contains("short-lived")
        });
        let mapping = mapping.unwrap_or_else(|| panic!("no mapping in {}", window.name));
        assert_ne!(
            window.profile.string(mapping.build_id),
            "",
            "{}",
            window.name
        );
        let samples = window.profile.samples();
        let own = samples
            .iter()
            .flat_map(|sample| &sample.stack)
            .filter(|frame| {
                let file = frame.file.as_deref();
                file.is_some_and(|file| file.contains("short-lived"))
            });
        for frame in own {
            assert!(!frame.functions.is_empty(), "{}: {frame:?}", window.name);
        }
    }
}

/// With --split exe there is a file for each program, and it has samples of no other.
#[test]
fn split_by_program() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::spinning("threads-fp");
    let mut service = Service::start(
        folder.path(),
        &["--window", "1s", "--split", "exe", "-F", "99"],
    );
    service.wait_for_windows(2);
    service.stop();
    let (own, other): (Vec<WindowFile>, Vec<WindowFile>) = windows(folder.path())
        .into_iter()
        .partition(|window| window.name.contains("-threads-fp"));
    assert!(!own.is_empty());
    assert!(!other.is_empty());
    let count = |window: &WindowFile| count_of(&window.profile, "pid", &target.pid.to_string());
    assert!(own.iter().all(|window| count(window) > 0));
    assert!(other.iter().all(|window| count(window) == 0));
}

/// Killed in the middle of a window, and started again: it finds what there is, leaves nothing unfinished, and goes on.
#[test]
fn goes_on_after_a_kill() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let args = ["--window", "1s"];
    let mut service = Service::start(folder.path(), &args);
    service.wait_for_windows(1);
    std::thread::sleep(Duration::from_millis(500));
    service.signal(Signal::KILL);
    service.end();
    let before: Vec<String> = windows(folder.path())
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert!(!before.is_empty());
    let mut service = Service::start(folder.path(), &args);
    service.wait_for_windows(1);
    let said = service.stop();
    let after: Vec<String> = windows(folder.path())
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert!(after.len() > before.len(), "{said}");
    assert!(after.starts_with(&before), "{before:?} {after:?}");
}

/// The directory is made again when somebody removes it, and that is said.
#[test]
fn directory_removed_under_it() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("windows");
    let mut service = Service::start(&dir, &["--window", "1s"]);
    service.wait_for_windows(1);
    fs::remove_dir_all(&dir).unwrap();
    service.wait_for("was removed or replaced");
    service.wait_for_windows(1);
    service.stop();
    assert!(!windows(&dir).is_empty());
}

/// Stopped for the time of some windows, as by a suspend: one window is longer, and they adjoin.
#[test]
fn held_up_for_some_windows() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path(), &["--window", "1s"]);
    service.wait_for_windows(1);
    service.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    service.signal(Signal::CONT);
    service.wait_for_windows(2);
    service.stop();
    let windows = windows(folder.path());
    assert_adjoining(&windows);
    let longest = windows
        .iter()
        .map(|window| window.time().1 - window.time().0)
        .max();
    assert!(longest > Some(2_500_000_000), "{longest:?}");
}

/// SIGHUP has the file read again: what can hold at once does, what cannot is named, what makes no sense changes nothing.
#[test]
fn configuration_is_read_again() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, dir) = (
        folder.path().join("serve.toml"),
        folder.path().join("windows"),
    );
    fs::write(&file, "window = \"1h\"\n").unwrap();
    let mut service = Service::start(&dir, &["--config", file.to_str().unwrap()]);
    fs::write(&file, "window = \"soon\"\n").unwrap();
    service.signal(Signal::HUP);
    service.wait_for("what was configured before holds");
    fs::write(&file, "window = \"1s\"\nfrequency = 99\n").unwrap();
    service.signal(Signal::HUP);
    service.wait_for("frequency other than before");
    service.wait_for_windows(2);
    service.stop();
}

/// CPU 1 off and on again as long as this lives.
struct Cpu1;

impl Cpu1 {
    const FILE: &str = "/sys/devices/system/cpu/cpu1/online";

    fn set(on: bool) -> std::io::Result<()> {
        fs::write(Self::FILE, if on { "1" } else { "0" })
    }
}

impl Drop for Cpu1 {
    fn drop(&mut self) {
        let _ = Self::set(true);
    }
}

/// A CPU that goes disturbs nothing, and one that comes is sampled.
#[test]
fn cpus_come_and_go() {
    let Some(_turn) = alone() else { return };
    let cpu = Cpu1;
    if let Err(error) = Cpu1::set(false) {
        skip(&format!("CPU 1 cannot be taken off: {error}"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let args = ["--window", "1s", "-F", "199", "--labels", "pid,cpu"];
    let mut service = Service::start(folder.path(), &args);
    // A CPU that has just come may be given nothing to do for seconds, and one that goes takes the wish to be on it along.
    let busy_there = || {
        let program = fixture("spin-fp");
        Target::spawn(
            Path::new("/usr/bin/taskset"),
            &["-c", "1", program.to_str().unwrap()],
        )
    };
    service.wait_for_windows(1);
    for _ in 0..2 {
        Cpu1::set(true).unwrap();
        let _target = busy_there();
        service.wait_for("that have come: [1]");
        service.wait_for_windows(2);
        let all = windows(folder.path());
        let last = all.last().unwrap();
        let samples = last.profile.samples();
        let on_it = samples.iter().filter(|sample| sample.labels["cpu"] == "1");
        let count: i64 = on_it.map(|sample| sample.count).sum();
        assert!(count > 50, "{count} samples of CPU 1 in {}", last.name);
        Cpu1::set(false).unwrap();
        service.wait_for("CPUs that have gone: [1]");
        service.wait_for_windows(1);
    }
    // Away for so short a time that the profiler, which is held up, sees it neither go nor come.
    Cpu1::set(true).unwrap();
    service.wait_for("that have come: [1]");
    service.signal(Signal::STOP);
    Cpu1::set(false).unwrap();
    Cpu1::set(true).unwrap();
    service.signal(Signal::CONT);
    service.wait_for("CPUs that have gone: [1], that have come: [1]");
    service.stop();
    drop(cpu);
}
