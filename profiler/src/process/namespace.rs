//! Process ids in pid namespaces: of which one they are here, and what a process is called in its own.

use std::os::unix::fs::MetadataExt;

use super::ProcFs;
use super::procdir::ProcDir;

/// Inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel's `linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

impl ProcFs {
    /// The pid namespace that this process runs in, by its inode; `None` when it is the initial one, in which processes
    /// have the ids that the kernel itself uses.
    ///
    /// In doubt (no access to the namespace's link) it is taken for that.
    pub fn pid_namespace(&self) -> Option<u32> {
        let inode = std::fs::metadata(self.root().join("self/ns/pid"))
            .ok()?
            .ino();
        let inode = u32::try_from(inode).ok()?;
        (u64::from(inode) != INITIAL_PID_NAMESPACE).then_some(inode)
    }

    /// Whether processes have the same ids here as in the pid namespace that this process runs in: the file system may
    /// be of another one, which its mount decides.
    pub fn shows_own_namespace(&self) -> bool {
        let own = std::process::id();
        // One id for each namespace from that of the file system on to that of the process.
        ProcDir::open_self(self.root()).is_ok_and(|directory| directory.namespace_pids() == [own])
    }

    /// The id that a process has in its own pid namespace.
    pub fn innermost_pid(&self, pid: u32) -> Option<u32> {
        let directory = ProcDir::open(self.root(), pid).ok()?;
        directory.namespace_pids().last().copied()
    }

    /// The control groups of a process: the text of its `cgroup` file.
    pub fn cgroups(&self, pid: u32) -> Option<Vec<u8>> {
        ProcDir::open(self.root(), pid).ok()?.read("cgroup").ok()
    }
}

impl ProcDir {
    /// The ids of a process in each of its namespaces that can be seen, the outermost first: the line `NSpid`.
    fn namespace_pids(&self) -> Vec<u32> {
        let status = self.read("status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        line.unwrap_or_default()
            .split_whitespace()
            .map_while(|id| id.parse().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process is known in a namespace of its own by its last id; a file system of another namespace is recognized.
    #[test]
    fn ids_in_namespaces() {
        let directory = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let procfs = ProcFs::with_root(directory.path());
        for (name, ids) in [("4242", "4242\t7".to_owned()), ("self", own.to_string())] {
            let process = directory.path().join(name);
            std::fs::create_dir_all(&process).unwrap();
            let status = format!("Name:\tnode\nNSpid:\t{ids}\nNSpgid:\t1\n");
            std::fs::write(process.join("status"), status).unwrap();
        }
        assert_eq!(procfs.innermost_pid(4242), Some(7));
        assert_eq!(procfs.innermost_pid(1), None);
        assert!(procfs.shows_own_namespace());
        let status = format!("NSpid:\t4711\t{own}\n");
        std::fs::write(directory.path().join("self/status"), status).unwrap();
        assert!(!procfs.shows_own_namespace());
        assert!(ProcFs::new().shows_own_namespace());
    }
}
