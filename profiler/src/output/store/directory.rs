//! The directory of a store: locked, read, written beside and renamed. Which windows stay is left to others.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rustix::fs::FlockOperation;

use super::StoreError;

/// What files begin and end with until they are whole; a restart removes what a crash has left of them.
const TEMPORARY: (&str, &str) = (".window-", ".tmp");
/// Those who may read: the owner and the group, because profiles show what runs.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// No window is larger when unpacked, in bytes; what is, is a bomb.
const LARGEST: u64 = 256 << 20;

/// A directory that is ours as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    /// Open for its lock, and to be brought to the disk after each new file.
    handle: File,
}

/// A file of the directory with its size in bytes.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl Directory {
    /// Makes the directory if it is not there, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let at = |cause| StoreError::Directory {
            directory: path.to_owned(),
            cause,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(at)?;
        let handle = File::open(path).map_err(at)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked(path.to_owned())),
            Err(error) => return Err(at(error.into())),
        }
        Ok(Self {
            path: path.to_owned(),
            handle,
        })
    }

    /// Whether the path still leads to the directory that is open; not so after it was removed, replaced or mounted over.
    pub(super) fn is_in_place(&self) -> bool {
        let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
        let there = fs::metadata(&self.path).map(|meta| identity(&meta));
        let ours = self.handle.metadata().map(|meta| identity(&meta));
        matches!((there, ours), (Ok(there), Ok(ours)) if there == ours)
    }

    /// Whether a file can be made, without leaving one.
    pub(super) fn try_out(&self) -> io::Result<()> {
        tempfile::tempfile_in(&self.path).map(drop)
    }

    /// All regular files, without the unfinished ones, which are removed.
    pub(super) fn files(&self) -> io::Result<Vec<Found>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // Not `metadata` of what a link leads to: a link is not ours.
            let Ok(meta) = entry.path().symlink_metadata() else {
                continue;
            };
            if !meta.is_file() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
                log::info!(
                    "removing {}, a window that was not finished",
                    entry.path().display()
                );
                if let Err(cause) = fs::remove_file(entry.path()) {
                    log::warn!("{} could not be removed: {cause}", entry.path().display());
                }
                continue;
            }
            files.push(Found {
                name,
                bytes: meta.len(),
            });
        }
        Ok(files)
    }

    /// Whether there is something of this name, whosever it is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    /// Writes a file that appears whole or not at all, and stays when the power goes.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY.0)
            .suffix(TEMPORARY.1)
            .tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(self.path.join(name))
            .map_err(|error| error.error)?;
        // The file is there. Writing it again would count its samples twice, so this is no failure to write.
        if let Err(cause) = self.handle.sync_all() {
            log::warn!(
                "{} could not be brought to the disk: {cause}",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Removes a file; that it has gone already is all right.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether `bytes` are gzip from beginning to end, with the checksum and the length that its trailer says.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut unpacked = MultiGzDecoder::new(bytes).take(LARGEST + 1);
    let length = io::copy(&mut unpacked, &mut io::sink());
    !bytes.is_empty() && length.is_ok_and(|length| length <= LARGEST)
}
