//! One process's directory in `/proc`, held open while something is read from it.
//!
//! Names are resolved from the open directory, which stays with its process: when the process ends and its
//! number goes to another, everything read here fails instead of speaking of the wrong one.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::{Errno, Result};

/// An open `/proc/PID`, and through which of its threads the process's memory is seen.
#[derive(Debug)]
pub(super) struct ProcDir {
    directory: OwnedFd,
    view: PathBuf,
}

impl ProcDir {
    pub(super) fn open(proc_root: &Path, pid: u32) -> Result<Self> {
        Self::open_path(&proc_root.join(pid.to_string()))
    }

    /// That of this process, whatever its id is there.
    pub(super) fn open_self(proc_root: &Path) -> Result<Self> {
        Self::open_path(&proc_root.join("self"))
    }

    fn open_path(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::open(path, flags, Mode::empty())?,
            view: PathBuf::new(),
        })
    }

    /// The text of the maps file.
    ///
    /// When the first thread has ended and others go on, the process's own maps file is empty; then that of
    /// another thread is read, and whatever is asked for later is seen through that thread too.
    pub(super) fn maps(&mut self) -> Result<Vec<u8>> {
        let text = self.read("maps")?;
        if !text.is_empty() {
            return Ok(text);
        }
        for tid in self.threads()? {
            let view = Path::new("task").join(tid.to_string());
            match self.read(view.join("maps")) {
                Ok(text) if !text.is_empty() => {
                    self.view = view;
                    return Ok(text);
                }
                // A thread may end at any time.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(text)
    }

    /// Finds the thread to see the process's memory through, for a directory whose maps are not needed.
    pub(super) fn choose_view(&mut self) {
        // The auxiliary vector is the smallest file that needs the memory; without, it is empty or missing.
        if self.auxv().is_ok_and(|auxv| !auxv.is_empty()) {
            return;
        }
        if let Err(errno) = self.maps() {
            // The process is ending altogether; whatever is asked for next will say so.
            log::debug!("no thread to see the process through: {errno}");
        }
    }

    /// The threads, by their ids.
    pub(super) fn threads(&self) -> Result<Vec<u32>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let task = openat(&self.directory, "task", flags, Mode::empty())?;
        Ok(Dir::new(task)?
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok())
            .collect())
    }

    /// The kernel's auxiliary vector; empty when the process has no memory any more.
    pub(super) fn auxv(&self) -> Result<Vec<u8>> {
        self.read(self.view.join("auxv"))
    }

    /// The process's memory, to be read at its addresses.
    pub(super) fn memory(&self) -> Result<File> {
        self.open_file(self.view.join("mem"))
    }

    /// Which file the process runs.
    pub(super) fn executable(&self) -> Result<Stat> {
        self.stat(&self.view.join("exe"))
    }

    /// A path of the process's view, to be opened from this directory.
    pub(super) fn in_root(&self, path: &Path) -> PathBuf {
        let mut inside = self.view.join("root").into_os_string();
        inside.push(path);
        inside.into()
    }

    pub(super) fn stat(&self, path: &Path) -> Result<Stat> {
        statat(&self.directory, path, AtFlags::empty())
    }

    pub(super) fn read_link(&self, path: &Path) -> Result<Vec<u8>> {
        readlinkat(&self.directory, path, Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// All of a file of `/proc`, which tells no size before it is read.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(path)?
            .read_to_end(&mut bytes)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(bytes)
    }

    fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(&self.directory, path.as_ref(), flags, Mode::empty()).map(File::from)
    }
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
