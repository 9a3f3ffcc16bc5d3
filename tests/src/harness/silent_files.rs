//! A file system with one program, whose server can stop to answer.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen,
    Request,
};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

/// What the program is called there.
const NAME: &str = "program";
const PROGRAM: INodeNo = INodeNo(2);
/// Nobody's cache hides that the server is silent.
const AT_ONCE: Duration = Duration::ZERO;
/// Bytes behind the program, so that nobody has read all of it before.
const PADDING: usize = 16 << 20;

/// What the server does not answer any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// Whatever it is asked.
    All,
    /// That something is to be read.
    Reads,
}

/// The mounted file system; unmounted when dropped.
pub(crate) struct SilentFiles {
    directory: PathBuf,
    /// The same, where it was made for this: removed with it.
    made: Option<TempDir>,
    server: Arc<Server>,
    /// Its thread ends with the file system.
    _session: BackgroundSession,
}

#[derive(Default)]
struct Server {
    content: Vec<u8>,
    all: AtomicBool,
    reads: AtomicBool,
    /// The answers to those who wait.
    waiting: Mutex<Vec<Answer>>,
}

impl SilentFiles {
    /// Mounts a file system with a copy of this program, which answers.
    pub(crate) fn with(program: &Path) -> Self {
        let mut content = fs::read(program).unwrap();
        content.resize(content.len() + PADDING, 0);
        let server = Server {
            content,
            ..Server::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let mut files = Self::mount(server, directory.path());
        files.made = Some(directory);
        files
    }

    /// Mounts a file system over a directory, which hides what is there and answers nothing.
    pub(crate) fn over(directory: &Path) -> Self {
        let server = Server {
            all: AtomicBool::new(true),
            ..Server::default()
        };
        Self::mount(server, directory)
    }

    fn mount(server: Server, directory: &Path) -> Self {
        let server = Arc::new(server);
        let handle = Handle(Arc::clone(&server));
        let session = fuser::spawn_mount(handle, directory, &Config::default()).unwrap();
        Self {
            directory: directory.to_owned(),
            made: None,
            server,
            _session: session,
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// From now on the server does not answer.
    pub(crate) fn fall_silent(&self, silence: Silence) {
        self.server.reads.store(true, Ordering::SeqCst);
        self.server
            .all
            .store(silence == Silence::All, Ordering::SeqCst);
    }

    /// It answers again, also those who wait.
    pub(crate) fn answer(&self) {
        self.server.all.store(false, Ordering::SeqCst);
        self.server.reads.store(false, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.server.waiting.lock().unwrap());
        waiting.into_iter().for_each(|answer| answer());
    }

    /// How many wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.server.waiting.lock().unwrap().len()
    }
}

impl Drop for SilentFiles {
    fn drop(&mut self) {
        self.answer();
        // Whoever still has the program open, as one that was killed this moment, must not keep it mounted.
        if let Err(error) = unmount(&self.directory, UnmountFlags::DETACH) {
            eprintln!("the file system of a test stays mounted: {error}");
        }
    }
}

type Answer = Box<dyn FnOnce() + Send>;

struct Handle(Arc<Server>);

impl Handle {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let size = self.0.content.len() as u64;
        let (kind, size) = match inode {
            PROGRAM => (FileType::RegularFile, size),
            _ => (FileType::Directory, 0),
        };
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Answers now, or when the server is not silent any more.
    fn answer(&self, is_silent: &AtomicBool, answer: impl FnOnce() + Send + 'static) {
        if is_silent.load(Ordering::SeqCst) {
            self.0.waiting.lock().unwrap().push(Box::new(answer));
        } else {
            answer();
        }
    }
}

impl Filesystem for Handle {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let is_program = parent == INodeNo::ROOT && name == NAME;
        let attributes = self.attributes(PROGRAM);
        self.answer(&self.0.all, move || match is_program {
            true => reply.entry(&AT_ONCE, &attributes, Generation(0)),
            false => reply.error(Errno::ENOENT),
        });
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = self.attributes(inode);
        self.answer(&self.0.all, move || reply.attr(&AT_ONCE, &attributes));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // The pages that the running program has stay its pages.
        let flags = FopenFlags::FOPEN_KEEP_CACHE;
        self.answer(&self.0.all, move || reply.opened(FileHandle(0), flags));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let rest = self.0.content.get(offset as usize..).unwrap_or_default();
        let bytes = rest[..rest.len().min(size as usize)].to_vec();
        self.answer(&self.0.reads, move || reply.data(&bytes));
    }
}
