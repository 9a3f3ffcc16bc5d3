//! Small facts about processes and threads that `/proc` knows. Mappings are left to the resolver.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::procdir::ProcDir;

/// The process file system, at its usual place or at another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

impl ProcFs {
    /// The process file system at `/proc`.
    pub fn new() -> Self {
        Self::with_root("/proc")
    }

    /// The process file system at another place: of a container's host, or made up for a test.
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ids of all processes, ascending.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn pids(&self) -> std::io::Result<Vec<u32>> {
        let mut pids: Vec<u32> = std::fs::read_dir(&self.root)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        Ok(pids)
    }

    /// Whether there is such a process, if only as a zombie.
    pub fn exists(&self, pid: u32) -> bool {
        ProcDir::open(&self.root, pid).is_ok()
    }

    /// The process that a thread belongs to; a process's id is that of its first thread, so for the id of a
    /// process this is the same number. `None` when there is neither.
    pub fn process_of(&self, tid: u32) -> Option<u32> {
        let status = ProcDir::open(&self.root, tid).ok()?.read("status").ok()?;
        status
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(b"Tgid:"))
            .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
    }

    /// The ids of a process's threads; empty when it has gone.
    pub fn threads(&self, pid: u32) -> Vec<u32> {
        ProcDir::open(&self.root, pid)
            .and_then(|directory| directory.threads())
            .unwrap_or_default()
    }

    /// The name of a process (`comm`): at most 15 bytes of any kind but NUL.
    pub fn name(&self, pid: u32) -> Option<OsString> {
        self.comm(pid, Path::new("comm"))
    }

    /// The name of a thread of a process.
    pub fn thread_name(&self, pid: u32, tid: u32) -> Option<OsString> {
        self.comm(pid, &Path::new("task").join(tid.to_string()).join("comm"))
    }

    /// When the process was started, in clock ticks since boot: what distinguishes it from others that had
    /// or will have the same id.
    pub fn start_time(&self, pid: u32) -> Option<u64> {
        ProcDir::open(&self.root, pid).ok()?.start_time()
    }

    /// The CPU time that a process has used, in clock ticks, of which there are 100 a second on every Linux for x86-64.
    pub fn cpu_ticks(&self, pid: u32) -> Option<u64> {
        let directory = ProcDir::open(&self.root, pid).ok()?;
        Some(directory.stat_field(14)? + directory.stat_field(15)?)
    }

    fn comm(&self, pid: u32, path: &Path) -> Option<OsString> {
        let mut name = ProcDir::open(&self.root, pid).ok()?.read(path).ok()?;
        // The kernel ends the name with one newline; others belong to the name.
        if name.last() == Some(&b'\n') {
            name.pop();
        }
        Some(OsString::from_vec(name))
    }
}

impl Default for ProcFs {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcDir {
    /// Field 22 of `stat`, in clock ticks since boot.
    pub(super) fn start_time(&self) -> Option<u64> {
        self.stat_field(22)
    }

    /// A number of `stat`, counted from 1 as in proc(5).
    pub(super) fn stat_field(&self, number: usize) -> Option<u64> {
        let text = self.read("stat").ok()?;
        // The second field is the name in parentheses, and the name may hold any of the separators.
        let behind_name = text.iter().rposition(|&byte| byte == b')')? + 2;
        let mut fields = text.get(behind_name..)?.split(|&byte| byte == b' ');
        let field = fields.nth(number.checked_sub(3)?)?;
        std::str::from_utf8(field).ok()?.trim().parse().ok()
    }
}
