//! The text of `/proc/PID/maps`, line by line. What a line says is left to `maps_line`, `kind`
//! and `name`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::maps_line::{Device, MapsLine, Permissions};
use crate::addr::{FileOffset, ProcAddr};

/// No line that a kernel writes is longer: a path has at most 4,095 bytes, of which each may be written as
/// four, behind less than a hundred bytes of other fields.
const MAX_LINE: usize = 4 * 4096 + 256;

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
