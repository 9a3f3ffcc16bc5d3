//! Continuous profiling when the disk does not play along: nothing half is ever there, and nothing is lost in silence.
//!
//! The file systems are small ones in memory, mounted for the test.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{
    Service, SilentFiles, WindowFile, assert_adjoining, assert_each_sample_once, number_before,
    output, profiler, shared, windows,
};

/// A service with windows of a second.
fn serve(dir: &Path, args: &[&str]) -> Service {
    let usual = ["--window", "1s", "--frequency", "99"];
    Service::start(dir, &[&usual[..], args].concat())
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

/// The names of windows, by time.
fn window_names(dir: &Path) -> Vec<String> {
    let mut names = names(dir);
    names.retain(|name| name.ends_with(".pb.gz"));
    names
}

/// The windows, by time; each is whole and has what its name says.
fn whole_windows(dir: &Path) -> Vec<WindowFile> {
    let windows = windows(dir);
    for window in &windows {
        let samples = window.profile.total_count();
        let ending = format!("s-{samples}.pb.gz");
        assert!(window.name.ends_with(&ending), "{}: {ending}", window.name);
    }
    windows
}

fn size(file: &Path) -> u64 {
    // What has been removed since it was listed takes no room.
    fs::metadata(file).map_or(0, |meta| meta.len())
}

/// What is done to a disk, and undone; meanwhile windows stay in memory, and then all of them are written.
fn check_pause(refuse: impl FnOnce(&Disk), allow: impl FnOnce(&Disk)) {
    let Some(_turn) = shared() else { return };
    let disk = Disk::new("2m");
    let mut service = serve(disk.path(), &[]);
    service.wait_for_windows(2);
    refuse(&disk);
    service.wait_for("writing pauses");
    let before = window_names(disk.path());
    sleep(Duration::from_millis(2500));
    assert_eq!(window_names(disk.path()), before);
    let mut others = names(disk.path());
    others.retain(|name| !name.ends_with(".pb.gz") && name != "ballast");
    assert!(others.is_empty(), "nothing unfinished stays: {others:?}");
    allow(&disk);
    service.wait_for("again");
    let said = service.stop();
    assert_eq!(said.matches("writing pauses").count(), 1, "{said}");
    let after = whole_windows(disk.path());
    assert!(after.len() >= before.len() + 3, "{said}");
    assert_adjoining(&after);
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
        let mut service = serve(&dir, &[]);
        service.wait_for_windows(1);
        // About when the next one is written, a little later each time.
        sleep(Duration::from_millis(985 + 10 * round));
        drop(service);
        whole_windows(&dir);
    }
    let before = window_names(&dir);
    let (newest, older) = before.split_last().unwrap();
    let path = dir.join(newest);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(size(&path) / 2).unwrap();
    fs::write(dir.join(".window-crash.tmp"), "half a window").unwrap();
    fs::write(dir.join("notes"), "of somebody").unwrap();
    let mut service = serve(&dir, &[]);
    service.wait_for_windows(1);
    let said = service.stop();
    assert!(said.contains("is damaged and is removed"), "{said}");
    whole_windows(&dir);
    let left = window_names(&dir);
    assert!(
        !left.contains(newest) && left.starts_with(older),
        "{left:#?}"
    );
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
    let mut service = serve(&dir, &[]);
    service.wait_for_windows(3);
    let mut second = Command::new(profiler());
    let second = second.args(["serve", "--dir"]).arg(&dir).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && error.contains("another profiler"),
        "{error}"
    );
    service.stop();
    let first = window_names(&dir);
    // Far more than is allowed, of a year before, so that it does not matter how large windows of now are.
    let year: u32 = first[0][..4].parse().unwrap();
    for number in 10..30 {
        let name = format!("{}0101T000000.0{number}Z-1.000s-1.pb.gz", year - 1);
        fs::write(dir.join(name), vec![0; 64 << 10]).unwrap();
    }
    let most = 512 << 10;
    let limits = ["--retain", "1000d", "--max-size", "512KiB"];
    // It keeps to what is allowed from when it has taken over what was there.
    let service = serve(&dir, &limits);
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        let names = window_names(&dir);
        let all: u64 = names.iter().map(|name| size(&dir.join(name))).sum();
        assert!(all <= most, "{all} of {most}");
    }
    service.stop();
    let last = window_names(&dir);
    let new = last.iter().skip_while(|name| !first.contains(name));
    assert!(new.clone().take(first.len()).eq(&first), "{last:#?}");
    assert!(new.count() > first.len(), "{last:#?}");
}

/// A disk that does not answer holds up nothing but writing: samples, numbers and signals go on. What was counted is written
/// when it answers.
#[test]
fn a_disk_that_hangs() {
    let Some(_turn) = shared() else { return };
    let home = tempfile::tempdir().unwrap();
    let (dir, config) = (home.path().join("windows"), home.path().join("serve.toml"));
    fs::write(&config, "window = \"1s\"\n").unwrap();
    let args = ["-F", "99", "--config", config.to_str().unwrap()];
    let (mut service, client) = Service::listening(&dir, &args);
    service.wait_for_windows(2);
    let disk = SilentFiles::over(&dir);
    service.wait_for("writing takes longer than a window");
    for retain in ["1h", "2h"] {
        fs::write(&config, format!("window = \"1s\"\nretain = \"{retain}\"\n")).unwrap();
        service.signal(Signal::HUP);
        service.wait_for("was read again");
    }
    assert!(client.metric("profiler_queue_depth{of=\"windows\"}") >= 2.0);
    let health = client.ask("/healthz", &[]);
    assert_eq!(health.status, 200, "{}", health.text());
    assert!(
        health.text().contains("wait to be written"),
        "{}",
        health.text()
    );
    drop(disk);
    service.wait_for_windows(3);
    let said = service.stop();
    let windows = whole_windows(&dir);
    assert_each_sample_once(&windows, &said);
    assert_eq!(number_before(&said, " lost;"), 0, "{said}");
    assert_adjoining(&windows);
}
