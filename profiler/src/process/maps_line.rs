//! What one maps line says: a range of memory, what may be done with it, and what it shows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::addr::{FileOffset, ProcAddr};

/// One line of `/proc/PID/maps`, or what a memory-mapping event of the kernel says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapsLine {
    /// The first address.
    pub start: ProcAddr,
    /// The first address behind the range.
    pub limit: ProcAddr,
    /// What may be done with the memory.
    pub permissions: Permissions,
    /// Where in the file the range begins; no meaning for memory that is no file's.
    pub offset: FileOffset,
    /// The file system that the file is on.
    pub device: Device,
    /// The file's inode number; 0 for memory that is no file's.
    pub inode: u64,
    /// The name as the kernel wrote it: with `\012` for each newline, and with ` (deleted)`.
    pub path: Arc<Path>,
}

/// The permission column of a maps line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Permissions {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `x`
    pub execute: bool,
    /// `s` instead of `p`: writes are seen by others.
    pub shared: bool,
}

/// A device number as the kernel writes it in a maps line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Device {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl MapsLine {
    /// The file that is mapped.
    pub(super) fn file(&self) -> (Device, u64) {
        (self.device, self.inode)
    }

    /// Whether both lines show the same file.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, &self.path) == (other.device, other.inode, &other.path)
    }
}

impl Permissions {
    /// Reads the column: four letters, each its own or a dash.
    pub(super) fn parse(field: &[u8]) -> Option<Self> {
        let flag = |byte, set| match byte {
            b'-' => Some(false),
            byte if byte == set => Some(true),
            _ => None,
        };
        let &[read, write, execute, shared] = field else {
            return None;
        };
        Some(Self {
            read: flag(read, b'r')?,
            write: flag(write, b'w')?,
            execute: flag(execute, b'x')?,
            shared: match shared {
                b's' => true,
                b'p' => false,
                _ => return None,
            },
        })
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |set, letter| if set { letter } else { '-' };
        write!(
            f,
            "{}{}{}{}",
            flag(self.read, 'r'),
            flag(self.write, 'w'),
            flag(self.execute, 'x'),
            if self.shared { 's' } else { 'p' }
        )
    }
}

impl Device {
    /// The device of a `st_dev`.
    pub(super) fn of(st_dev: u64) -> Self {
        Self {
            major: rustix::fs::major(st_dev),
            minor: rustix::fs::minor(st_dev),
        }
    }

    /// The `st_dev` of this device.
    pub(super) fn st_dev(self) -> u64 {
        rustix::fs::makedev(self.major, self.minor)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}", self.major, self.minor)
    }
}
