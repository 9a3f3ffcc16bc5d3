//! Files on file systems that may not answer: those of a server, in user space or on the network.
//!
//! A thread that asks such a file system waits for as long as its server likes. Once the server has the request it cannot be
//! ended, not even by SIGKILL, and keeps its whole process from ending (`request_wait_answer` in the kernel's fs/fuse/dev.c). So
//! nothing here asks one. Another process, `head`, copies the file to memory, and when that takes too long it is left behind. All
//! that is read of the file later, up to its debug information, is read from the copy.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, fstat, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::OpenError;
use super::maps_line::Device;
use crate::binary::BinaryError;

/// How long whoever asks first waits for a copy; a file system that is well needs a few milliseconds.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How often it is looked how far a copy is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After so long without one more byte a file system is taken for one that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all copies together are waited for when names are needed.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long it is believed that a device is of the kind that it was; numbers of devices are given away again.
const BELIEVED: Duration = Duration::from_secs(30);
/// Larger files are not copied, but used where they are once so much of them was read in time.
const MOST_BYTES: u64 = 256 << 20;
/// The kinds of file systems that ask a server: those with a name, as proc(5) has it, that begins so.
const KINDS: [&[u8]; 9] = [
    b"fuse", b"nfs", b"cifs", b"smb", b"9p", b"ceph", b"afs", b"lustre", b"gfs2",
];

/// A file as maps lines name it.
type Key = (Device, u64);

/// What is known of file systems, and the copies that are not done with.
#[derive(Debug, Default)]
pub(super) struct SlowFiles {
    devices: Mutex<HashMap<Device, (bool, Instant)>>,
    copies: Mutex<HashMap<Key, Copying>>,
}

/// What can be read of a file without waiting.
#[derive(Debug)]
pub(super) enum Answer {
    /// This copy of it.
    Copy(File),
    /// Itself: its file system answers, and it is too large to be copied.
    Itself,
}

impl SlowFiles {
    /// Whether what is on a device may be long in coming, by the first of these tables of mounts that has it.
    pub(super) fn may_hang(
        &self,
        device: Device,
        mount_tables: impl FnOnce() -> [PathBuf; 2],
    ) -> bool {
        let mut devices = lock(&self.devices);
        if let Some((may_hang, at)) = devices.get(&device)
            && at.elapsed() < BELIEVED
        {
            return *may_hang;
        }
        let tables = mount_tables().into_iter();
        let mut tables = tables.filter_map(|path| std::fs::read(path).ok());
        let asks_server = tables.find_map(|table| asks_server(device, &table));
        let may_hang = asks_server.unwrap_or(false);
        devices.insert(device, (may_hang, Instant::now()));
        may_hang
    }

    /// What can be read of a file, given a path that leads to it.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoAnswer`] while the file is not there yet; then nobody waits for it or for others on its device again.
    pub(super) fn get(&self, key: Key, path: &Path) -> Result<Answer, OpenError> {
        let mut copies = lock(&self.copies);
        if let Some(copying) = copies.get_mut(&key) {
            if copying.looked.elapsed() < LOOK_EVERY {
                return Err(OpenError::NoAnswer);
            }
            copying.look(Duration::ZERO);
        } else {
            let mut others = copies
                .iter_mut()
                .filter(|((device, _), _)| *device == key.0);
            if others.any(|(_, copying)| copying.is_silent()) {
                return Err(OpenError::NoAnswer);
            }
            let mut copying = Copying::start(path).map_err(BinaryError::Io)?;
            copying.look(FIRST_WAIT);
            copies.insert(key, copying);
        }
        match copies.get(&key).and_then(|copying| copying.ended) {
            None => Err(OpenError::NoAnswer),
            Some(end) => {
                let copying = copies.remove(&key).ok_or(OpenError::NoAnswer)?;
                copying.answer(end)
            }
        }
    }

    /// Waits until all copies that were begun are there, or too late.
    pub(super) fn settle(&self) {
        let began = Instant::now();
        for copying in lock(&self.copies).values_mut() {
            while copying.ended.is_none() && !copying.is_given_up && began.elapsed() < LAST_WAIT {
                copying.look(FIRST_WAIT);
            }
        }
    }
}

/// A copy that is being made.
#[derive(Debug)]
struct Copying {
    head: Child,
    /// Readable when it has ended.
    end: OwnedFd,
    copy: File,
    bytes: u64,
    /// When there were more bytes than before, as far as anybody looked.
    progress: Instant,
    looked: Instant,
    is_given_up: bool,
    ended: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    /// It was too late, so that `head` was told to end.
    GivenUp,
    Failed(ExitStatus),
}

impl Copying {
    fn start(path: &Path) -> io::Result<Self> {
        let copy = File::from(memfd_create("copy of a file", MemfdFlags::CLOEXEC)?);
        let head = Command::new("head")
            .arg("-c")
            .arg((MOST_BYTES + 1).to_string())
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(copy.try_clone()?)
            .stderr(Stdio::null())
            // Ctrl-C is for the profiler.
            .process_group(0)
            .spawn()?;
        let now = Instant::now();
        Ok(Self {
            end: pidfd_open(Pid::from_child(&head), PidfdFlags::empty())?,
            head,
            copy,
            bytes: 0,
            progress: now,
            looked: now,
            is_given_up: false,
            ended: None,
        })
    }

    /// Looks how far it is, when it has ended or after this time.
    fn look(&mut self, wait: Duration) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut ends = [PollFd::new(&self.end, PollFlags::IN)];
        // Fails only when interrupted, which ends the waiting a little early.
        let _ = poll(&mut ends, Some(&timeout));
        self.looked = Instant::now();
        let bytes = fstat(&self.copy).map_or(0, |stat| stat.st_size.try_into().unwrap_or(0));
        if bytes > self.bytes {
            (self.bytes, self.progress) = (bytes, self.looked);
        }
        if let Ok(Some(status)) = self.head.try_wait() {
            self.ended = Some(match status.success() {
                true => End::Whole,
                false if self.is_given_up => End::GivenUp,
                false => End::Failed(status),
            });
        } else if !self.is_given_up && self.progress.elapsed() > PATIENCE {
            self.is_given_up = true;
            // It ends when the server has answered; until then the file system is not asked again.
            if let Err(error) = self.head.kill() {
                log::debug!("a copy that takes too long goes on: {error}");
            }
        }
    }

    /// Whether it is not there after longer than files take on file systems that are well.
    fn is_silent(&mut self) -> bool {
        if self.ended.is_none() && self.looked.elapsed() >= LOOK_EVERY {
            self.look(Duration::ZERO);
        }
        self.ended.is_none() && self.progress.elapsed() > FIRST_WAIT
    }

    fn answer(self, end: End) -> Result<Answer, OpenError> {
        match end {
            End::Whole if self.bytes > MOST_BYTES => Ok(Answer::Itself),
            End::Whole => Ok(Answer::Copy(self.copy)),
            End::GivenUp => Err(OpenError::NoAnswer),
            End::Failed(status) => Err(BinaryError::Io(io::Error::other(format!(
                "it could not be copied: head ended with {status}"
            )))
            .into()),
        }
    }
}

/// Whether a device has a file system that asks a server; `None` if a table of mounts, as in proc(5), does not have it:
///
/// ```text
/// 30 24 0:26 / /home rw,relatime shared:9 - fuse.sshfs host:/home rw
/// ```
fn asks_server(device: Device, table: &[u8]) -> Option<bool> {
    let number = format!("{}:{}", device.major, device.minor);
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.nth(2)? != number.as_bytes() {
            return None;
        }
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(KINDS.iter().any(|start| kind.starts_with(start)))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const TABLE: &str = "\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 24 0:26 / /home rw,relatime shared:9 master:1 - fuse.sshfs host:/home rw
31 24 0:27 / /srv rw - nfs4 host:/srv rw,vers=4.2
32 24 0:28 / /tmp rw - tmpfs tmpfs rw
33 24 0:29
";

    /// What needs a server is told by its kind; what no table has is read directly.
    #[test]
    fn kinds() {
        let cases = [
            ((254, 0), Some(false)),
            ((0, 26), Some(true)),
            ((0, 27), Some(true)),
            ((0, 28), Some(false)),
            ((0, 2), None),
            ((0, 29), None),
        ];
        for ((major, minor), expected) in cases {
            let device = Device { major, minor };
            assert_eq!(
                asks_server(device, TABLE.as_bytes()),
                expected,
                "{device:?}"
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("mountinfo");
        std::fs::write(&table, TABLE).unwrap();
        let slow = SlowFiles::default();
        let tables = || [directory.path().join("missing"), table.clone()];
        let may_hang = |minor| slow.may_hang(Device { major: 0, minor }, tables);
        assert!(may_hang(26) && !may_hang(28) && !may_hang(2));
        std::fs::remove_file(&table).unwrap();
        assert!(may_hang(26), "remembered");
    }

    fn key(minor: u32, inode: u64) -> Key {
        (Device { major: 0, minor }, inode)
    }

    /// The answer for a file that does not keep anybody waiting, on a machine that is as busy as it likes.
    fn answer(slow: &SlowFiles, key: Key, path: &Path) -> Result<Answer, OpenError> {
        loop {
            match slow.get(key, path) {
                Err(OpenError::NoAnswer) => std::thread::sleep(LOOK_EVERY),
                answer => return answer,
            }
        }
    }

    fn came(slow: &SlowFiles, key: Key, path: &Path) -> File {
        match answer(slow, key, path) {
            Ok(Answer::Copy(copy)) => copy,
            other => panic!("{other:?}"),
        }
    }

    /// A file comes as a copy; one that cannot be read is an error and no matter of waiting.
    #[test]
    fn files_that_come() {
        let slow = SlowFiles::default();
        let copy = came(&slow, key(1, 1), Path::new("/proc/self/exe"));
        // What `head` calls itself.
        let mut magic = [0; 4];
        std::os::unix::fs::FileExt::read_exact_at(&copy, &mut magic, 0).unwrap();
        assert_eq!(&magic, b"\x7fELF");
        let missing = answer(&slow, key(1, 2), Path::new("/nowhere")).unwrap_err();
        let missing = format!("{:#}", anyhow::Error::new(missing));
        assert!(missing.contains("could not be copied"), "{missing}");
    }

    /// One that does not come is waited for once, and nothing else on its device is asked for meanwhile. When it comes after
    /// all it is there.
    #[test]
    fn files_that_do_not_come() {
        let directory = tempfile::tempdir().unwrap();
        let silent = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &silent,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let slow = SlowFiles::default();
        let is_silent = |minor, inode, path: &Path| {
            matches!(slow.get(key(minor, inode), path), Err(OpenError::NoAnswer))
        };
        assert!(is_silent(1, 1, &silent));
        assert!(is_silent(1, 1, &silent));
        assert!(is_silent(1, 2, Path::new("/proc/self/exe")));
        came(&slow, key(2, 2), Path::new("/proc/self/exe"));
        std::fs::write(&silent, "text").unwrap();
        slow.settle();
        std::thread::sleep(LOOK_EVERY);
        let mut copy = came(&slow, key(1, 1), &silent);
        let mut text = String::new();
        io::Seek::rewind(&mut copy).unwrap();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        came(&slow, key(1, 2), Path::new("/proc/self/exe"));
    }

    /// Nobody waits for ever: what takes too long is given up, and asked for again when that has ended.
    #[test]
    fn files_that_never_come() {
        let directory = tempfile::tempdir().unwrap();
        let silent = directory.path().join("fifo");
        let made = Command::new("mkfifo").arg(&silent).status().unwrap();
        assert!(made.success());
        let slow = SlowFiles::default();
        slow.get(key(1, 1), &silent).unwrap_err();
        slow.settle();
        std::thread::sleep(LOOK_EVERY);
        let error = slow.get(key(1, 1), &silent).unwrap_err();
        assert!(matches!(error, OpenError::NoAnswer));
        came(&slow, key(1, 2), Path::new("/proc/self/exe"));
    }
}
