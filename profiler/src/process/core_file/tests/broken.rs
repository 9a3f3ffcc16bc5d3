//! What is no core file, and which file belongs to one.

use std::path::Path;

use super::made::{ID, core, only_core, program, program_in_memory};
use crate::binary::elf_builder::{Elf, make_fifo};
use crate::process::{CoreError, CoreFile, FileState, Search};

fn error(bytes: &[u8]) -> String {
    let opened = CoreFile::from_bytes(bytes.to_vec(), &only_core());
    opened.expect_err("no core file").to_string()
}

/// CO-26: other ELF files, and files that are none.
#[test]
fn no_core_files() {
    let of_type = |e_type| {
        let mut elf = Elf::new();
        elf.e_type = e_type;
        elf.build()
    };
    for (bytes, part) in [
        (of_type(1), "an object file"),
        (of_type(2), "a program"),
        (of_type(3), "a shared library"),
        (of_type(9), "another kind"),
        (vec![], "empty"),
        (b"\x7fELF\x02\x01\x01\0\0\0".to_vec(), "ELF header"),
        (b"core dump\n".to_vec(), "not a core file"),
    ] {
        assert!(error(&bytes).contains(part), "{part}: {}", error(&bytes));
    }
}

/// CO-27: a compressed file is told by its name, with what unpacks it.
#[test]
fn compressed() {
    for (magic, name, tool) in [
        (&b"\x1f\x8b\x08"[..], "gzip", "gzip -dc"),
        (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
        (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
        (b"\xfd7zXZ\0", "xz", "xz -dc"),
    ] {
        let error = error(magic);
        assert!(error.contains(name) && error.contains(tool), "{error}");
    }
}

/// What is not a regular file is refused without waiting.
#[test]
fn not_regular() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    make_fifo(&fifo);
    for path in [
        directory.path(),
        &fifo,
        Path::new("/dev/zero"),
        Path::new("/nowhere/core"),
    ] {
        let error = CoreFile::open(path, &only_core()).unwrap_err();
        assert!(
            matches!(error, CoreError::Open(_)),
            "{}: {error}",
            path.display()
        );
    }
}

/// CO-24: a file that is another build is not used, and both ids are named; one that somebody names is an error.
#[test]
fn other_builds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prog");
    let mut other = program();
    let end = other.len() - 1;
    other[end] ^= 0xff;
    std::fs::write(&path, &other).unwrap();
    let bytes = program_in_memory(&core(), path.as_os_str().as_encoded_bytes()).build();
    let found = "000102030405060708090a0b0c0d0e0f101112ec";
    let opened = CoreFile::from_bytes(bytes.clone(), &Search::default()).unwrap();
    let FileState::Missing(missing) = &opened.modules()[0].file else {
        panic!("{:?}", opened.modules()[0].file);
    };
    let why = missing.why.to_string();
    assert!(why.contains(ID) && why.contains(found), "{why}");

    let search = |exe: &Path| Search {
        exe: Some(exe.to_owned()),
        ..Search::default()
    };
    let error = CoreFile::from_bytes(bytes.clone(), &search(&path)).unwrap_err();
    assert!(matches!(error, CoreError::OtherProgram { .. }));
    let text = error.to_string();
    assert!(text.contains(ID) && text.contains(found), "{text}");

    let right = directory.path().join("right");
    std::fs::write(&right, program()).unwrap();
    let opened = CoreFile::from_bytes(bytes.clone(), &search(&right)).unwrap();
    assert!(matches!(
        opened.modules()[0].file,
        FileState::Found { verified: true, .. }
    ));
    let error = CoreFile::from_bytes(bytes, &search(Path::new("/nowhere/prog"))).unwrap_err();
    assert!(matches!(error, CoreError::Program { .. }), "{error}");
}

/// Files are found below another root, and by build-id in the layouts that other tools use.
#[test]
fn other_places() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let bytes = program_in_memory(&core(), b"/nowhere/prog").build();
    let (first, rest) = ID.split_at(2);
    for place in [
        "nowhere/prog".to_owned(),
        format!(".build-id/{first}/{rest}"),
        format!("{ID}/executable"),
        format!("{ID}/prog"),
    ] {
        let path = root.join(&place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, program()).unwrap();
        let search = Search {
            sysroot: place.starts_with("nowhere").then(|| root.to_owned()),
            debug_dirs: vec![root.to_owned()],
            ..Search::default()
        };
        let core = CoreFile::from_bytes(bytes.clone(), &search).unwrap();
        match &core.modules()[0].file {
            FileState::Found { path: found, .. } => assert_eq!(*found, path),
            other => panic!("{place}: {other:?}"),
        }
        std::fs::remove_file(path).unwrap();
    }
}
