//! A control group of version 2 for one test.

use std::fs;
use std::path::{Path, PathBuf};

/// A new control group; removed when this is dropped, with what is below it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    mount: PathBuf,
}

impl Cgroup {
    /// Makes one right below the root; `None` where there is no version 2, or where it may not be changed.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let (fields, kind) = line.split_once(" - ")?;
            let place = fields.split(' ').nth(4)?;
            kind.starts_with("cgroup2 ").then(|| PathBuf::from(place))
        })?;
        let name = format!("profiler-test-{}-{name}", std::process::id());
        let directory = mount.join(name);
        fs::create_dir(&directory).ok()?;
        Some(Self { directory, mount })
    }

    /// Makes another below it.
    pub(crate) fn child(&self, name: &str) -> PathBuf {
        let directory = self.directory.join(name);
        fs::create_dir(&directory).unwrap();
        directory
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path from the root of the hierarchy, of itself or of one below it.
    pub(crate) fn path_of(&self, directory: &Path) -> String {
        let below = directory.strip_prefix(&self.mount).unwrap();
        format!("/{}", below.display())
    }
}

/// Moves a process to a control group.
pub(crate) fn enter(directory: &Path, pid: u32) {
    fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            // Only those below are directories; the files cannot be removed, nor need be.
            let _ = fs::remove_dir(entry.path());
        }
        // A process that is yet to be waited for may still be in it; such a group is empty and does no harm.
        let _ = fs::remove_dir(&self.directory);
    }
}
