//! Separate debug files: where a distribution or a developer has put what was stripped from a binary.
//!
//! Finds and verifies; reading names out of the file is left to the caller. blazesym could search for itself,
//! but knows a binary only by the path under which it opens it, which here is a descriptor in `/proc/self/fd`:
//! it would look beside whatever file that descriptor's name points to, and ignore build-ids of binaries
//! without a debug link.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fstat};

use super::contents::Contents;
use crate::binary::FileId;

/// Where distributions install debug files; gdb's own default is the first.
pub(super) const DEFAULT_DIRECTORIES: [&str; 2] = ["/usr/lib/debug", "/lib/debug"];

/// A debug file that belongs to the binary it was searched for.
#[derive(Debug)]
pub(super) struct DebugFile {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) contents: Contents,
}

/// The debug file of the binary that has these `contents` and that its process knows as `path`.
///
/// Searches as gdb does (manual, "Debugging Information in Separate Files"): first by build-id below each of
/// `directories`, then by the name in the debug link beside the binary, in `.debug` beside it, and below each
/// of `directories` under the binary's own directory. A candidate that belongs to another build is passed over.
pub(super) fn find(contents: &Contents, path: &Path, directories: &[PathBuf]) -> Option<DebugFile> {
    let by_build_id = contents
        .build_id
        .iter()
        .flat_map(|id| build_id_candidates(id, directories));
    let by_link = contents.debug_link.iter().flat_map(|(name, crc)| {
        link_candidates(name, path, directories)
            .into_iter()
            .map(move |path| (path, Some(*crc)))
    });
    by_build_id
        .map(|path| (path, None))
        .chain(by_link)
        .find_map(|(candidate, crc)| open(candidate, contents, crc))
}

fn build_id_candidates(id: &[u8], directories: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let name = id.split_first().map(|(first, rest)| {
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        PathBuf::from(format!(".build-id/{first:02x}/{rest}.debug"))
    });
    directories
        .iter()
        .filter_map(move |directory| Some(directory.join(name.as_ref()?)))
}

fn link_candidates(name: &OsStr, path: &Path, directories: &[PathBuf]) -> Vec<PathBuf> {
    // `[vdso]` and other names that are no paths have no directory to search.
    let Some(directory) = path.is_absolute().then(|| path.parent()).flatten() else {
        return Vec::new();
    };
    let below = directory.strip_prefix("/").unwrap_or(directory);
    [directory.to_owned(), directory.join(".debug")]
        .into_iter()
        .chain(directories.iter().map(|debug| debug.join(below)))
        .map(|directory| directory.join(name))
        .filter(|candidate| candidate != path)
        .collect()
}

/// Opens a candidate, and checks that it belongs to `binary`.
///
/// Two build-ids decide. If either file has none, the link's checksum does, at the price of reading all of the
/// candidate; a candidate found by build-id has been vouched for by the name it was found under.
fn open(path: PathBuf, binary: &Contents, crc: Option<u32>) -> Option<DebugFile> {
    // Without waiting: a named pipe in the directory of the binary must not stop the profiler.
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let contents = Contents::read(&file)
        .map_err(|error| log::debug!("debug file {}: {error}", path.display()))
        .ok()?;
    let belongs = match (&binary.build_id, &contents.build_id, crc) {
        (Some(wanted), Some(found), _) => wanted == found,
        (_, _, Some(wanted)) => checksum(&file).is_ok_and(|found| found == wanted),
        (_, _, None) => true,
    };
    if !belongs {
        log::debug!("debug file {} belongs to another build", path.display());
        return None;
    }
    let id = FileId::from(&fstat(&file).ok()?);
    (contents.debug_info || contents.symbols).then_some(DebugFile { path, id, contents })
}

/// The CRC-32 of a whole file, as debug links have it.
fn checksum(mut file: &File) -> io::Result<u32> {
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0; 64 << 10];
    io::Seek::rewind(&mut file)?;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc.sum()),
            count => crc.update(&buffer[..count]),
        }
    }
}
