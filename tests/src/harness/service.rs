//! A run of `profiler serve`: what it says, how it ends, and the windows that it has written, checked.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, profiler};
use crate::check::{CheckedProfile, check_profile};

/// After so long without what a test waits for, it never comes.
const HANGS: Duration = Duration::from_secs(60);

/// A window on disk.
#[derive(Debug)]
pub(crate) struct WindowFile {
    /// File name.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) profile: CheckedProfile,
}

impl WindowFile {
    /// When it began and ended, in nanoseconds since 1970.
    pub(crate) fn time(&self) -> (i64, i64) {
        let message = self.profile.message();
        let (time, duration) = (message.time_nanos, message.duration_nanos);
        (time, time + duration)
    }
}

/// All windows of a directory by name; each has to keep the rules by itself.
pub(crate) fn windows(dir: &Path) -> Vec<WindowFile> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".pb.gz"));
    paths.sort();
    let files = paths.iter().map(|path| WindowFile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        profile: check_profile(&fs::read(path).unwrap())
            .unwrap_or_else(|violations| panic!("{}: {violations:?}", path.display())),
    });
    files.collect()
}

/// Each begins where the one before has ended, to the nanosecond.
pub(crate) fn assert_adjoining(windows: &[WindowFile]) {
    for pair in windows.windows(2) {
        assert_eq!(pair[0].time().1, pair[1].time().0, "{}", pair[1].name);
    }
}

/// They have every sample that the kernel side tried but for those that were lost, by what the service said at its end, once.
/// Returns how many they have.
pub(crate) fn assert_each_sample_once(windows: &[WindowFile], said: &str) -> i64 {
    let counts = windows.iter().map(|window| window.profile.total_count());
    let sum = counts.sum();
    let tried = number_before(said, " samples tried");
    assert_eq!(sum, tried - number_before(said, " lost;"), "{said}");
    sum
}

/// The number in front of these words.
pub(crate) fn number_before(text: &str, words: &str) -> i64 {
    let (before, _) = text
        .split_once(words)
        .unwrap_or_else(|| panic!("no {words:?} in {text}"));
    let number = before.rsplit([' ', '\n']).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// How many samples a profile has with this value of a label.
pub(crate) fn count_of(profile: &CheckedProfile, label: &str, value: &str) -> i64 {
    let samples = profile.samples();
    let samples = samples
        .iter()
        .filter(|sample| sample.labels.get(label).is_some_and(|text| text == value));
    samples.map(|sample| sample.count).sum()
}

/// A running service; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Service {
    /// Starts it with these arguments and waits until it samples.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let mut service = Self::spawn(dir, args);
        service.wait_for("sampling all processes");
        service
    }

    /// Starts it with these arguments, waits until it listens, and connects to it.
    pub(crate) fn listening(dir: &Path, args: &[&str]) -> (Self, Client) {
        let mut service = Self::spawn(dir, args);
        let line = service.wait_for("listening on http://");
        let (_, address) = line.split_once("http://").expect("waited for it");
        (service, Client::new(address.trim()))
    }

    /// Starts it with these arguments. Unless they say where it listens, it does so on a port that nobody else has.
    pub(crate) fn spawn(dir: &Path, args: &[&str]) -> Self {
        let is_told = args.contains(&"--listen");
        let listen: &[&str] = if is_told {
            &[]
        } else {
            &["--listen", "127.0.0.1:0"]
        };
        let mut child = Command::new(profiler())
            .args(["serve", "-v", "--dir"])
            .arg(dir)
            .args(listen)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says something with these words, and returns that line.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(HANGS) else {
                panic!("never said {words:?}, but:\n{}", self.said);
            };
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until it has written so many more windows.
    pub(crate) fn wait_for_windows(&mut self, count: usize) {
        for _ in 0..count {
            self.wait_for("samples written in");
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).unwrap();
    }

    /// Waits until it has ended; returns how, and all that it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(begun.elapsed() < HANGS, "does not end:\n{}", self.said),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        while let Ok(line) = self.lines.recv() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        (status, std::mem::take(&mut self.said))
    }

    /// Has it end as systemd does; it must write the last window and exit with 0. Returns all that it said.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.end();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
