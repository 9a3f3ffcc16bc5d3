//! The way from a mapping to its file, through the mapping while the process lives and never by the path alone.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat, fstat, statat};
use rustix::io::Errno;

use super::kind::MappingKind;
use super::mapping::Mapping;
use super::maps_line::{Device, MapsLine};
use super::procdir::ProcDir;
use super::{OpenError, error::is_gone};
use crate::addr::ProcAddr;
use crate::binary::{BinaryError, open_regular, open_regular_at};

/// An opened file, and whether the link that leads to exactly the mapped file was refused.
pub(super) struct Opened {
    pub(super) file: Result<File, OpenError>,
    pub(super) link_denied: bool,
}

/// A path by which the mapped file can be opened now, best first: its link in `map_files`, which leads to
/// the mapped file itself even when it was deleted; else its path below the process's own root directory, if
/// the file there is the mapped one; else `None`.
///
/// What a path leads to may change between this answer and its use. [`Mapping::binary`] has no such gap.
pub fn openable_path(proc_root: &Path, pid: u32, mapping: &Mapping) -> Option<PathBuf> {
    let mut directory = ProcDir::open(proc_root, pid).ok()?;
    // Tells through which thread the files are seen.
    directory.maps().ok()?;
    let process = proc_root.join(pid.to_string());
    let link = mapping.map_files_link()?;
    if open_regular_at(&directory, &link).is_ok() {
        return Some(process.join(link));
    }
    open_below_root(&directory, mapping).ok()?;
    Some(process.join(directory.in_root(&mapping.path)))
}

/// Opens the mapped file.
pub(super) fn open_mapped(directory: &ProcDir, mapping: &Mapping) -> Opened {
    let Some(link) = mapping.map_files_link() else {
        return Opened {
            file: Err(OpenError::NoFile),
            link_denied: false,
        };
    };
    let error = match open_regular_at(directory, &link) {
        Ok((file, _)) => {
            return Opened {
                file: Ok(file),
                link_denied: false,
            };
        }
        Err(error) => error,
    };
    let link_denied = matches!(errno(&error), Some(Errno::PERM | Errno::ACCESS));
    let file = match error {
        // The link says what the file is; its path would say no better.
        BinaryError::NotRegular(_) => Err(error.into()),
        _ => open_below_root(directory, mapping),
    };
    Opened { file, link_denied }
}

/// Opens the file by its path, as the process would, and makes sure that it is the mapped one.
fn open_below_root(directory: &ProcDir, mapping: &Mapping) -> Result<File, OpenError> {
    if mapping.kind != MappingKind::File || mapping.deleted {
        return Err(OpenError::Deleted);
    }
    let path = directory.in_root(&mapping.path);
    match open_regular_at(directory, &path) {
        Ok((file, stat))
            if (Device::of(stat.st_dev), stat.st_ino) == (mapping.device, mapping.inode) =>
        {
            Ok(file)
        }
        Ok(_) => Err(OpenError::OtherFile),
        Err(error) if errno(&error).is_some_and(is_gone) => {
            // Either the file has gone or the process.
            match fstat(directory.as_fd()).and(directory.read("stat")) {
                Ok(_) => Err(OpenError::Deleted),
                Err(_) => Err(OpenError::Gone),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the file of a process that has ended, or is about to and has given up its memory, by its path in this
/// process's own view or in its parent's, if the mapped file is there. Most programs that live for milliseconds are seen
/// alive too late to be asked, and lie where everybody finds them; those of a container are found as the shell in it does.
pub(super) fn open_left_behind(
    mapping: &Mapping,
    proc_root: &Path,
    parent: Option<u32>,
) -> Option<File> {
    if mapping.kind != MappingKind::File || mapping.deleted {
        return None;
    }
    let is_mapped =
        |stat: &Stat| (Device::of(stat.st_dev), stat.st_ino) == (mapping.device, mapping.inode);
    let own = open_regular(&mapping.path).ok();
    if let Some((file, _)) = own.filter(|(_, stat)| is_mapped(stat)) {
        return Some(file);
    }
    let directory = ProcDir::open(proc_root, parent?).ok()?;
    let found = open_regular_at(&directory, &directory.in_root(&mapping.path)).ok();
    found
        .filter(|(_, stat)| is_mapped(stat))
        .map(|(file, _)| file)
}

/// Whether the file that a line shows is the one that the process finds at `path`.
pub(super) fn is_file_at(directory: &ProcDir, line: &MapsLine, path: &Path) -> bool {
    let Ok(found) = statat(directory, directory.in_root(path), AtFlags::empty()) else {
        return false;
    };
    // Asked in the same way, both answers name the device alike; a maps line may name it differently.
    let mapped = directory
        .stat(&map_files_link(line.start, line.limit))
        .map_or((line.device.st_dev(), line.inode), |stat| {
            (stat.st_dev, stat.st_ino)
        });
    (found.st_dev, found.st_ino) == mapped
}

/// The name of a range's link, below the process's directory. The kernel finds it only with lower-case
/// digits and without leading zeros.
pub(super) fn map_files_link(start: ProcAddr, limit: ProcAddr) -> PathBuf {
    format!("map_files/{start:x}-{limit:x}").into()
}

fn errno(error: &BinaryError) -> Option<Errno> {
    match error {
        BinaryError::Io(error) => Errno::from_io_error(error),
        _ => None,
    }
}
