//! The name of a mapped file, recovered from what a maps line shows of it.
//!
//! The kernel writes a newline as `\012` and nothing else in another way (seq_file_path in fs/seq_file.c),
//! and appends ` (deleted)` to what is no longer at its path (d_path in fs/d_path.c). Both may as well be
//! part of the name, so the file system is asked.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::files::{is_file_at, map_files_link};
use super::kind::{DELETED, MEMFD, MappingKind};
use super::maps_line::MapsLine;
use super::procdir::ProcDir;

/// How the kernel writes a newline in a maps line.
const NEWLINE: &[u8] = b"\\012";

/// A name and whether the file is still there under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) path: PathBuf,
    pub(super) deleted: bool,
}

impl Name {
    fn new(path: &[u8], deleted: bool) -> Self {
        Self {
            path: OsString::from_vec(path.to_vec()).into(),
            deleted,
        }
    }

    /// The name that the line shows, as the process knows it.
    ///
    /// Without the process's directory, which goes when the process does, the line is believed.
    pub(super) fn of(line: &MapsLine, kind: MappingKind, directory: Option<&ProcDir>) -> Self {
        let shown = line.path.as_os_str().as_bytes();
        match kind {
            MappingKind::File => file_name(line, shown, directory),
            // A memfd never had a place that it could be deleted from.
            MappingKind::Memfd => Self::new(shown.strip_suffix(DELETED).unwrap_or(shown), false),
            _ => Self::new(shown, false),
        }
    }
}

/// Whether the file system has to be asked what a name means.
pub(super) fn is_ambiguous(path: &Path) -> bool {
    let shown = path.as_os_str().as_bytes();
    contains(shown, NEWLINE) || shown.ends_with(DELETED)
}

/// What the creator of a memfd called it.
pub(super) fn memfd_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(MEMFD)
}

fn file_name(line: &MapsLine, shown: &[u8], directory: Option<&ProcDir>) -> Name {
    let escaped = contains(shown, NEWLINE);
    if !escaped && !shown.ends_with(DELETED) {
        return Name::new(shown, false);
    }
    // The link is never escaped. It may be too long to be read, or belong to another mapping by now.
    let link = directory
        .filter(|_| escaped)
        .and_then(|directory| {
            directory
                .read_link(&map_files_link(line.start, line.limit))
                .ok()
        })
        .filter(|link| escape(link) == shown);
    let candidates = match link {
        Some(link) => vec![link],
        None if escaped => vec![shown.to_vec(), unescape(shown)],
        None => vec![shown.to_vec()],
    };
    let present = |path: &[u8]| {
        directory
            .is_some_and(|directory| is_file_at(directory, line, OsStr::from_bytes(path).as_ref()))
    };
    if let Some(path) = candidates.iter().find(|path| present(path)) {
        return Name::new(path, false);
    }
    let path = &candidates[0];
    match path.strip_suffix(DELETED) {
        Some(path) => Name::new(path, true),
        None => Name::new(path, false),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn escape(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'\n' => text.extend_from_slice(NEWLINE),
            byte => text.push(*byte),
        }
    }
    text
}

fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        if let Some(rest) = text.strip_prefix(NEWLINE) {
            name.push(b'\n');
            text = rest;
        } else {
            name.push(*first);
            text = rest;
        }
    }
    name
}
