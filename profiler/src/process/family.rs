//! Which processes descend from which.

use std::collections::HashMap;

use super::ProcFs;
use super::procdir::ProcDir;

impl ProcFs {
    /// Children of these processes, their children and so on, as they are now, without the processes themselves. A child
    /// whose parent has ended is the child of another by now, and not found.
    pub fn descendants(&self, pids: &[u32]) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for pid in self.pids().unwrap_or_default() {
            if let Some(parent) = self.parent(pid) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut found = Vec::new();
        let mut parents = pids.to_vec();
        while let Some(parent) = parents.pop() {
            // Taken out, so that none is looked at twice.
            for child in children.remove(&parent).unwrap_or_default() {
                parents.push(child);
                if !pids.contains(&child) {
                    found.push(child);
                }
            }
        }
        found
    }

    /// The parent of a process; 0 when it has none that can be seen.
    fn parent(&self, pid: u32) -> Option<u32> {
        let parent = ProcDir::open(self.root(), pid).ok()?.stat_field(4)?;
        u32::try_from(parent).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All generations are found, each process once, and nobody else.
    #[test]
    fn generations() {
        let directory = tempfile::tempdir().unwrap();
        for (pid, parent) in [
            (1, 0),
            (10, 1),
            (11, 10),
            (12, 10),
            (13, 12),
            (20, 1),
            (21, 20),
        ] {
            let process = directory.path().join(pid.to_string());
            std::fs::create_dir(&process).unwrap();
            let stat = format!("{pid} (a) b) S {parent} {pid} 0");
            std::fs::write(process.join("stat"), stat).unwrap();
        }
        let procfs = ProcFs::with_root(directory.path());
        let check = |pids: &[u32], expected: &[u32]| {
            let mut found = procfs.descendants(pids);
            found.sort_unstable();
            assert_eq!(found, expected, "{pids:?}");
        };
        check(&[10], &[11, 12, 13]);
        check(&[10, 12], &[11, 13]);
        check(&[11], &[]);
        check(&[10, 20], &[11, 12, 13, 21]);
        check(&[99], &[]);
    }
}
