//! Which of a process's files is its main binary.

use super::auxv::{Auxv, words};
use super::maps_line::{Device, MapsLine};
use super::procdir::ProcDir;
use crate::addr::ProcAddr;
use crate::binary::ReadAt;

/// As much of a stack as is searched for the auxiliary vector: a hundred thousand arguments and variables.
const MAX_STACK: usize = 1 << 20;

/// A file as the maps lines name it.
pub(super) type MappedFile = (Device, u64);

/// The main binary among these lines.
///
/// Mostly that is the file behind `/proc/PID/exe`. Two cases differ:
///
/// * Some file systems (btrfs, overlayfs) give a file another device number in maps lines than in `stat`.
///   The program headers that the kernel told the program of are then in the right file.
/// * `ld.so ./program`: the kernel started the dynamic loader, and that is what it tells. But glibc's loader
///   then corrects the copy of the auxiliary vector on the program's stack. (musl's does not; there the
///   loader stays the main binary.)
///
/// Unless `may_ask`, the file itself, whose file system may not answer, is not looked at.
pub(super) fn main_file(
    directory: &ProcDir,
    may_ask: bool,
    lines: &[MapsLine],
    auxv: &[u8],
) -> Option<MappedFile> {
    let auxv = Auxv::parse(auxv);
    let executable = may_ask
        .then(|| directory.executable().ok())
        .flatten()
        .map(|stat| (Device::of(stat.st_dev), stat.st_ino))
        .filter(|file| lines.iter().any(|line| (line.device, line.inode) == *file));
    let told = executable.or_else(|| file_at(lines, auxv?.program_headers));
    if auxv.is_some_and(|auxv| auxv.loader == 0) {
        let corrected = stack_auxv(directory).and_then(|auxv| file_at(lines, auxv.program_headers));
        return corrected.or(told);
    }
    told
}

/// The file that is mapped at an address.
pub(super) fn file_at(lines: &[MapsLine], address: u64) -> Option<MappedFile> {
    let address = ProcAddr(address);
    lines
        .iter()
        .find(|line| line.start <= address && address < line.limit && line.inode != 0)
        .map(|line| (line.device, line.inode))
}

/// The auxiliary vector on the stack, which begins with the argument count, the arguments, a null pointer,
/// the environment, a null pointer (System V ABI, "Initial Process Stack").
fn stack_auxv(directory: &ProcDir) -> Option<Auxv> {
    let start = directory.stat_field(28).filter(|start| *start != 0)?;
    let memory = directory.memory().ok()?;
    let mut stack = vec![0; MAX_STACK];
    let mut size = 0;
    // Reading stops at the end of the stack, which is less than this away.
    while size < stack.len() {
        match memory.read_at(start + size as u64, &mut stack[size..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => size += count,
        }
    }
    let stack = &stack[..size];
    [8, 4]
        .into_iter()
        .find_map(|word| behind_environment(stack, word))
}

fn behind_environment(stack: &[u8], word: usize) -> Option<Auxv> {
    let mut values = words(stack, word);
    let arguments = usize::try_from(values.next()?).ok()?;
    if values.nth(arguments)? != 0 {
        return None;
    }
    let environment = values.take_while(|value| *value != 0).count();
    let start = arguments
        .checked_add(environment)?
        .checked_add(3)?
        .checked_mul(word)?;
    Auxv::parse(stack.get(start..)?)
}
