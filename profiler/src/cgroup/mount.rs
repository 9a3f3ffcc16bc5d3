//! Where the file system of control groups of version 2 is mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The first place, as this process sees it.
pub(crate) fn version_2() -> Option<PathBuf> {
    let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
    in_mountinfo(&mounts).filter(|place| place.is_dir())
}

/// Of lines as in proc(5):
///
/// ```text
/// 30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
/// ```
fn in_mountinfo(text: &[u8]) -> Option<PathBuf> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = fields.nth(4)?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (kind == b"cgroup2").then(|| unescaped(place))
    })
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, behind @ ..] = rest {
        let digits = (*first == b'\\').then(|| behind.get(..3)).flatten();
        let value =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    Path::new(&OsString::from_vec(bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the hierarchy of version 2 is taken, and odd names are read as they are.
    #[test]
    fn mounts() {
        let version_1 = "33 32 0:30 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu\n";
        let unified =
            "42 32 0:39 / /sys/fs/cgroup/unified rw shared:1 shared:2 - cgroup2 cgroup2 rw\n";
        let odd = "42 32 0:39 / /mnt/my\\040groups rw - cgroup2 none rw";
        let cases = [
            (String::new(), None),
            (version_1.to_owned(), None),
            (
                format!("{version_1}{unified}"),
                Some("/sys/fs/cgroup/unified"),
            ),
            (odd.to_owned(), Some("/mnt/my groups")),
            ("1 2 3\n\n- cgroup2".to_owned(), None),
        ];
        for (text, expected) in cases {
            let found = in_mountinfo(text.as_bytes());
            assert_eq!(found.as_deref(), expected.map(Path::new), "{text}");
        }
    }
}
