//! Names of deleted files and of files with newlines, asked of a file system.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::addr::ProcAddr;
use crate::binary::elf_builder::{Elf, RX};
use crate::process::tests::support::{Fixture, PID};
use crate::process::{MappingKind, Resolver};

/// What the line of a name becomes: name, and whether the file counts as deleted.
fn resolve(fixture: &Fixture, identity: &str, shown: &str) -> (String, bool) {
    fixture.maps(format!(
        "1000-2000 r-xp 00000000 {identity}                {shown}\n"
    ));
    let mappings = Resolver::with_proc_root(fixture.root())
        .mappings(PID)
        .unwrap();
    let [mapping] = mappings.as_slice() else {
        panic!("{shown}: {mappings:?}");
    };
    let name = String::from_utf8_lossy(mapping.path.as_os_str().as_bytes()).into_owned();
    (name, mapping.deleted)
}

/// ` (deleted)` is taken for the kernel's note unless the file of that whole name is the mapped one
/// (MP-10..12).
#[test]
fn deleted_files() {
    let fixture = Fixture::new();
    let elsewhere = "fe:00 1";
    assert_eq!(
        resolve(&fixture, elsewhere, "/gone (deleted)"),
        ("/gone".into(), true)
    );
    let real = fixture.file("real (deleted)", b"");
    assert_eq!(
        resolve(&fixture, &real, "/real (deleted)"),
        ("/real (deleted)".into(), false)
    );
    // Another file has that name.
    assert_eq!(
        resolve(&fixture, elsewhere, "/real (deleted)"),
        ("/real".into(), true)
    );
    let twice = resolve(&fixture, elsewhere, "/gone2 (deleted) (deleted)");
    assert_eq!(twice, ("/gone2 (deleted)".into(), true));
}

/// `\012` is a newline if the file of that name is the mapped one (MP-06), and itself otherwise (MP-08).
#[test]
fn newlines() {
    let fixture = Fixture::new();
    let newline = fixture.file("new\nline", b"");
    assert_eq!(
        resolve(&fixture, &newline, "/new\\012line"),
        ("/new\nline".into(), false)
    );
    let literal = fixture.file("new\\012line", b"");
    assert_eq!(
        resolve(&fixture, &literal, "/new\\012line"),
        ("/new\\012line".into(), false)
    );
    assert_eq!(
        resolve(&fixture, "fe:00 1", "/no\\012file"),
        ("/no\\012file".into(), false)
    );
    // Nothing else is written in another way.
    for literal in ["/back\\slash", "/x\\134y", "/x\\040y"] {
        let shown = resolve(&fixture, "fe:00 1", literal);
        assert_eq!(shown, (literal.to_owned(), false));
    }
    // The link tells when the file has gone, and is never escaped.
    fixture.link("1000-2000", Path::new("/a\nb\\c (deleted)"));
    assert_eq!(
        resolve(&fixture, "fe:00 1", "/a\\012b\\c (deleted)"),
        ("/a\nb\\c".into(), true)
    );
}

/// A memfd has the name that it was made with, and was never deleted (MP-18).
#[test]
fn memfds() {
    let fixture = Fixture::new();
    fixture.maps("1000-2000 r-xs 00000000 00:01 1030          /memfd:jit code (deleted)\n");
    let mappings = Resolver::with_proc_root(fixture.root())
        .mappings(PID)
        .unwrap();
    assert_eq!(mappings[0].kind, MappingKind::Memfd);
    assert_eq!(mappings[0].name(), "jit code");
    assert_eq!(
        (mappings[0].path.to_str(), mappings[0].deleted),
        (Some("/memfd:jit code"), false)
    );
}

/// A memfd may hold a binary, which is opened through the mapping and never by a path that looks like its name (MP-18).
#[test]
fn binary_in_a_memfd() {
    let fixture = Fixture::new();
    let elf = Elf::new();
    let note = elf.note(b"GNU\0", 3, &[7; 20], 4);
    let elf = elf.load(RX, 0, 0, 0x1000).note_segment(&note, 4).build();
    let identity = fixture.file("memfd:library", &elf);
    fixture.maps(format!(
        "1000-2000 r-xs 00000000 {identity}          /memfd:library (deleted)\n"
    ));
    let id = || {
        let resolver = Resolver::with_proc_root(fixture.root());
        let mapping = resolver.lookup(PID, ProcAddr(0x1000)).unwrap();
        mapping.build_id().map(ToString::to_string)
    };
    assert_eq!(id(), None);
    fixture.link("1000-2000", &fixture.files().join("memfd:library"));
    assert_eq!(id(), Some("07".repeat(20)));
}
