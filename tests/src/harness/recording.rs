//! A run of the profiler: its arguments, what it says meanwhile, how it ends, and the profile, checked.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Target, profiler};
use crate::check::{CheckedProfile, check_profile};

/// After so long without a word the profiler hangs. No run of the suite takes a quarter of that.
const HANGS: Duration = Duration::from_secs(120);
/// What the profiler says with `-v` when the events are attached.
const SAMPLING: &str = "sampling began";

/// A run of the profiler that is being prepared.
#[derive(Debug)]
pub(crate) struct Recorder {
    command: Command,
    folder: TempDir,
    output: PathBuf,
}

impl Recorder {
    /// With these arguments, a file of its own for the profile, and messages as JSON.
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("cpu.pb.gz");
        let mut recorder = Self::to(output, folder);
        recorder.command.args(["-v", "--log-format", "json"]);
        recorder.command.arg("-o").arg(&recorder.output);
        recorder.command.args(args);
        recorder
    }

    /// With these arguments and no others. `output` is where they say that the profile goes.
    pub(crate) fn plain<A: AsRef<OsStr>>(output: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut recorder = Self::to(output.to_owned(), tempfile::tempdir().unwrap());
        recorder.command.args(args);
        recorder
    }

    /// Run by another program: `wrapper` and its arguments come first.
    pub(crate) fn wrapped(self, wrapper: &[&str]) -> Self {
        let (program, args) = wrapper.split_first().expect("a program");
        let own: Vec<_> = [self.command.get_program()]
            .into_iter()
            .chain(self.command.get_args())
            .map(OsStr::to_owned)
            .collect();
        let args = args.iter().map(OsStr::new);
        self.replaced(program, args.chain(own.iter().map(AsRef::as_ref)))
    }

    /// Another program in place of the profiler, which starts it by itself.
    pub(crate) fn replaced<A: AsRef<OsStr>>(
        mut self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        self.command = Command::new(program);
        self.command.args(args);
        forget_sudo(&mut self.command);
        self
    }

    /// With a variable in the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts the profiler.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let (sender, lines) = channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout
                .read_to_end(&mut bytes)
                .map(|_| bytes)
                .unwrap_or_default()
        });
        Running {
            child,
            lines,
            stdout: Some(stdout),
            said: Vec::new(),
            folder: self.folder,
            output: self.output,
        }
    }

    /// Runs the profiler to its end.
    pub(crate) fn run(self) -> Recording {
        self.start().finish()
    }

    /// Samples a target that waits, from the beginning of its work to its end.
    pub(crate) fn run_over(self, mut target: Target) -> (Recording, super::Report) {
        let running = self.start().sampling();
        target.begin();
        let report = target.finish();
        (running.finish(), report)
    }

    fn to(output: PathBuf, folder: TempDir) -> Self {
        let mut command = Command::new(profiler());
        forget_sudo(&mut command);
        Self {
            command,
            folder,
            output,
        }
    }
}

/// The suite itself may have been started with sudo, which must not matter to what it starts.
fn forget_sudo(command: &mut Command) {
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
        command.env_remove(name);
    }
}

/// The profiler at work; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    said: Vec<String>,
    folder: TempDir,
    output: PathBuf,
}

impl Running {
    /// Process id of the profiler.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until samples are taken.
    pub(crate) fn sampling(mut self) -> Self {
        while !self.said.last().is_some_and(|line| line.contains(SAMPLING)) {
            let Some(line) = self.next_line() else {
                panic!("it ended before it sampled:\n{}", self.said.join("\n"));
            };
            self.said.push(line);
        }
        self
    }

    /// Sends the profiler a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the profiler runs");
    }

    /// Waits for the profiler's end and checks what it wrote.
    pub(crate) fn finish(mut self) -> Recording {
        while let Some(line) = self.next_line() {
            self.said.push(line);
        }
        let status = self.child.wait().unwrap();
        let stdout = self.stdout.take().expect("it is joined once");
        let stdout = stdout.join().expect("reading does not panic");
        let summary = self
            .said
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|message| message["message"] == "summary");
        let bytes = if self.output == Path::new("-") {
            Some(stdout.clone()).filter(|bytes| !bytes.is_empty())
        } else {
            // A device that was written to has nothing to give back.
            let is_file = fs::metadata(&self.output).is_ok_and(|meta| meta.is_file());
            is_file.then(|| fs::read(&self.output).unwrap())
        };
        Recording {
            status,
            stderr: std::mem::take(&mut self.said).join("\n"),
            stdout,
            summary,
            bytes,
            path: self.output.clone(),
            _folder: std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()),
        }
    }

    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(HANGS) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                panic!("the profiler hangs; it said:\n{}", self.said.join("\n"))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of the profiler that has ended.
#[derive(Debug)]
pub(crate) struct Recording {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it said.
    pub(crate) stderr: String,
    /// What it and a command that it started printed.
    pub(crate) stdout: Vec<u8>,
    /// The summary, when it was written as JSON.
    pub(crate) summary: Option<Value>,
    /// The profile, when there is one.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Where the profile is.
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Recording {
    /// The profile, which must have been written without trouble and keep all rules.
    pub(crate) fn profile(&self) -> CheckedProfile {
        assert_eq!(self.status.code(), Some(0), "{}", self.stderr);
        self.profile_without_samples()
    }

    /// The same, when it may be that there were no samples.
    pub(crate) fn profile_without_samples(&self) -> CheckedProfile {
        let bytes = self.bytes.as_ref();
        let bytes = bytes.unwrap_or_else(|| panic!("no profile:\n{}", self.stderr));
        check_profile(bytes).unwrap_or_else(|violations| {
            let kept = std::env::temp_dir().join("profile-that-breaks-rules.pb.gz");
            let _ = fs::write(&kept, bytes);
            let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
            panic!(
                "{} breaks rules:\n{}",
                kept.display(),
                violations.join("\n")
            )
        })
    }

    /// The summary.
    pub(crate) fn summary(&self) -> &Value {
        let summary = self.summary.as_ref();
        summary.unwrap_or_else(|| panic!("no summary:\n{}", self.stderr))
    }

    /// The comments in the profile.
    pub(crate) fn comments(&self) -> Vec<String> {
        let profile = self.profile();
        let comments = profile.message().comment.iter();
        comments
            .map(|&index| profile.string(index).to_owned())
            .collect()
    }
}
