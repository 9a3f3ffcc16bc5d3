//! From the id of a control group, which a sample tells, to its path; also of groups that are gone by now.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{container_id, mount, of_process};

/// The least time between two searches of all control groups, which take a millisecond for some hundred.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// So many are kept; then those that are gone are forgotten. A machine that starts a container a minute for a month has more.
const MOST_GROUPS: usize = 1 << 14;

/// A control group as labels show it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Cgroup {
    /// Its path from the root of its hierarchy.
    pub(crate) path: Arc<str>,
    /// The container that it belongs to.
    pub(crate) container: Option<Arc<str>>,
}

impl Cgroup {
    fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            container: container_id(path).map(Arc::from),
        }
    }
}

/// All control groups that were met.
#[derive(Debug)]
pub(crate) struct CgroupTable {
    mount: Option<PathBuf>,
    by_id: HashMap<NonZeroU64, Cgroup>,
    searched: Option<Instant>,
    /// What was found out by asking a process, where version 2 says nothing.
    of_processes: HashMap<u32, Cgroup>,
}

impl CgroupTable {
    /// Those that there are now.
    pub(crate) fn new() -> Self {
        Self::at(mount::version_2())
    }

    fn at(mount: Option<PathBuf>) -> Self {
        let mut table = Self {
            mount,
            by_id: HashMap::new(),
            searched: None,
            of_processes: HashMap::new(),
        };
        table.search();
        table
    }

    /// The control group with this id, that a process was in. `text` reads the process's `/proc/PID/cgroup`, and is asked
    /// only when it helps: for a group that is not known yet, and where version 2 says nothing.
    pub(crate) fn of_sample(
        &mut self,
        pid: u32,
        id: Option<NonZeroU64>,
        text: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Cgroup> {
        let known = id.and_then(|id| self.by_id.get(&id));
        let is_root = known.is_some_and(|known| &*known.path == "/");
        if let Some(known) = known.filter(|_| !is_root) {
            return Some(known.clone());
        }
        if let Some(known) = self.of_processes.get(&pid).filter(|_| is_root) {
            return Some(known.clone());
        }
        let of_process = text().map(|text| of_process(&text));
        let is_mounted = self.mount.is_some();
        if let Some(id) = id.filter(|_| is_mounted && !is_root) {
            let path = of_process.and_then(|of_process| of_process.version_2);
            return self.find(id, path.as_deref());
        }
        let found = Cgroup::new(of_process?.path()?);
        self.of_processes.insert(pid, found.clone());
        Some(found)
    }

    /// Forgets a process that has ended or does not run the same program any more.
    pub(crate) fn forget(&mut self, pid: u32) {
        self.of_processes.remove(&pid);
    }

    /// A group that is met for the first time, in a process that is in `path` now.
    fn find(&mut self, id: NonZeroU64, path: Option<&str>) -> Option<Cgroup> {
        if let Some(path) = path.filter(|path| self.has_id(path, id)) {
            self.by_id.insert(id, Cgroup::new(path));
        } else {
            // The process is gone or has moved on: the group may still be there.
            self.search();
        }
        self.by_id.get(&id).cloned()
    }

    /// Whether the group at this path has this id, as far as can be told: it may be gone.
    fn has_id(&self, path: &str, id: NonZeroU64) -> bool {
        let Some(mount) = &self.mount else {
            return false;
        };
        let directory = mount.join(path.trim_start_matches('/'));
        std::fs::metadata(directory).map_or(true, |found| found.ino() == id.get())
    }

    /// Looks at all groups, unless that was done just now.
    fn search(&mut self) {
        let is_recent = |at: Instant| at.elapsed() < SEARCH_EVERY;
        if self.searched.is_some_and(is_recent) {
            return;
        }
        self.searched = Some(Instant::now());
        let Some(mount) = self.mount.clone() else {
            return;
        };
        if self.by_id.len() > MOST_GROUPS {
            self.by_id.clear();
        }
        let mut folders = vec![mount.clone()];
        while let Some(folder) = folders.pop() {
            self.enter(&mount, &folder);
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            let below = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.extend(below.map(|entry| entry.path()));
        }
    }

    fn enter(&mut self, mount: &Path, folder: &Path) {
        let id = std::fs::metadata(folder).ok().map(|found| found.ino());
        let Some(id) = id.and_then(NonZeroU64::new) else {
            return;
        };
        let below = folder.strip_prefix(mount).unwrap_or(folder);
        let path = Path::new("/").join(below);
        self.by_id
            .entry(id)
            .or_insert_with(|| Cgroup::new(&path.to_string_lossy()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(path: &Path) -> Option<NonZeroU64> {
        NonZeroU64::new(std::fs::metadata(path).unwrap().ino())
    }

    fn path(cgroup: Option<Cgroup>) -> Option<String> {
        cgroup.map(|cgroup| cgroup.path.to_string())
    }

    /// A group is known by its id when its process and it are gone; a process that has moved on is not taken for it; and
    /// where version 2 says nothing, version 1 is asked.
    #[test]
    fn groups_by_id() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("slice/old");
        std::fs::create_dir_all(&old).unwrap();
        let mut table = CgroupTable::at(Some(directory.path().to_owned()));
        let old_id = inode(&old);
        let new = directory.path().join("slice/new");
        std::fs::create_dir(&new).unwrap();
        let new_id = inode(&new);
        std::fs::remove_dir(&old).unwrap();
        let not_asked = || -> Option<Vec<u8>> { panic!("the process need not be asked") };
        let of = |table: &mut CgroupTable, id, text: &str| {
            let text = Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
            path(table.of_sample(7, id, || text))
        };
        let old_now = path(table.of_sample(7, old_id, not_asked));
        assert_eq!(old_now.unwrap(), "/slice/old");
        // Not by where the process is now; and the search is too recent to be made again.
        assert_eq!(of(&mut table, new_id, "0::/slice\n"), None);
        assert_eq!(
            of(&mut table, new_id, "0::/slice/new\n").unwrap(),
            "/slice/new"
        );
        assert_eq!(of(&mut table, new_id, "").unwrap(), "/slice/new");
        let root = inode(directory.path());
        assert_eq!(of(&mut table, root, "1:cpu:/one\n0::/\n").unwrap(), "/one");
        // Asked once, until it is another process or program.
        assert_eq!(of(&mut table, root, "1:cpu:/two\n0::/\n").unwrap(), "/one");
        table.forget(7);
        assert_eq!(of(&mut table, root, "0::/\n").unwrap(), "/");
        assert_eq!(of(&mut table, None, ""), None);
    }
}
