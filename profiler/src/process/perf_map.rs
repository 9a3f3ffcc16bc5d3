//! Where a JIT compiler leaves the names of the code that it writes.
//!
//! The convention is of Linux perf (tools/perf/Documentation/jit-interface.txt): `/tmp/perf-PID.map`, in the file
//! system and with the process id that the process itself sees.

use std::path::PathBuf;

use super::ProcFs;

impl ProcFs {
    /// The perf map of a process, whether there is one or not.
    ///
    /// For a process that has ended it is the one that would be here, which is right unless it ran in a container.
    pub fn perf_map(&self, pid: u32) -> PathBuf {
        let inside = self.innermost_pid(pid).map(|innermost| {
            let root = self.root().join(format!("{pid}/root/tmp"));
            root.join(format!("perf-{innermost}.map"))
        });
        inside
            .filter(|path| path.exists())
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/perf-{pid}.map")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process's own view is preferred; without a file there, the usual place is named.
    #[test]
    fn places() {
        let directory = tempfile::tempdir().unwrap();
        let process = directory.path().join("4242");
        std::fs::create_dir_all(process.join("root/tmp")).unwrap();
        std::fs::write(process.join("status"), "Name:\tnode\nNSpid:\t4242\t7\n").unwrap();
        let procfs = ProcFs::with_root(directory.path());
        assert_eq!(procfs.perf_map(4242), PathBuf::from("/tmp/perf-4242.map"));
        let map = process.join("root/tmp/perf-7.map");
        std::fs::write(&map, "").unwrap();
        assert_eq!(procfs.perf_map(4242), map);
    }
}
