//! Whether a process is still there, and whether its id is the one that the kernel knows it by.

use std::os::unix::fs::MetadataExt;

use super::ProcFs;
use super::procdir::ProcDir;

/// Inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel's `linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

impl ProcFs {
    /// Whether a process has given up its memory: there is none with this id, or only a zombie that waits for its
    /// parent. A process whose first thread has ended looks like a zombie as well, but has other threads.
    pub fn has_ended(&self, pid: u32) -> bool {
        let Ok(directory) = ProcDir::open(self.root(), pid) else {
            return true;
        };
        let Ok(status) = directory.read("status") else {
            return true;
        };
        let field = |name: &str| {
            String::from_utf8_lossy(&status)
                .lines()
                .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
                .unwrap_or_default()
        };
        matches!(field("State:").chars().next(), None | Some('Z' | 'X')) && field("Threads:") == "1"
    }

    /// Whether the processes that are seen here have the ids that the kernel itself uses.
    ///
    /// In doubt (no access to the namespace's link) they are taken to have them.
    pub fn has_kernel_pids(&self) -> bool {
        let namespace = std::fs::metadata(self.root().join("self/ns/pid"));
        namespace.map_or(true, |meta| meta.ino() == INITIAL_PID_NAMESPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A running process has not ended; a zombie has, and so has one that was never there.
    #[test]
    fn ended_processes() {
        let procfs = ProcFs::new();
        assert!(!procfs.has_ended(std::process::id()));
        // Above the largest value of kernel.pid_max.
        assert!(procfs.has_ended(4_194_305));
        let mut zombie = Command::new("true").spawn().unwrap();
        while !procfs.has_ended(zombie.id()) {
            std::thread::yield_now();
        }
        assert!(procfs.exists(zombie.id()));
        zombie.wait().unwrap();
        assert!(procfs.has_ended(zombie.id()));
    }
}
