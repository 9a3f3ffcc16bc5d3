//! Core files of real programs, and what the profiler and gdb say of them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::{Setting, Target, output, profiler};

/// Says where the kernel writes core files, for the whole machine.
const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// One test at a time changes it.
static DUMPING: Mutex<()> = Mutex::new(());

/// Runs a command that dies, and returns the core file that the kernel has written into `folder`.
pub(crate) fn kernel_core(folder: &Path, command: &mut Command) -> PathBuf {
    let _turn = DUMPING.lock().unwrap_or_else(PoisonError::into_inner);
    let _pattern = Setting::change(PATTERN, &format!("{}/core.%p", folder.display())).unwrap();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let mut child = limited
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = folder.join(format!("core.{}", child.id()));
    // Targets work until their input ends, and waiting would close it.
    let _input = child.stdin.take();
    let ended = child.wait().unwrap();
    assert!(!ended.success() && path.exists(), "{command:?}: {ended}");
    path
}

/// Has gdb dump a running target, and returns the core file that it has written into `folder`.
pub(crate) fn gdb_core(folder: &Path, target: &Target) -> PathBuf {
    let prefix = folder.join("core");
    let pid = target.pid.to_string();
    output(
        Command::new("gcore")
            .arg("-o")
            .args([prefix.as_os_str(), pid.as_ref()]),
    );
    prefix.with_extension(pid)
}

/// What `profiler core --json` says of a core file.
pub(crate) struct CoreReport {
    pub(crate) document: Value,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl CoreReport {
    /// Runs the profiler with more arguments, which must print a document.
    pub(crate) fn of(core: &Path, args: &[&OsStr]) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = Self::run(core, args);
        let stderr = String::from_utf8(stderr).unwrap();
        let document = serde_json::from_slice(&stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {stderr}", core.display()));
        Self {
            document,
            stderr,
            code: status.code(),
        }
    }

    pub(crate) fn run(core: &Path, args: &[&OsStr]) -> Output {
        Command::new(profiler())
            .arg("core")
            .arg(core)
            .arg("--json")
            .args(args)
            .output()
            .unwrap()
    }

    /// The threads by their ids, in the order of the file, each with the functions of its stack from the innermost on;
    /// what has no name has its file's path.
    pub(crate) fn stacks(&self) -> Vec<(u64, Vec<String>)> {
        let threads = self.document["threads"].as_array().unwrap();
        let stack = |thread: &Value| {
            let frames = thread["frames"].as_array().unwrap().iter();
            frames.flat_map(names).collect()
        };
        threads
            .iter()
            .map(|thread| (thread["tid"].as_u64().unwrap(), stack(thread)))
            .collect()
    }

    /// Thread ids with the addresses of their frames.
    pub(crate) fn addresses(&self) -> Vec<(u64, Vec<u64>)> {
        let threads = self.document["threads"].as_array().unwrap();
        let address = |frame: &Value| hex(frame["address"].as_str().unwrap());
        let stack = |thread: &Value| {
            thread["frames"]
                .as_array()
                .unwrap()
                .iter()
                .map(address)
                .collect()
        };
        threads
            .iter()
            .map(|thread| (thread["tid"].as_u64().unwrap(), stack(thread)))
            .collect()
    }

    /// The module with a path.
    pub(crate) fn module(&self, path: &str) -> &Value {
        let modules = self.document["modules"].as_array().unwrap();
        modules
            .iter()
            .find(|module| module["path"] == path)
            .unwrap_or_else(|| panic!("no module {path}: {modules:#?}"))
    }
}

fn names(frame: &Value) -> Vec<String> {
    let functions = frame["functions"].as_array().unwrap();
    if functions.is_empty() {
        return vec![frame["path"].as_str().unwrap_or_default().to_owned()];
    }
    functions
        .iter()
        .map(|function| function["name"].as_str().unwrap().to_owned())
        .collect()
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// A frame of glibc's `raise` that has no place on the stack: it jumped to the next function instead of calling it, and
/// gdb makes it up from the debug information.
const TAIL_CALL: &str = " in __pthread_kill_internal ";

/// A stack as gdb prints it: for each frame its address and its function.
pub(crate) type GdbStack = Vec<(u64, String)>;

/// The stacks of all threads as gdb sees them, by thread id.
pub(crate) fn gdb_stacks(program: &Path, core: &Path) -> Vec<(u64, GdbStack)> {
    let printed = output(
        Command::new("gdb")
            .args(["-batch", "-nx", "-iex", "set debuginfod enabled off"])
            .args(["-ex", "set print frame-info location-and-address"])
            .args(["-ex", "set print frame-arguments none"])
            .args([
                "-ex",
                "set backtrace past-main on",
                "-ex",
                "set backtrace past-entry on",
            ])
            .args(["-ex", "thread apply all bt"])
            .args([program, core]),
    );
    let mut stacks: Vec<(u64, GdbStack)> = Vec::new();
    for line in printed.lines() {
        if let Some(rest) = line.strip_prefix("Thread ") {
            let (_, tid) = rest.split_once("LWP ").unwrap_or_else(|| panic!("{line}"));
            let tid = tid.split(')').next().unwrap();
            stacks.push((tid.parse().unwrap(), Vec::new()));
        } else if line.starts_with('#')
            && !line.contains(TAIL_CALL)
            && let Some((_, stack)) = stacks.last_mut()
        {
            stack.push(gdb_frame(line));
        }
    }
    stacks
}

/// `#1  0x00007f… in function (…) at file:line`.
fn gdb_frame(line: &str) -> (u64, String) {
    if line.contains("<signal handler called>") {
        return (0, "<signal handler called>".to_owned());
    }
    let mut words = line.split_whitespace().skip(1);
    let address = words.next().unwrap_or_default();
    assert!(address.starts_with("0x"), "{line}");
    let function = words.nth(1).unwrap_or_default();
    (hex(address), function.to_owned())
}
