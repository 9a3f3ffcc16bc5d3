//! The text of `/proc/PID/maps`, line by line. What a line's name means is left to `kind` and `name`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::addr::{FileOffset, ProcAddr};

/// No line that a kernel writes is longer: a path has at most 4,095 bytes, of which each may be written as
/// four, behind less than a hundred bytes of other fields.
const MAX_LINE: usize = 4 * 4096 + 256;

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

/// All lines of a maps file, and how many could not be used.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Maps {
    /// The well-formed lines, in the order of the text, which is that of the addresses.
    pub lines: Vec<MapsLine>,
    /// Lines that are not as the kernel writes them; they cost nothing but themselves.
    pub malformed: u64,
    /// Lines whose range is empty.
    pub empty: u64,
}

/// Reads the text of a maps file.
///
/// ```text
/// 00400000-0040b000 r-xp 00000000 fc:01 787766      /bin/cat
/// 7f7d77f3f000-7f7d77f42000 rw-p 00000000 00:00 0
/// 7ffc34343000-7ffc34345000 r-xp 00000000 00:00 0   [vdso]
/// 7f2e8c000000-7f2e8c010000 r-xs 00000000 00:01 1030 /memfd:jit code (deleted)
/// ```
///
/// Five fields and the spaces behind them; what then remains of the line is the name, byte for byte: it may
/// hold spaces, tabs and bytes that are no UTF-8.
pub fn parse_maps(text: &[u8]) -> Maps {
    let mut maps = Maps::default();
    for line in text.split(|&byte| byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let previous = maps.lines.last().map(|line| &line.path);
        match parse_line(line, previous) {
            Some(line) if line.start == line.limit => maps.empty += 1,
            Some(line) => maps.lines.push(line),
            None => maps.malformed += 1,
        }
    }
    maps
}

/// Reads one line; shares the name with the line before if it is the same, as it mostly is.
fn parse_line(line: &[u8], previous: Option<&Arc<Path>>) -> Option<MapsLine> {
    if line.len() > MAX_LINE {
        return None;
    }
    let mut fields = line.splitn(5, |&byte| byte == b' ');
    let (start, limit) = pair(fields.next()?, b'-')?;
    let permissions = Permissions::parse(fields.next()?)?;
    let offset = hexadecimal(fields.next()?)?;
    let (major, minor) = pair(fields.next()?, b':')?;
    let rest = fields.next()?;
    let inode_size = rest.iter().position(|&byte| byte == b' ');
    let (inode, rest) = rest.split_at(inode_size.unwrap_or(rest.len()));
    let padding = rest.iter().take_while(|&&byte| byte == b' ').count();
    let path = Path::new(OsStr::from_bytes(&rest[padding..]));
    (start <= limit).then_some(MapsLine {
        start: ProcAddr(start),
        limit: ProcAddr(limit),
        permissions,
        offset: FileOffset(offset),
        device: Device {
            major: major.try_into().ok()?,
            minor: minor.try_into().ok()?,
        },
        inode: decimal(inode)?,
        path: previous
            .filter(|previous| previous.as_os_str() == path.as_os_str())
            .map_or_else(|| Arc::from(path), Arc::clone),
    })
}

fn pair(field: &[u8], separator: u8) -> Option<(u64, u64)> {
    let at = field.iter().position(|&byte| byte == separator)?;
    Some((hexadecimal(&field[..at])?, hexadecimal(&field[at + 1..])?))
}

/// One to sixteen hexadecimal digits and nothing else; the standard library would take a sign as well.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | u64::from(char::from(digit).to_digit(16)?))
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

impl MapsLine {
    /// Whether both lines show the same file.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, &self.path) == (other.device, other.inode, &other.path)
    }
}

impl Permissions {
    fn parse(field: &[u8]) -> Option<Self> {
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
