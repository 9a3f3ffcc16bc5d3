//! A target program that runs: started, ready, working, stopped. Their protocol is in `tests/programs/target.h`.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Report, fixture};

/// A running target program; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// The file that it was started from.
    pub(crate) path: PathBuf,
    /// Its process id, as it says itself.
    pub(crate) pid: u32,
}

impl Target {
    /// Starts a fixture, which works until it is stopped.
    pub(crate) fn spinning(name: &str) -> Self {
        Self::spawn(&fixture(name), &[])
    }

    /// Starts a fixture that waits for [`begin`](Self::begin) and then uses so many seconds of CPU time.
    pub(crate) fn waiting(name: &str, seconds: &str) -> Self {
        Self::spawn(&fixture(name), &["--wait", seconds])
    }

    /// Starts a program and waits until it is ready.
    pub(crate) fn spawn(path: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(path)
            .args(args.iter().map(OsStr::new))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let pid = line.trim().strip_prefix("ready ");
        let pid = pid.unwrap_or_else(|| panic!("{} is not ready: {line:?}", path.display()));
        Self {
            pid: pid.parse().expect("ready PID"),
            stdin: child.stdin.take(),
            stdout,
            path: path.to_owned(),
            child,
        }
    }

    /// The next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Lets a target that waits begin its work.
    pub(crate) fn begin(&mut self) {
        let mut stdin = self.stdin.as_ref().expect("the target runs");
        stdin.write_all(b"\n").expect("the target reads");
    }

    /// Waits until the target has done its work, and returns its account.
    pub(crate) fn finish(mut self) -> Report {
        self.account()
    }

    /// Tells the target to end, and returns its account.
    pub(crate) fn stop(mut self) -> Report {
        self.stdin = None;
        self.account()
    }

    /// The ids of its threads.
    pub(crate) fn threads(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        tasks
            .map(|task| task.unwrap().file_name())
            .map(|tid| tid.to_str().unwrap().parse().unwrap())
            .collect()
    }

    fn account(&mut self) -> Report {
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}", self.path.display());
        Report::find(&printed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Both fail after it has ended by itself, and that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
