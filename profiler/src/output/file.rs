//! A profile in a file: written beside it and renamed, so that nobody ever sees half of one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};

use super::OutputError;

/// Who the file shall belong to: the user who called sudo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A destination that has been found writable.
#[derive(Debug)]
pub(crate) struct ProfileFile {
    path: PathBuf,
    directory: PathBuf,
    /// Devices and pipes are written to as they are: renaming would replace them.
    in_place: bool,
    owner: Option<Owner>,
}

impl ProfileFile {
    /// Checks that a file can be made at `path`.
    pub(super) fn prepare(path: &Path, owner: Option<Owner>) -> Result<Self, OutputError> {
        // A link stays a link; what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let kind = fs::metadata(&path).ok().map(|meta| meta.file_type());
        if kind.is_some_and(|kind| kind.is_dir()) {
            return Err(OutputError::IsDirectory(path));
        }
        let in_place = kind.is_some_and(|kind| !kind.is_file());
        if !in_place {
            if !directory.is_dir() {
                return Err(OutputError::NoDirectory(directory));
            }
            // A file without a name proves that one can be made, and leaves nothing behind.
            tempfile::tempfile_in(&directory).map_err(|cause| OutputError::NotWritable {
                directory: directory.clone(),
                cause,
            })?;
        }
        Ok(Self {
            path,
            directory,
            in_place,
            owner,
        })
    }

    /// Where the profile will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        let result = if self.in_place {
            OpenOptions::new()
                .write(true)
                .open(&self.path)
                .and_then(|mut file| file.write_all(bytes))
        } else {
            self.write_beside(bytes)
        };
        result.map_err(|cause| OutputError::Write {
            path: self.path.clone(),
            cause,
        })
    }

    fn write_beside(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".profiler-")
            .suffix(".tmp")
            .tempfile_in(&self.directory)?;
        file.write_all(bytes)?;
        self.set_mode_and_owner(file.as_file())?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The mode of the file that is replaced, or what any program would give a new one.
    fn set_mode_and_owner(&self, file: &File) -> io::Result<()> {
        let mode = fs::metadata(&self.path).map_or_else(
            |_| 0o666 & !umask().bits(),
            |replaced| replaced.permissions().mode() & 0o777,
        );
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(Owner { uid, gid }) = self.owner {
            rustix::fs::fchown(
                file.as_fd(),
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
            )?;
        }
        Ok(())
    }
}

/// The process's file mode creation mask. It can only be read by setting it.
fn umask() -> Mode {
    let mask = rustix::process::umask(Mode::from_bits_truncate(0o077));
    rustix::process::umask(mask);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Destination;

    fn check_refused(path: &Path, expected: &str) {
        let error = Destination::open(path, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    /// What cannot be written is refused before anything is sampled, with its remedy.
    #[test]
    fn bad_destinations_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        check_refused(directory.path(), "is a directory; name a file in it");
        check_refused(
            &directory.path().join("none/cpu.pb.gz"),
            "make it: mkdir -p",
        );
        // /proc can hold no new file, whoever asks.
        check_refused(Path::new("/proc/self/cpu.pb.gz"), "choose another place");
    }

    /// The file appears with its content, the usual mode, and nothing beside it.
    #[test]
    fn file_appears_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cpu.pb.gz");
        let destination = Destination::open(&path, None).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        destination.write(b"profile").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"profile");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o666 & !umask().bits()
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    /// A link stays a link, and the file it points to keeps its mode.
    #[test]
    fn links_and_modes_stay() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let link = directory.path().join("link");
        fs::write(&file, b"old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Destination::open(&link, None)
            .unwrap()
            .write(b"new")
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    /// A device is written to, not replaced, and a full one is named with the remedy.
    #[test]
    fn devices_are_written_in_place() {
        Destination::open(Path::new("/dev/null"), None)
            .unwrap()
            .write(b"gone")
            .unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let error = Destination::open(Path::new("/dev/full"), None)
            .unwrap()
            .write(b"too much")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/dev/full") && error.contains("free some space"),
            "{error}"
        );
    }
}
