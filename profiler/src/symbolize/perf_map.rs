//! Names of functions that a JIT compiler wrote, out of the perf map it leaves behind.
//!
//! The format is that of `tools/perf/Documentation/jit-interface.txt` in the kernel's source. Where the file of a
//! process lies is left to the caller. blazesym reads these maps only for a living process, through its pid.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::names::plain;
use super::{Miss, Named};
use crate::addr::ElfAddr;

/// The names of the functions that contain `addresses`, in their order, out of the perf map `path`.
///
/// Where entries overlap, the later one counts: the JIT has used the memory again.
pub(super) fn symbolize(path: &Path, addresses: &[ElfAddr]) -> Vec<Named> {
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    order.sort_unstable_by_key(|&index| addresses[index]);
    let sorted: Vec<u64> = order.iter().map(|&index| addresses[index].0).collect();
    let mut names = vec![None; sorted.len()];
    let result = open(path).and_then(|file| read(file, &sorted, &mut names));
    let mut answers = vec![Err(Miss::NoSymbol); addresses.len()];
    for (index, name) in order.into_iter().zip(names) {
        answers[index] = match (name, &result) {
            (Some(name), _) => Ok(vec![plain(&name).into()]),
            (None, Ok(())) => Err(Miss::NoSymbol),
            (None, Err(error)) => Err(Miss::Unreadable(format!("{}: {error}", path.display()))),
        };
    }
    answers
}

/// Opens without waiting: anybody can put a named pipe in `/tmp`, and reading that would never end.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// Reads all entries and notes the name of each that contains one of the sorted addresses.
///
/// Lines that do not parse are passed over: the process may be writing the last one at this moment.
fn read(file: impl io::Read, sorted: &[u64], names: &mut [Option<String>]) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, end, name)) = entry(&line) {
            let first = sorted.partition_point(|&address| address < start);
            let past = sorted.partition_point(|&address| address < end);
            for known in names.get_mut(first..past).unwrap_or_default() {
                *known = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        line.clear();
    }
    Ok(())
}

/// Start, end and name of an entry: `7fbf1fc21000 b py::_find_and_load:<frozen importlib._bootstrap>`.
fn entry(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.trim_ascii_end().splitn(3, |&byte| byte == b' ');
    let mut number = || {
        let digits = str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((start, start.saturating_add(size), name))
}
