//! Which file it is, whatever its name.

use rustix::fs::Stat;

/// The identity of a file's content: another file at the same path, or new content in the same inode, has
/// another one.
///
/// The size and the modification time are part of it because an inode number is used again soon after the
/// file has gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId {
    /// `st_dev`, as this process sees it. Some file systems (btrfs, overlayfs) give `/proc/PID/maps` another.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`, in bytes.
    pub size: u64,
    /// `st_mtime`, in nanoseconds since 1970; what does not fit is cut off.
    pub modified_ns: i64,
}

impl From<&Stat> for FileId {
    fn from(stat: &Stat) -> Self {
        let nanoseconds = stat.st_mtime_nsec.try_into().unwrap_or_default();
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.try_into().unwrap_or_default(),
            modified_ns: stat
                .st_mtime
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds),
        }
    }
}
