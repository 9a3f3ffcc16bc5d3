//! Build-ids of made files: what is found where, and what is refused how.

use crate::binary::elf_builder::{Elf, make_fifo};
use crate::binary::{BinaryError, build_id_of_file, build_id_of_image, read_build_id};

const ID: &str = "000102030405060708090a0b0c0d0e0f10111213";

fn desc(size: u8) -> Vec<u8> {
    (0..size).collect()
}

/// The reference note: owner GNU, type 3, twenty bytes.
fn gnu(elf: &Elf) -> Vec<u8> {
    elf.note(b"GNU\0", 3, &desc(20), 4)
}

fn check(case: &str, file: &[u8], expected: Option<&str>) {
    let ids = build_id_of_file(file).unwrap_or_else(|error| panic!("{case}: {error}"));
    let id = ids.gnu.map(|id| id.to_string());
    assert_eq!(id.as_deref(), expected, "{case}");
}

fn check_error(case: &str, file: &[u8], expected: &str) {
    let error = build_id_of_file(file).expect_err(case).to_string();
    assert!(error.starts_with(expected), "{case}: {error}");
}

/// The reference note is the bytes that the table gives, so the builder is to be trusted.
#[test]
fn reference_note_is_as_specified() {
    let mut expected = vec![4, 0, 0, 0, 0x14, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0];
    expected.extend(desc(20));
    assert_eq!(gnu(&Elf::new()), expected);
}

/// The id is found through program headers, through sections, and through either alone (BI-01..03, 16, 17).
#[test]
fn id_is_found_by_program_header_or_section() {
    let elf = Elf::new();
    let note = gnu(&elf);
    let both = elf.clone().note_segment(&note, 4).note_section(&note, 4);
    check("BI-01", &both.build(), Some(ID));
    let mut stripped = both.clone();
    stripped.section_headers = false;
    check("BI-02", &stripped.build(), Some(ID));
    let mut relocatable = elf.clone().note_section(&note, 4);
    relocatable.e_type = 1;
    // Sections of this builder have no names and no string table, so this is BI-17 as well.
    check("BI-03, BI-17", &relocatable.build(), Some(ID));
    for mut extended in [
        elf.clone().note_segment(&note, 4),
        elf.clone().note_section(&note, 4),
        both,
    ] {
        extended.extended_counts = true;
        check("BI-16", &extended.build(), Some(ID));
    }
}

/// Go's linker has its own note in the program header and the GNU note in a section only (BI-04).
#[test]
fn go_file_has_both_ids() {
    let elf = Elf::new();
    let go = desc(0x53);
    let file = elf
        .clone()
        .note_segment(&elf.note(b"Go\0\0", 4, &go, 4), 4)
        .note_section(&gnu(&elf), 4)
        .build();
    let ids = build_id_of_file(file.as_slice()).unwrap();
    assert_eq!(ids.gnu.unwrap().to_string(), ID);
    assert_eq!(ids.go.as_deref(), Some(go.as_slice()));
}

/// Every note of every region is looked at, padded as its region says (BI-05, BI-06, BI-08, BI-13).
#[test]
fn all_notes_are_looked_at() {
    let elf = Elf::new();
    let property = elf.note(b"GNU\0", 5, &desc(0x10), 8);
    let two = elf
        .clone()
        .note_segment(&property, 8)
        .note_segment(&gnu(&elf), 4);
    check("BI-05", &two.build(), Some(ID));

    let vdso = [
        elf.note(b"Linux\0", 0, &desc(4), 4),
        elf.note(b"Linux\0", 0x100, &desc(30), 4),
        gnu(&elf),
    ]
    .concat();
    check(
        "BI-06",
        &elf.clone().note_segment(&vdso, 4).build(),
        Some(ID),
    );

    // Padded to eight, the descriptor of the first note is at 24; read with four, the second is not found.
    let wide = [
        elf.note(b"Linux\0", 7, &desc(12), 8),
        elf.note(b"GNU\0", 3, &desc(20), 8),
    ]
    .concat();
    check(
        "BI-08",
        &elf.clone().note_segment(&wide, 8).build(),
        Some(ID),
    );

    for padding in [1, 4, 12, 13, 64] {
        let mut padded = elf.note(b"Linux\0", 0, &desc(4), 4);
        padded.resize(padded.len() + padding, 0);
        check("BI-13", &elf.clone().note_segment(&padded, 4).build(), None);
    }
    for align in [0, 1, 2, 16, 4096] {
        let file = elf.clone().note_segment(&gnu(&elf), align).build();
        check("alignment that means four", &file, Some(ID));
    }
}

/// Type numbers belong to their owner, and an empty descriptor is no id (BI-10, BI-11, BI-20).
#[test]
fn only_gnu_notes_count_at_their_real_length() {
    let elf = Elf::new();
    for owner in [&b"CORE\0"[..], b"stapsdt\0", b"GNU", b"GNU\0\0", b""] {
        let note = elf.note(owner, 3, &desc(20), 4);
        check("BI-10", &elf.clone().note_segment(&note, 4).build(), None);
    }
    for size in [0, 8, 16, 20, 32, 64] {
        let note = elf.note(b"GNU\0", 3, &desc(size), 4);
        let file = elf.clone().note_segment(&note, 4).build();
        let digits = build_id_of_file(file.as_slice())
            .unwrap()
            .gnu
            .map(|id| id.to_string().len());
        let expected = (size > 0).then_some(usize::from(size) * 2);
        assert_eq!(digits, expected, "BI-11 with {size} bytes");
    }
    check("BI-20", &elf.build(), None);
}

/// Sizes that a note claims beyond its region are an error and cost no memory (BI-12).
#[test]
fn oversized_notes_are_truncated() {
    let elf = Elf::new();
    for (at, size) in [(0, u32::MAX), (4, u32::MAX), (4, 21), (0, 0x7fff_fffc)] {
        let mut note = gnu(&elf);
        note[at..at + 4].copy_from_slice(&size.to_le_bytes());
        let by_segment = elf.clone().note_segment(&note, 4).build();
        check_error("BI-12", &by_segment, "truncated note");
        let by_section = elf.clone().note_section(&note, 4).build();
        check_error("BI-12", &by_section, "truncated note");
        // A damaged note does not hide a good one elsewhere.
        let other = elf
            .clone()
            .note_segment(&note, 4)
            .note_segment(&gnu(&elf), 4);
        check("BI-12 beside a good one", &other.build(), Some(ID));
    }
    // A size that the file has, but no id.
    let huge = elf.note(b"GNU\0", 3, &vec![1; 5000], 4);
    check_error(
        "5000 bytes",
        &elf.note_segment(&huge, 4).build(),
        "malformed",
    );
}

/// Both classes and both byte orders are read (BI-14).
#[test]
fn classes_and_byte_orders() {
    for (is_64, big) in [(false, false), (false, true), (true, true)] {
        let elf = Elf::of_class(is_64, big);
        let note = gnu(&elf);
        check(
            "BI-14",
            &elf.clone().note_segment(&note, 4).build(),
            Some(ID),
        );
        check(
            "BI-14",
            &elf.clone().note_section(&note, 4).build(),
            Some(ID),
        );
    }
}

/// What is cut off is named (BI-15).
#[test]
fn truncated_files() {
    let elf = Elf::new();
    let file = elf.clone().note_segment(&gnu(&elf), 4).build();
    for size in [16, 52, 63] {
        check_error("BI-15", &file[..size], "truncated ELF header");
    }
    check_error("BI-15", &file[..100], "truncated program headers");
    check_error("BI-15", &file[..0x1008], "truncated note");
    for offset in [0x10_0000, i64::MAX as u64, u64::MAX, u64::MAX - 20] {
        let beyond = elf.clone().note_header(offset, 36, 4).build();
        check_error("BI-15", &beyond, "truncated note");
    }
}

/// What is no ELF file is refused at once; a FIFO is not even opened (BI-19).
#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("script", "#!/bin/sh\n"),
        ("empty", ""),
        ("short", "\x7fEL"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = read_build_id(&path).unwrap_err();
        assert!(matches!(error, BinaryError::NotElf), "{name}: {error}");
        assert!(!error.is_transient(), "{name}");
    }
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    for (path, kind) in [
        (fifo.as_path(), "a FIFO"),
        (dir.path(), "a directory"),
        ("/dev/null".as_ref(), "a character device"),
    ] {
        let error = read_build_id(path).unwrap_err().to_string();
        assert!(error.contains(kind), "{error}");
    }
    let missing = read_build_id(&dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, BinaryError::Io(_)) && missing.is_transient());
}

/// In memory a note is at its address, not at its file offset, whatever the image was linked at.
#[test]
fn loaded_image_is_read_by_address() {
    let elf = Elf::new();
    let note = gnu(&elf);
    let linked_at = 0xffff_ffff_ff70_0000;
    let mut image = elf
        .load(5, 0, linked_at, 0x2000)
        .note_header(0x10_0000, note.len() as u64, 4)
        .build();
    // The note header's p_vaddr: the second program header, its third field.
    let p_vaddr = 64 + 56 + 16;
    image[p_vaddr..p_vaddr + 8].copy_from_slice(&(linked_at + 0x1800).to_le_bytes());
    image.resize(0x1800, 0);
    image.extend_from_slice(&note);
    let ids = build_id_of_image(image.as_slice()).unwrap();
    assert_eq!(ids.gnu.unwrap().to_string(), ID);
}
