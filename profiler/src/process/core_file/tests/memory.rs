//! Memory: what the core file has, the files underneath, and what neither has.

use super::made::{BASE, PAGE, core, files, from_bytes, open, program, program_in_memory};
use crate::addr::ProcAddr;
use crate::binary::elf_builder::{R, RW, RX};
use crate::process::{CoreFile, MemoryRead, Origin, ReadMemory, Search, Unavailable};

fn read(core: &CoreFile, address: u64, size: usize) -> (Vec<u8>, Option<Unavailable>) {
    let mut bytes = vec![0xee; size];
    let MemoryRead { count, missing } = core.read(ProcAddr(address), &mut bytes);
    bytes.truncate(count);
    (bytes, missing)
}

fn origin(core: &CoreFile, address: u64) -> Result<Origin, Unavailable> {
    let mut byte = [0];
    core.read_piece(ProcAddr(address), &mut byte)
        .map(|piece| piece.origin)
}

/// CO-03: reads within, across and beyond ranges; a short read says how many bytes it has and why not more.
#[test]
fn reads() {
    let core = open(
        &core()
            .dumped(RW, 0x1000, b"abcd", 4)
            .dumped(RW, 0x1004, b"efgh", 4)
            .dumped(RW, 0x1010, b"ijkl", 4),
    );
    let nothing = Some(Unavailable::NotMapped);
    assert_eq!(read(&core, 0x900, 4), (vec![], nothing));
    assert_eq!(read(&core, 0x1100, 4), (vec![], nothing));
    assert_eq!(read(&core, 0x1000, 4), (b"abcd".to_vec(), None));
    assert_eq!(read(&core, 0x1002, 4), (b"cdef".to_vec(), None));
    assert_eq!(read(&core, 0x1007, 4), (b"h".to_vec(), nothing));
    assert_eq!(read(&core, u64::MAX, 4), (vec![], nothing));
}

/// CO-04: below a range that shows the middle of a file there is nothing, not the file's beginning.
#[test]
fn nothing_below_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prog");
    let mut content = program();
    content.resize(0x6000, 7);
    std::fs::write(&path, &content).unwrap();
    let name = path.as_os_str().as_encoded_bytes();
    let elf = core();
    let notes = files(
        &elf,
        PAGE,
        &[
            (0x40_0000, 0x40_2000, 3, name),
            (BASE, BASE + 0x1000, 0, name),
        ],
    );
    let bytes = elf
        .note_segment(&notes, 4)
        .dumped(RX, 0x40_0000, &[], 0x2000)
        .dumped(R, BASE, &content[..0x1000], 0x1000)
        .build();
    let core = CoreFile::from_bytes(bytes, &Search::default()).unwrap();
    assert_eq!(
        read(&core, 0x3f_f000, 4),
        (vec![], Some(Unavailable::NotMapped))
    );
    assert_eq!(
        read(&core, 0x3f_d000, 4),
        (vec![], Some(Unavailable::NotMapped))
    );
    assert_eq!(read(&core, 0x40_0000, 4), (vec![7; 4], None));
    assert_eq!(origin(&core, 0x40_0000), Ok(Origin::File));
}

/// CO-18: memory behind the cut is missing for that reason.
#[test]
fn cut_in_memory() {
    let mut bytes = core().dumped(RW, 0x1000, &[9; 0x2000], 0x2000).build();
    bytes.truncate(bytes.len() - 0x1800);
    let core = from_bytes(bytes);
    assert_eq!(
        read(&core, 0x1700, 0x200),
        (vec![9; 0x100], Some(Unavailable::Truncated))
    );
    assert_eq!(origin(&core, 0x2800), Err(Unavailable::Truncated));
    assert!(core.damages().iter().any(crate::process::Damage::is_loss));
}

/// CO-19: a module's first page is the core file's, the rest its file's.
#[test]
fn file_underneath() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lib.so");
    let mut content = program();
    content.resize(0x2_6000, 0x11);
    std::fs::write(&path, &content).unwrap();
    let elf = core();
    let name = path.as_os_str().as_encoded_bytes();
    let notes = files(&elf, PAGE, &[(BASE, BASE + 0x2_6000, 0, name)]);
    // The build-id is in the second page of this program, so its first two are dumped.
    let mut dumped = content[..0x2000].to_vec();
    dumped[0xfff] = 0x22;
    let bytes = elf
        .note_segment(&notes, 4)
        .dumped(R, BASE, &dumped, 0x2_6000)
        .build();
    let core = CoreFile::from_bytes(bytes, &Search::default()).unwrap();
    assert_eq!(read(&core, BASE + 0xfff, 1), (vec![0x22], None));
    assert_eq!(origin(&core, BASE), Ok(Origin::Core));
    assert_eq!(origin(&core, BASE + 0x2000), Ok(Origin::File));
    assert_eq!(read(&core, BASE + 0x1ffe, 4).0[2..], [0x11; 2]);
    assert_eq!(
        read(&core, BASE + 0x2_5fff, 4),
        (vec![0x11], Some(Unavailable::NotMapped))
    );
}

/// CO-20: memory that was not dumped and is no file's is not zeros.
#[test]
fn not_dumped() {
    let core = open(&core().dumped(RW, 0x1000, &[], 0x1_0000));
    assert_eq!(
        read(&core, 0x1000, 8),
        (vec![], Some(Unavailable::NotDumped))
    );
}

/// Why a file's bytes are not there: it is not here, it is another one, it has become shorter.
#[test]
fn files_that_do_not_help() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prog");
    let core_file = program_in_memory(&core(), path.as_os_str().as_encoded_bytes()).build();
    let text = BASE + 0x2000;
    let opened = || CoreFile::from_bytes(core_file.clone(), &Search::default()).unwrap();
    assert_eq!(origin(&opened(), text), Err(Unavailable::FileMissing));
    let mut other = program();
    std::fs::write(&path, &other).unwrap();
    assert_eq!(origin(&opened(), text), Err(Unavailable::BeyondFile));
    let end = other.len() - 1;
    other[end] ^= 0xff;
    std::fs::write(&path, &other).unwrap();
    assert_eq!(origin(&opened(), text), Err(Unavailable::OtherFile));
}
