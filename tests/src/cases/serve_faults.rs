//! Continuous profiling when the disk does not play along: nothing half is ever there, and nothing is lost in silence.
//!
//! The file systems are small ones in memory, mounted for the test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use profiler::pprof::proto;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{output, profiler, shared};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// `profiler serve` at work; killed when this is dropped.
struct Serve {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Serve {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(profiler());
        command.args(["serve", "--window", "1s", "--frequency", "99", "--dir"]);
        command
            .arg(dir)
            .args(["--listen", "127.0.0.1:0"])
            .args(args);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said `words`.
    fn wait_for(&self, words: &str) {
        let is_said = || self.said().contains(words);
        wait(&format!("`{words}`"), is_said, || self.said());
    }

    /// Waits until `dir` has more than `count` windows.
    fn wait_for_windows(&self, dir: &Path, count: usize) {
        let are_there = || windows(dir).len() > count;
        wait(&format!("more than {count} windows"), are_there, || {
            self.said()
        });
    }

    /// Stops it as a person or systemd does, and gives back what it said.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(what: &str, is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < end,
            "waited for {what} in vain:\n{}",
            otherwise()
        );
        sleep(Duration::from_millis(10));
    }
}

/// A file system in memory; unmounted when this is dropped.
struct Disk(TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={size}"));
        disk
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        output(mount.arg(self.path()));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let _ = unmount.arg("--lazy").arg(self.path()).status();
    }
}

/// All names in the directory.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The windows, by time.
fn windows(dir: &Path) -> Vec<PathBuf> {
    let names = names(dir).into_iter();
    let windows = names.filter(|name| name.ends_with(".pb.gz"));
    windows.map(|name| dir.join(name)).collect()
}

fn size(file: &Path) -> u64 {
    // What has been removed since it was listed takes no room.
    fs::metadata(file).map_or(0, |meta| meta.len())
}

/// Beginning and end of a window, which has to be whole, in nanoseconds.
fn span(window: &Path) -> [i64; 2] {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(fs::File::open(window).unwrap()).read_to_end(&mut bytes);
    assert!(read.is_ok(), "{}: {read:?}", window.display());
    let message = proto::Profile::decode(&*bytes).unwrap();
    let samples: i64 = message.sample.iter().map(|sample| sample.value[0]).sum();
    let name = window.file_name().unwrap().to_str().unwrap();
    assert!(
        name.ends_with(&format!("s-{samples}.pb.gz")),
        "{name}: {samples} samples"
    );
    [
        message.time_nanos,
        message.time_nanos + message.duration_nanos,
    ]
}

/// Every window is whole, and each begins where the one before has ended.
fn assert_without_gaps(windows: &[PathBuf]) {
    let spans: Vec<_> = windows.iter().map(|window| span(window)).collect();
    for pair in spans.windows(2) {
        let gap = pair[1][0] - pair[0][1];
        assert!(
            gap.abs() < 50_000_000,
            "{gap} ns between windows: {windows:#?}"
        );
    }
}

/// What is done to a disk, and undone; meanwhile windows stay in memory, and then all of them are written.
fn check_pause(refuse: impl FnOnce(&Disk), allow: impl FnOnce(&Disk)) {
    let Some(_turn) = shared() else { return };
    let disk = Disk::new("2m");
    let serve = Serve::start(disk.path(), &[]);
    serve.wait_for_windows(disk.path(), 1);
    refuse(&disk);
    serve.wait_for("writing pauses");
    let before = windows(disk.path());
    sleep(Duration::from_millis(2500));
    assert_eq!(windows(disk.path()), before);
    let said = serve.said();
    assert_eq!(said.matches("writing pauses").count(), 1, "{said}");
    let mut others = names(disk.path());
    others.retain(|name| !name.ends_with(".pb.gz") && name != "ballast");
    assert!(others.is_empty(), "nothing unfinished stays: {others:?}");
    allow(&disk);
    serve.wait_for("again");
    let said = serve.stop();
    let after = windows(disk.path());
    assert!(after.len() >= before.len() + 3, "{said}");
    assert_without_gaps(&after);
}

/// 0 bytes free.
#[test]
fn a_full_disk_pauses_writing() {
    check_pause(
        |disk| {
            let filled = fs::write(disk.path().join("ballast"), vec![0; 4 << 20]);
            assert!(filled.is_err(), "there is room left");
        },
        |disk| fs::remove_file(disk.path().join("ballast")).unwrap(),
    );
}

/// Mounted read-only, as the kernel does after errors.
#[test]
fn a_read_only_disk_pauses_writing() {
    check_pause(
        |disk| disk.mount("remount,ro"),
        |disk| disk.mount("remount,rw"),
    );
}

/// Killed about when it writes, what is there under the name of a window is whole. A restart removes the rest, and a newest
/// file that a power cut has shortened, leaves what is of others, and goes on.
#[test]
fn killed_and_cut() {
    let Some(_turn) = shared() else { return };
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("windows");
    for round in 0..4 {
        let serve = Serve::start(&dir, &[]);
        serve.wait_for_windows(&dir, windows(&dir).len());
        // About when the next one is written, a little later each time.
        sleep(Duration::from_millis(985 + 10 * round));
        drop(serve);
        for window in windows(&dir) {
            span(&window);
        }
    }
    let whole = windows(&dir);
    let newest = whole.last().unwrap();
    let file = fs::OpenOptions::new().write(true).open(newest).unwrap();
    file.set_len(size(newest) / 2).unwrap();
    fs::write(dir.join(".window-crash.tmp"), "half a window").unwrap();
    fs::write(dir.join("notes"), "of somebody").unwrap();
    let serve = Serve::start(&dir, &[]);
    serve.wait_for("is damaged and is removed");
    serve.wait_for_windows(&dir, whole.len());
    serve.stop();
    let left = windows(&dir);
    assert!(
        !left.contains(newest) && left.starts_with(&whole[..whole.len() - 1]),
        "{left:#?}"
    );
    for window in &left {
        span(window);
    }
    let mut others = names(&dir);
    others.retain(|name| !name.ends_with(".pb.gz"));
    assert_eq!(others, ["notes"]);
}

/// Never more bytes than allowed, at any moment, and the newest stay; a second profiler is refused.
#[test]
fn no_more_than_allowed() {
    let Some(_turn) = shared() else { return };
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("windows");
    let serve = Serve::start(&dir, &[]);
    serve.wait_for_windows(&dir, 2);
    let mut second = Command::new(profiler());
    let second = second.args(["serve", "--dir"]).arg(&dir).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && error.contains("another profiler"),
        "{error}"
    );
    serve.stop();
    let first = windows(&dir);
    let most = 3 * first.iter().map(|window| size(window)).max().unwrap();
    let serve = Serve::start(&dir, &["--max-size", &format!("{most}B")]);
    // It keeps to what is allowed from when it has taken over what was there.
    serve.wait_for("sampling all processes");
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        let all: u64 = windows(&dir).iter().map(|window| size(window)).sum();
        assert!(all <= most, "{all} of {most}");
    }
    serve.stop();
    let last = windows(&dir);
    assert!(
        !last.is_empty() && !last.contains(&first[0]),
        "{first:#?}\n{last:#?}"
    );
}
