//! How much of other processes this one may see, found out by trying on all of them. Why so is left to whoever asks.

use std::io;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::ProcFs;
use super::procdir::ProcDir;

/// The field of `stat` with the size of the memory, as proc(5) counts them: 0 for a thread of the kernel and for a process
/// that has ended.
const VSIZE: usize = 23;

/// Of how many processes what can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Access {
    /// Processes with memory besides this one.
    pub(crate) processes: usize,
    /// Those whose mappings can be read.
    pub(crate) maps: usize,
    /// Those whose memory can be read.
    pub(crate) memory: usize,
    /// One whose mappings or memory cannot be read, and what the kernel said.
    pub(crate) refusal: Option<(u32, Errno)>,
}

impl ProcFs {
    /// Looks at each process.
    ///
    /// # Errors
    ///
    /// There is no process file system.
    pub(crate) fn access(&self) -> io::Result<Access> {
        let own = std::process::id();
        let mut access = Access::default();
        for pid in self.pids()?.into_iter().filter(|pid| *pid != own) {
            let Ok(mut directory) = ProcDir::open(self.root(), pid) else {
                continue;
            };
            if directory.stat_field(VSIZE).is_none_or(|size| size == 0) {
                continue;
            }
            let (maps, memory) = (directory.maps(), directory.memory());
            let has_ended = |errno: &Errno| matches!(*errno, Errno::SRCH | Errno::NOENT);
            if maps.as_ref().is_err_and(has_ended) || memory.as_ref().is_err_and(has_ended) {
                continue;
            }
            access.processes += 1;
            access.maps += usize::from(maps.is_ok());
            access.memory += usize::from(memory.is_ok());
            if let Some(errno) = maps.err().or(memory.err()) {
                access.refusal.get_or_insert((pid, errno));
            }
        }
        Ok(access)
    }

    /// Whether the links in `map_files` may be followed, which lead to mapped files that have no name any more: tried on
    /// this process, for which the kernel wants the same right as for others.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub(crate) fn follows_map_files(&self) -> io::Result<()> {
        let process = ProcDir::open_self(self.root())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let links = openat(&process, "map_files", flags, Mode::empty())?;
        let mut refusal = Errno::NOENT;
        for link in Dir::read_from(&links)?.filter_map(Result::ok) {
            if link.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            match statat(&links, link.file_name(), AtFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(errno) => refusal = errno,
            }
        }
        Err(refusal.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of the same user is among those that can be read, and what cannot be is never more than there is.
    #[test]
    fn own_child_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let access = ProcFs::new().access().unwrap();
        assert!(access.maps >= 1, "{access:?}");
        assert!(access.maps <= access.processes && access.memory <= access.processes);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Without a process file system that is said, not that nothing can be seen.
    #[test]
    fn no_process_file_system() {
        let procfs = ProcFs::with_root("/nonexistent");
        assert!(procfs.access().is_err() && procfs.follows_map_files().is_err());
    }
}
