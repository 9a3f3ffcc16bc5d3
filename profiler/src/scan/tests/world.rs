//! Made processes: a process file system with as many as a test wants, and files for them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::binary::SymbolPattern;
use crate::process::Resolver;
use crate::process::tests::support::identity;
use crate::scan::{Hit, Query, Scan};

/// A process file system, and root directories for its processes.
pub(super) struct World {
    directory: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn proc_root(&self) -> PathBuf {
        self.directory.path().join("proc")
    }

    /// The root directory with this name.
    pub(super) fn root(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a file below a root directory.
    pub(super) fn file(&self, root: &str, path: &str, content: &[u8]) -> PathBuf {
        let path = self.root(root).join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Makes a process; `{}` in its maps stands for device and inode of the file.
    pub(super) fn process(&self, pid: u32, root: &str, maps: &str, file: &Path) {
        let process = self.proc_root().join(pid.to_string());
        for directory in ["map_files", "task"] {
            std::fs::create_dir_all(process.join(directory)).unwrap();
        }
        symlink(self.root(root), process.join("root")).unwrap();
        let stat = format!("{pid} (a ) b) S {}{} 0 0\n", "0 ".repeat(18), pid + 1000);
        std::fs::write(process.join("stat"), stat).unwrap();
        let maps = maps.replace("{}", &identity(file));
        for line in maps.lines().filter(|line| line.contains(&identity(file))) {
            let range = line.split(' ').next().unwrap();
            symlink(file, process.join("map_files").join(range)).unwrap();
        }
        std::fs::write(process.join("maps"), maps).unwrap();
    }

    pub(super) fn scan(&self, query: Query) -> Scan {
        Scan::new(Resolver::with_proc_root(self.proc_root()), query)
    }

    /// Looks for one name in all processes, without any problem.
    pub(super) fn hits(&self, name: &str) -> Vec<Hit> {
        let mut scan = self.scan(Query::new(SymbolPattern::exact(name).unwrap()));
        let hits = scan.hits().unwrap().collect();
        assert!(scan.problems().is_empty(), "{:?}", scan.problems());
        hits
    }
}
