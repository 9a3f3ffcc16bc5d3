//! Files that compilers and linkers made, beside what binutils says of them.

use std::path::Path;
use std::process::Command;

use crate::binary::{Binary, build_id_of_file, build_id_of_image, read_build_id};
use crate::process::tests::support::{compile, readelf_build_id};

/// The id of files made in different ways is the one that `readelf` shows.
#[test]
fn ids_are_those_of_readelf() {
    let dir = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("pie", &["-pie"][..]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
        ("object", &["-c"]),
        ("md5", &["-Wl,--build-id=md5"]),
        ("uuid", &["-Wl,--build-id=uuid"]),
        ("given", &["-Wl,--build-id=0xABCDEF0102030405"]),
        ("none", &["-Wl,--build-id=none"]),
    ] {
        let path = compile(dir.path(), name, options);
        let id = read_build_id(&path).unwrap().map(|id| id.to_string());
        assert_eq!(id, readelf_build_id(&path), "{name}");
    }
    let libc = crate::process::tests::support::own_libc();
    let id = read_build_id(&libc).unwrap().map(|id| id.to_string());
    assert!(id.is_some() && id == readelf_build_id(&libc));
}

/// Without section headers the id is still found (BI-02 on a real file).
#[test]
fn id_survives_without_section_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "program", &["-pie"]);
    let expected = readelf_build_id(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    // e_shoff, e_shnum and e_shstrndx of a 64-bit file.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let ids = build_id_of_file(bytes.as_slice()).unwrap();
    assert!(expected.is_some() && ids.gnu.map(|id| id.to_string()) == expected);
}

/// The id of a library is read from the memory of a process that has it loaded, without the file (MEM-1).
#[test]
fn id_from_process_memory() {
    struct Loaded(std::fs::File, u64);
    impl crate::binary::ReadAt for Loaded {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
            crate::binary::ReadAt::read_at(&self.0, self.1 + offset, buffer)
        }
    }
    let libc = crate::process::tests::support::own_libc();
    let maps = std::fs::read("/proc/self/maps").unwrap();
    let base = crate::process::parse_maps(&maps)
        .lines
        .into_iter()
        .find(|line| *line.path == *libc && line.offset.0 == 0)
        .unwrap()
        .start;
    let memory = Loaded(std::fs::File::open("/proc/self/mem").unwrap(), base.0);
    let id = build_id_of_image(&memory)
        .unwrap()
        .gnu
        .map(|id| id.to_string());
    assert_eq!(id, readelf_build_id(&libc));
}

/// Entry, type and interpreter are those of the file's headers.
#[test]
fn headers_of_real_programs() {
    let dir = tempfile::tempdir().unwrap();
    let entry = |path: &Path| {
        let output = Command::new("readelf")
            .arg("-hW")
            .arg(path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text
            .lines()
            .find(|line| line.contains("Entry point"))
            .unwrap()
            .to_owned();
        u64::from_str_radix(line.rsplit("0x").next().unwrap().trim(), 16).unwrap()
    };
    for (name, options, position_independent, interpreter) in [
        ("pie", &["-pie"][..], true, true),
        ("fixed", &["-no-pie"], false, true),
        ("static", &["-static"], false, false),
    ] {
        let path = compile(dir.path(), name, options);
        let binary = Binary::open(&path).unwrap();
        assert_eq!(binary.entry().0, entry(&path), "{name}");
        assert_eq!(
            binary.is_position_independent(),
            position_independent,
            "{name}"
        );
        assert_eq!(binary.has_interpreter(), interpreter, "{name}");
        assert!(
            binary.is_64_bit() == cfg!(target_pointer_width = "64"),
            "{name}"
        );
    }
}
