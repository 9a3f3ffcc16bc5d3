//! The list of mapped files, and the modules that are found by it or without it.

use std::path::Path;

use super::made::{
    BASE, ID, PAGE, auxiliary, core, core_of, files, from_bytes, note, open, program,
    program_in_memory, status,
};
use crate::addr::{ElfAddr, FileOffset, ProcAddr};
use crate::binary::elf_builder::{R, RX};
use crate::process::core_file::notes::NT_FILE;
use crate::process::{CoreFile, Damage, FileState, OpenError, Process, ReadMemory, Search};

fn offsets(core: &CoreFile) -> Vec<u64> {
    core.files().iter().map(|range| range.offset.0).collect()
}

fn with(notes: &[u8]) -> CoreFile {
    open(&core().note_segment(notes, 4))
}

/// CO-05: offsets are in pages, and an address leads to the place in its own file.
#[test]
fn offsets_in_pages() {
    let elf = core();
    let ranges: [(u64, u64, u64, &[u8]); 3] = [
        (0x40_0000, 0x40_1000, 0, b"/app"),
        (0x7f00_0000_0000, 0x7f00_0002_6000, 0, b"/libc"),
        (0x7f00_0002_6000, 0x7f00_0017_c000, 0x26, b"/libc"),
    ];
    let notes = files(&elf, PAGE, &ranges);
    let core = open(
        &elf.note_segment(&notes, 4)
            .dumped(R, 0x7f00_0000_0000, &program(), 0x2_6000)
            .dumped(RX, 0x7f00_0002_6000, &[], 0x15_6000),
    );
    assert_eq!(offsets(&core), [0, 0, 0x2_6000]);
    let (module, offset, _) = core.locate(ProcAddr(0x7f00_0002_6010)).unwrap();
    assert_eq!(&*module.path, Path::new("/libc"));
    assert_eq!(offset, Some(FileOffset(0x2_6010)));
    assert!(core.locate(ProcAddr(0x7f00_0017_c000)).is_none());
}

/// CO-06, CO-07: the unit is what the list states, also bytes and large pages.
#[test]
fn other_units() {
    for (unit, stated, offset) in [(1, 155_648, 0x2_6000), (65_536, 2, 0x2_0000), (0, 5, 5)] {
        let notes = files(&core(), unit, &[(0x1000, 0x2000, stated, b"/f")]);
        assert_eq!(offsets(&with(&notes)), [offset], "{unit}");
    }
}

/// CO-08: an offset in pages that lies beyond the file is one in bytes, and that is said.
#[test]
fn offsets_that_cannot_be_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lib.so");
    let mut content = program();
    content.resize(2 << 20, 0x5a);
    std::fs::write(&path, &content).unwrap();
    let name = path.as_os_str().as_encoded_bytes();
    let elf = core();
    let ranges = [
        (BASE, BASE + 0x2000, 0, name),
        (BASE + 0x2000, BASE + 0x3000, 0x2_6000, name),
    ];
    let notes = files(&elf, PAGE, &ranges);
    let bytes = elf
        .note_segment(&notes, 4)
        .dumped(R, BASE, &content[..0x2000], 0x2000)
        .dumped(RX, BASE + 0x2000, &[], 0x1000)
        .build();
    let core = CoreFile::from_bytes(bytes, &Search::default()).unwrap();
    let wrong = Damage::FileOffsets { path: path.clone() };
    assert!(core.damages().contains(&wrong) && !wrong.is_loss());
    let (_, offset, _) = core.locate(ProcAddr(BASE + 0x2010)).unwrap();
    assert_eq!(offset, Some(FileOffset(0x2_6010)));
    assert_eq!(
        core.read_u64(ProcAddr(BASE + 0x2010)),
        Ok(0x5a5a_5a5a_5a5a_5a5a)
    );
}

/// CO-09: a count that has no room costs the list, and nothing else.
#[test]
fn too_many_files() {
    let elf = core();
    let mut desc = elf.address(1000);
    desc.extend(elf.address(PAGE));
    desc.extend([0; 9 * 8]);
    let notes = [note(&elf, NT_FILE, &desc), status(&elf, 3, 0)].concat();
    let core = with(&notes);
    assert!(core.files().is_empty());
    assert!(
        core.damages()
            .iter()
            .any(|damage| matches!(damage, Damage::FileList(_)))
    );
    assert_eq!(core.threads()[0].tid, 3);
}

/// CO-10: missing names are empty, one without its zero ends with the note; both are said.
#[test]
fn missing_names() {
    let elf = core();
    for (names, second) in [(&b"/one\0"[..], ""), (b"/one\0/tw", "/tw")] {
        let mut desc = elf.address(2);
        desc.extend(elf.address(PAGE));
        for word in [0x1000, 0x2000, 0, 0x2000, 0x3000, 1] {
            desc.extend(elf.address(word));
        }
        desc.extend_from_slice(names);
        let core = with(&note(&elf, NT_FILE, &desc));
        let paths: Vec<_> = core
            .files()
            .iter()
            .map(|range| range.path.to_str().unwrap())
            .collect();
        assert_eq!(paths, ["/one", second]);
        assert!(core.damages().contains(&Damage::FileNames { missing: 1 }));
    }
}

/// CO-32: names are raw bytes; a suffix that may be the kernel's stays, and is told of.
#[test]
fn names_are_raw() {
    let elf = core();
    for (name, maybe_deleted) in [(&b"/a\nb"[..], false), (b"/gone (deleted)", true)] {
        let core = open(&program_in_memory(&elf, name));
        let module = &core.modules()[0];
        assert_eq!(module.path.as_os_str().as_encoded_bytes(), name);
        assert_eq!(module.maybe_deleted, maybe_deleted);
    }
    let core = open(&program_in_memory(&elf, b"/gone (deleted)"));
    let mapping = &core.mappings()[0];
    assert_eq!(
        (&*mapping.path, mapping.deleted),
        (Path::new("/gone"), true)
    );
}

/// A file named with that suffix is found under its whole name, and one that was deleted without it.
#[test]
fn deleted_or_named_so() {
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("prog (deleted)");
    for kept in ["prog", "prog (deleted)"] {
        let path = directory.path().join(kept);
        std::fs::write(&path, program()).unwrap();
        let bytes = program_in_memory(&core(), shown.as_os_str().as_encoded_bytes()).build();
        let core = CoreFile::from_bytes(bytes, &Search::default()).unwrap();
        match &core.modules()[0].file {
            FileState::Found {
                path: found,
                verified: true,
                ..
            } => assert_eq!(*found, path),
            other => panic!("{kept}: {other:?}"),
        }
        std::fs::remove_file(path).unwrap();
    }
}

/// CO-22 by hand: without the file, a module has its build-id, its load bias and its mapping from memory.
#[test]
fn modules_from_memory() {
    let core = open(&program_in_memory(&core(), b"/nowhere/prog"));
    let [module] = core.modules() else {
        panic!("{:?}", core.modules());
    };
    assert!(module.is_main);
    assert_eq!(module.build_id().unwrap().to_string(), ID);
    assert_eq!(module.load_bias, Some(BASE));
    let [mapping] = core.mappings() else {
        panic!("{:?}", core.mappings());
    };
    assert!(mapping.is_main && mapping.binary().is_none());
    assert_eq!(mapping.build_id().unwrap().to_string(), ID);
    assert!(matches!(
        *mapping.binary_error().unwrap(),
        OpenError::Missing
    ));
    assert_eq!(
        mapping.elf_addr(ProcAddr(BASE + 0x2345)),
        Some(ElfAddr(0x2345))
    );
    assert_eq!(mapping.profile_range().start, ProcAddr(BASE + 0x2000));
}

/// gdb's `gcore` leaves out memory that files have: what was executable then follows from the program headers.
#[test]
fn code_without_program_header() {
    let elf = core();
    let notes = files(
        &elf,
        1,
        &[
            (BASE, BASE + 0x2000, 0, b"/prog"),
            (BASE + 0x2000, BASE + 0x3000, 0x2000, b"/prog"),
        ],
    );
    let core = open(
        &elf.note_segment(&notes, 1)
            .dumped(R, BASE, &program(), 0x2000),
    );
    let [mapping] = core.mappings() else {
        panic!("{:?}", core.mappings());
    };
    assert_eq!(
        (mapping.start.0, mapping.limit.0),
        (BASE + 0x2000, BASE + 0x3000)
    );
}

/// CO-11: without a list, modules are found by their ELF headers in memory, the main one by the auxiliary vector, and
/// the parts of their files by their program headers.
#[test]
fn no_list() {
    let elf = core();
    let library = BASE + 0x10_0000;
    let notes = [
        status(&elf, 1, 0),
        auxiliary(&elf, &[(3, library + 64), (6, PAGE)]),
    ]
    .concat();
    let mut core = elf.note_segment(&notes, 4);
    for start in [BASE, library] {
        core = core
            .dumped(R, start, &program(), 0x2000)
            .dumped(RX, start + 0x2000, &[], 0x1000);
    }
    let core = open(&core);
    assert!(core.damages().contains(&Damage::NoFileList));
    let mains: Vec<bool> = core.modules().iter().map(|module| module.is_main).collect();
    assert_eq!(mains, [false, true]);
    let (module, offset, address) = core.locate(ProcAddr(library + 0x2010)).unwrap();
    assert_eq!(module.build_id().unwrap().to_string(), ID);
    assert_eq!(
        (offset, address),
        (Some(FileOffset(0x2010)), Some(ElfAddr(0x2010)))
    );
    assert_eq!(core.mappings().len(), 2);
}

/// CO-30: the vDSO is a module of its own, with its build-id and the size of its range.
#[test]
fn vdso() {
    let elf = core();
    let notes = auxiliary(&elf, &[(33, BASE), (6, PAGE)]);
    let mut image = program();
    image.resize(0x2000, 0);
    let core = open(&elf.note_segment(&notes, 4).dumped(RX, BASE, &image, 0x2000));
    let [module] = core.modules() else {
        panic!("{:?}", core.modules());
    };
    assert!(module.is_vdso && &*module.path == Path::new("[vdso]"));
    assert_eq!((module.start.0, module.limit.0), (BASE, BASE + 0x2000));
    assert_eq!(module.build_id().unwrap().to_string(), ID);
    let mapping = &core.mappings()[0];
    assert!(mapping.binary().is_some(), "{:?}", mapping.binary_error());
}

/// More than 65,535 program headers are counted in the first section header.
#[test]
fn many_program_headers() {
    let mut elf = core();
    elf.extended_counts = true;
    elf.section_headers = true;
    let notes = status(&elf, 9, 0);
    let core = from_bytes(
        elf.note_segment(&notes, 4)
            .dumped(R, 0x1000, b"abc", 3)
            .build(),
    );
    assert_eq!(core.threads()[0].tid, 9);
    let mut bytes = [0; 3];
    assert_eq!(core.read(ProcAddr(0x1000), &mut bytes).missing, None);
    assert_eq!(&bytes, b"abc");
}

/// CO-25: the list of files in other widths and byte orders.
#[test]
fn other_machines() {
    for (is_64, big) in [(true, true), (false, false), (false, true)] {
        let elf = core_of(is_64, big);
        let notes = files(&elf, 4096, &[(0x1_0000, 0x2_0000, 3, b"/lib.so")]);
        let core = open(&elf.note_segment(&notes, 4));
        assert_eq!(offsets(&core), [0x3000]);
        assert_eq!(&*core.files()[0].path, Path::new("/lib.so"));
    }
}
