//! Core files made field by field.

use crate::binary::elf_builder::{Elf, R, RX};
use crate::process::core_file::notes::{NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS};
use crate::process::{CoreFile, Search};

pub(super) const PAGE: u64 = 4096;
/// Where the program is in [`program_in_memory`], and what its build-id is.
pub(super) const BASE: u64 = 0x5555_0000_0000;
pub(super) const ID: &str = "000102030405060708090a0b0c0d0e0f10111213";

/// An empty core file.
pub(super) fn core() -> Elf {
    core_of(true, false)
}

/// An empty core file of another class or byte order.
pub(super) fn core_of(is_64: bool, big: bool) -> Elf {
    let mut elf = Elf::of_class(is_64, big);
    elf.e_type = 4;
    elf.section_headers = false;
    elf
}

/// Opens it without looking for other files.
pub(super) fn open(core: &Elf) -> CoreFile {
    from_bytes(core.build())
}

pub(super) fn from_bytes(bytes: Vec<u8>) -> CoreFile {
    CoreFile::from_bytes(bytes, &only_core()).expect("a core file")
}

pub(super) fn only_core() -> Search {
    Search {
        core_only: true,
        ..Search::default()
    }
}

/// A note of the owner CORE.
pub(super) fn note(core: &Elf, kind: u32, desc: &[u8]) -> Vec<u8> {
    core.note(b"CORE\0", kind, desc, 4)
}

/// `NT_PRSTATUS` of a thread whose registers are `tid * 100` and on, in the kernel's order.
pub(super) fn status(core: &Elf, tid: u32, signal: u16) -> Vec<u8> {
    let (tid_at, size) = if core.is_64 { (32, 336) } else { (24, 144) };
    let mut desc = vec![0; size];
    desc[12..14].copy_from_slice(&core.number(signal.into(), 2));
    desc[tid_at..][..4].copy_from_slice(&core.number(tid.into(), 4));
    if core.is_64 {
        for index in 0..27 {
            let value = core.number(u64::from(tid) * 100 + index, 8);
            desc[112 + 8 * index as usize..][..8].copy_from_slice(&value);
        }
    }
    note(core, NT_PRSTATUS, &desc)
}

/// `NT_PRPSINFO`.
pub(super) fn info(core: &Elf, pid: u32, name: &[u8], args: &[u8]) -> Vec<u8> {
    let (pid_at, name_at, args_at, size) = if core.is_64 {
        (24, 40, 56, 136)
    } else {
        (12, 28, 44, 124)
    };
    let mut desc = vec![0; size];
    desc[pid_at..][..4].copy_from_slice(&core.number(pid.into(), 4));
    desc[name_at..][..name.len()].copy_from_slice(name);
    desc[args_at..][..args.len()].copy_from_slice(args);
    note(core, NT_PRPSINFO, &desc)
}

/// `NT_FILE` of ranges with start, limit, offset as stated, and name.
pub(super) fn files(core: &Elf, unit: u64, ranges: &[(u64, u64, u64, &[u8])]) -> Vec<u8> {
    let mut desc = core.address(ranges.len() as u64);
    desc.extend(core.address(unit));
    for (start, limit, offset, _) in ranges {
        for word in [*start, *limit, *offset] {
            desc.extend(core.address(word));
        }
    }
    for (.., name) in ranges {
        desc.extend_from_slice(name);
        desc.push(0);
    }
    note(core, NT_FILE, &desc)
}

/// `NT_AUXV` of pairs.
pub(super) fn auxiliary(core: &Elf, pairs: &[(u64, u64)]) -> Vec<u8> {
    let words = pairs.iter().flat_map(|(key, value)| [*key, *value]);
    let desc: Vec<u8> = words.flat_map(|word| core.address(word)).collect();
    note(core, NT_AUXV, &desc)
}

/// The first bytes of a program, with a build-id, that has its code a page further.
pub(super) fn program() -> Vec<u8> {
    let elf = Elf::new();
    let id: Vec<u8> = (0..20).collect();
    let note = elf.note(b"GNU\0", 3, &id, 4);
    elf.load(R, 0, 0, 0x2000)
        .load(RX, 0x2000, 0x2000, 0x1000)
        .note_segment(&note, 4)
        .build()
}

/// A core file of that program: its first pages dumped, its code not.
pub(super) fn program_in_memory(core: &Elf, path: &[u8]) -> Elf {
    let text = BASE + 0x2000;
    let mut notes = status(core, 7, 11);
    notes.extend(auxiliary(core, &[(3, BASE + 64), (6, PAGE), (0, 0)]));
    notes.extend(files(
        core,
        PAGE,
        &[(BASE, text, 0, path), (text, text + 0x1000, 2, path)],
    ));
    core.clone()
        .note_segment(&notes, 4)
        .dumped(R, BASE, &program(), 0x2000)
        .dumped(RX, text, &[], 0x1000)
}
