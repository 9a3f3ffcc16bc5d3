//! Opening somebody else's file without disturbing anybody.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, open, openat};

use super::BinaryError;

/// Opens a regular file for reading; anything else is refused before it is really opened.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Stat), BinaryError> {
    open_regular_at(CWD, path)
}

/// Like [`open_regular`], with relative paths starting at a directory.
///
/// A path in another process's view can name anything. Opening a FIFO may wait for ever, opening it without
/// waiting lets a writer go on that should not, and opening a device may start a tape or a watchdog. So the
/// file is first only pointed at (`O_PATH`), looked at, and then opened through that pointer, which also
/// leaves no time to exchange it between the look and the opening.
pub(crate) fn open_regular_at(
    directory: impl AsFd,
    path: &Path,
) -> Result<(File, Stat), BinaryError> {
    let pointer = openat(
        directory,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = fstat(&pointer)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((reopen(&pointer)?, stat)),
        other => Err(BinaryError::NotRegular(other)),
    }
}

/// A second, independent descriptor for reading what this one points at.
fn reopen(descriptor: &impl AsRawFd) -> rustix::io::Result<File> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map(File::from)
}
