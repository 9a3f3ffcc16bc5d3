//! Whether a process or a thread is still there.

use super::ProcFs;
use super::procdir::ProcDir;

impl ProcFs {
    /// Whether a process has a thread with this id.
    pub fn has_thread(&self, pid: u32, tid: u32) -> bool {
        self.root().join(format!("{pid}/task/{tid}")).exists()
    }

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
