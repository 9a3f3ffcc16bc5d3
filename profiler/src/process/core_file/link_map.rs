//! Names of modules by the dynamic loader's own list, for core files without a list of mapped files.
//!
//! The program's dynamic section leads to it: `DT_DEBUG` holds the address of `struct r_debug`, which begins with
//! a version and holds the first `struct link_map` (glibc's elf/link.h). Words are as wide as an address.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::bytes::Format;
use super::memory::Memory;
use crate::addr::ProcAddr;
use crate::binary::{Identity, PT_DYNAMIC, Program};
use crate::process::{Loaded, ReadMemory};

const DT_DEBUG: u64 = 21;
/// More entries than any dynamic section has, and more modules than any process.
const MOST: u64 = 1 << 14;
/// `PATH_MAX` of the kernel.
const LONGEST_NAME: usize = 4096;

/// Load bias and name of each module that the loader has loaded; the program itself has no name there.
pub(super) fn names(
    memory: &Memory,
    format: Format,
    main: ProcAddr,
    bias: u64,
) -> Vec<(u64, PathBuf)> {
    let image = Loaded::new(memory, main);
    let mut dynamic: Option<Program> = None;
    if let Ok(identity) = Identity::read(&image)
        && let Err(error) = identity.programs(&image, |program| {
            if program.kind == PT_DYNAMIC {
                dynamic = Some(program);
            }
        })
    {
        log::debug!("program headers at {main:#x}: {error}");
    }
    let start = dynamic.map(|dynamic| bias.wrapping_add(dynamic.vaddr));
    start
        .and_then(|start| debug_structure(memory, format, start))
        .map_or_else(Vec::new, |first| walk(memory, format, first))
}

/// The first entry of the list.
fn debug_structure(memory: &Memory, format: Format, dynamic: u64) -> Option<u64> {
    let size = format.word_size() as u64;
    let entries = (0..MOST).map(|index| dynamic.wrapping_add(2 * index * size));
    for entry in entries {
        match word(memory, format, entry)? {
            0 => return None,
            DT_DEBUG => {
                let debug = word(memory, format, entry.wrapping_add(size))?;
                return word(memory, format, debug.wrapping_add(size));
            }
            _ => {}
        }
    }
    None
}

fn walk(memory: &Memory, format: Format, first: u64) -> Vec<(u64, PathBuf)> {
    let size = format.word_size() as u64;
    let mut names = Vec::new();
    let mut entry = first;
    while entry != 0 && (names.len() as u64) < MOST {
        let field = |index: u64| word(memory, format, entry.wrapping_add(index * size));
        let (Some(bias), Some(name), Some(next)) = (field(0), field(1), field(3)) else {
            break;
        };
        names.push((bias, text(memory, name).into()));
        entry = next;
    }
    names
}

/// A text in memory, up to its zero.
pub(super) fn text(memory: &Memory, address: u64) -> OsString {
    let mut bytes = vec![0; LONGEST_NAME];
    let read = memory.read(ProcAddr(address), &mut bytes);
    let text = bytes[..read.count].split(|byte| *byte == 0).next();
    OsString::from_vec(text.unwrap_or_default().to_vec())
}

fn word(memory: &Memory, format: Format, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    let bytes = &mut bytes[..format.word_size()];
    let read = memory.read(ProcAddr(address), bytes);
    read.missing.is_none().then(|| format.word(bytes, 0))?
}
