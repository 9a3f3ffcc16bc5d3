//! Maps lines and what is made of them, without a file system.

use std::os::unix::ffi::OsStrExt;

use crate::process::MappingKind;
use crate::process::join::{ByLines, join_executable};
use crate::process::maps::{Maps, parse_maps};
use crate::process::maps_line::Device;

fn one(text: impl AsRef<[u8]>) -> crate::process::MapsLine {
    let maps = parse_maps(text.as_ref());
    assert_eq!(
        (maps.lines.len(), maps.malformed, maps.empty),
        (1, 0, 0),
        "{maps:?}"
    );
    maps.lines.into_iter().next().unwrap()
}

/// Start, limit, offset and name of what is kept.
fn kept(text: &str) -> Vec<(u64, u64, u64, String)> {
    join_executable(&parse_maps(text.as_bytes()).lines, &ByLines)
        .into_iter()
        .map(|joined| {
            let name = joined.line.path.to_string_lossy().into_owned();
            (joined.start.0, joined.limit.0, joined.offset.0, name)
        })
        .collect()
}

/// All fields of a line are taken (MP-01), also of a 32-bit process (MP-30), and without a name (MP-13).
#[test]
fn fields() {
    let cat = "00400000-0040b000 r-xp 00000000 fc:01 787766      /bin/cat\n";
    assert_eq!(kept(cat), [(0x40_0000, 0x40_b000, 0, "/bin/cat".into())]);
    let line = one(cat.replace(" 00000000 ", " 00001000 "));
    assert_eq!(
        (line.start.0, line.limit.0, line.offset.0),
        (0x40_0000, 0x40_b000, 0x1000)
    );
    assert_eq!(
        line.device,
        Device {
            major: 0xfc,
            minor: 1
        }
    );
    assert_eq!(
        (line.inode, line.path.to_str()),
        (787_766, Some("/bin/cat"))
    );
    assert_eq!(line.permissions.to_string(), "r-xp");
    let narrow = one("08048000-08049000 r-xp 00000000 08:02 12 /bin/a");
    assert_eq!((narrow.start.0, narrow.inode), (0x804_8000, 12));
    let library = one("f7f00000-f7f20000 r-xp 00001000 08:02 13 /lib/libc.so.6");
    assert_eq!(
        (library.start.0, library.limit.0),
        (0xf7f0_0000, 0xf7f2_0000)
    );
    for nameless in [
        "1000-2000 r-xp 00000000 00:00 0 ",
        "1000-2000 r-xp 00000000 00:00 0",
    ] {
        assert!(one(nameless).path.as_os_str().is_empty());
    }
}

/// The name is the rest of the line, byte for byte (MP-02..05, MP-08, MP-09).
#[test]
fn names_are_kept_whole() {
    let names: [&[u8]; 8] = [
        b"/opt/my app/bin/srv",
        b"/opt/two  spaces ",
        b"/opt/a\tb",
        b"/opt/ leading",
        b"/opt/back\\slash",
        b"/opt/x\\134y",
        b"/opt/x\\040y",
        b"/opt/\xff\xfe",
    ];
    for name in names {
        let mut text = b"1000-2000 r-xp 00000000 fc:01 7                          ".to_vec();
        text.extend_from_slice(name);
        assert_eq!(one(&text).path.as_os_str().as_bytes(), name);
    }
}

/// The name and device tell the kind of memory (MP-13..18, MP-20, MP-22).
#[test]
fn kinds() {
    for (name, kind) in [
        ("/bin/cat", MappingKind::File),
        ("/opt/gone (deleted)", MappingKind::File),
        ("/memfd:jit code", MappingKind::File),
        ("/SYSV0 (deleted)", MappingKind::File),
        ("", MappingKind::Anonymous),
        ("[vdso]", MappingKind::Vdso),
        ("[vsyscall]", MappingKind::Vsyscall),
        ("[heap]", MappingKind::Special),
        ("[stack]", MappingKind::Special),
        ("[stack:986]", MappingKind::Special),
        ("[vvar]", MappingKind::Special),
        ("[vvar_vclock]", MappingKind::Special),
        ("[uprobes]", MappingKind::Special),
        ("[anon:my jit]", MappingKind::Anonymous),
        ("[anon_shmem:x]", MappingKind::Anonymous),
        ("anon_inode:[perf_event]", MappingKind::Special),
        ("anon_inode:bpf-map", MappingKind::Special),
        ("/memfd:jit code (deleted)", MappingKind::Memfd),
        ("/dev/zero (deleted)", MappingKind::Anonymous),
        ("//anon", MappingKind::Anonymous),
        ("/anon_hugepage (deleted)", MappingKind::Anonymous),
        ("/SYSV00000000 (deleted)", MappingKind::Anonymous),
    ] {
        let line = one(format!(
            "1000-2000 r-xs 00000000 00:01 1030                 {name}"
        ));
        assert_eq!(line.path.to_str(), Some(name));
        assert_eq!(MappingKind::of_name(&line.path), kind, "{name}");
    }
}

/// Lines that the kernel does not write are counted and cost nothing else (MP-25..29).
#[test]
fn malformed_lines_are_counted() {
    let good = "00400000-0040b000 r-xp 00000000 fc:01 787766 /bin/cat";
    let long = format!("1000-2000 r-xp 00000000 fc:01 7 /{}", "x".repeat(70_000));
    for (line, malformed, empty) in [
        ("1000-1000 r-xp 00000000 fc:01 7 /a", 0, 1),
        ("2000-1000 r-xp 00000000 fc:01 7 /a", 1, 0),
        ("7fa7b5a000 r-xp 00000000 fc:01 7 /a", 1, 0),
        ("7fa7b$#5a000-7fa7bb75c000 r-xp 00000000 fc:01 7 /a", 1, 0),
        ("1000-2000 r-xp 000zz000 fc:01 7 /a", 1, 0),
        ("1000-2000 r 00000000 fc:01 7 /a", 1, 0),
        ("1000-2000 rwzp 00000000 fc:01 7 /a", 1, 0),
        ("1000-2000 r-xp 00000000 fc:01", 1, 0),
        ("1000-2000 r-xp 00000000 fc:01 x /a", 1, 0),
        ("1000-2000 r-xp 00000000 fc:100000000 7 /a", 1, 0),
        ("11000000000001000-2000 r-xp 00000000 fc:01 7 /a", 1, 0),
        ("+1000-2000 r-xp 00000000 fc:01 7 /a", 1, 0),
        (
            "1000-2000 r-xp 00000000 fc:01 99999999999999999999 /a",
            1,
            0,
        ),
        (&long, 1, 0),
        ("", 0, 0),
    ] {
        let maps = parse_maps(format!("{good}\n{line}\n{good}").as_bytes());
        let counts = (maps.lines.len(), maps.malformed, maps.empty);
        assert_eq!(counts, (2, malformed, empty), "{line:.80}");
    }
    assert_eq!(parse_maps(b""), Maps::default());
    let newlines = one(format!(
        "1000-2000 r-xp 00000000 fc:01 7 /{}",
        "\\012".repeat(4094)
    ));
    assert_eq!(newlines.path.as_os_str().len(), 1 + 4 * 4094);
}

/// Executable lines are kept whatever else may be done with them, at any address (MP-15, MP-35).
#[test]
fn all_executable_lines_are_kept() {
    let vsyscall =
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";
    let expected = (
        0xffff_ffff_ff60_0000,
        0xffff_ffff_ff60_1000,
        0,
        "[vsyscall]".to_owned(),
    );
    assert_eq!(kept(vsyscall), [expected]);
    let executable_only = "1000-2000 --xp 00000000 fc:01 7 /a\n3000-4000 r--p 00000000 fc:01 7 /a";
    assert_eq!(
        kept(executable_only),
        [(0x1000, 0x2000, 0, "/a".to_owned())]
    );
}

/// Parts of one mapping become one, and nothing else does (MP-24).
#[test]
fn split_ranges_are_joined() {
    let first = "7f0000026000-7f0000030000 r-xp 00026000 fe:00 7 /lib/libc.so.6\n";
    let check = |second: &str, count: usize| {
        let kept = kept(&format!("{first}{second}"));
        assert_eq!(kept.len(), count, "{second}");
        kept
    };
    let joined = check(
        "7f0000030000-7f000017c000 r-xp 00030000 fe:00 7 /lib/libc.so.6",
        1,
    );
    let expected = (
        0x7f00_0002_6000,
        0x7f00_0017_c000,
        0x2_6000,
        "/lib/libc.so.6".to_owned(),
    );
    assert_eq!(joined, [expected]);
    check(
        "7f0000030000-7f000017c000 rwxp 00030000 fe:00 7 /lib/libc.so.6",
        1,
    );
    check(
        "7f0000030000-7f000017c000 r-xp 00030000 fe:00 8 /lib/libc.so.6",
        2,
    );
    check(
        "7f0000030000-7f000017c000 r-xp 00030000 fe:01 7 /lib/libc.so.6",
        2,
    );
    check(
        "7f0000031000-7f000017c000 r-xp 00031000 fe:00 7 /lib/libc.so.6",
        2,
    );
    check(
        "7f0000030000-7f000017c000 r-xp 00031000 fe:00 7 /lib/libc.so.6",
        2,
    );
    check("7f0000030000-7f000017c000 r-xp 00000000 00:00 0 ", 2);
    // Two anonymous regions side by side may be two JITs'.
    assert_eq!(
        kept("1000-2000 r-xp 00000000 00:00 0 \n2000-3000 rwxp 00000000 00:00 0 ").len(),
        2
    );
}

/// Code moved onto huge pages stays the file's: its beginning (MP-23), or a part in its middle.
#[test]
fn remapped_text_is_the_files() {
    let file = "/path/to/gobench_server_main";
    let text = format!(
        "00400000-07000000 r-xp 00000000 00:00 0\n\
         07000000-07093000 r-xp 06c00000 00:2e 536754                    {file}\n\
         07093000-0722d000 rw-p 06c92000 00:2e 536754                    {file}\n"
    );
    assert_eq!(kept(&text), [(0x40_0000, 0x709_3000, 0, file.to_owned())]);
    let middle = "1ff000-200000 r-xp 0001f000 fe:00 7 /a\n\
                  200000-400000 r-xp 00000000 00:00 0 \n\
                  400000-401000 r-xp 00220000 fe:00 7 /a\n";
    assert_eq!(
        kept(middle),
        [(0x1f_f000, 0x40_1000, 0x1_f000, "/a".to_owned())]
    );
    // A JIT's memory that happens to lie before a library.
    let beside = "1000-3000 r-xp 00000000 00:00 0 \n3000-4000 r-xp 00001000 fe:00 7 /a\n";
    assert_eq!(kept(beside).len(), 2);
}

/// The cases of Go's own parser give the same executable mappings (MP-34; the lines are those of
/// src/runtime/pprof/proto_test.go of Go, without the ones that are not executable).
#[test]
fn cases_of_runtime_pprof() {
    for suffix in ["", " (deleted)", " with space"] {
        let text = format!(
            "00400000-0040b000 r-xp 00000000 fc:01 787766                   /bin/cat{suffix}
0060b000-0060c000 rw-p 0000b000 fc:01 787766                             /bin/cat{suffix}
014ab000-014cc000 rw-p 00000000 00:00 0                                  [heap]
7f7d7797c000-7f7d77b36000 r-xp 00000000 fc:01 1180226                    /lib/libc-2.19.so
7f7d77d41000-7f7d77d64000 r-xp 00000000 fc:01 1180217                    /lib/ld-2.19.so
7f7d77f65000-7f7d77f66000 rw-p 00000000 00:00 0
7ffc34343000-7ffc34345000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 r-xp 00000090 00:00 0                  [vsyscall]
"
        );
        let cat = format!("/bin/cat{suffix}");
        let expected = [
            (0x40_0000, 0x40_b000, 0, cat.as_str()),
            (0x7f7d_7797_c000, 0x7f7d_77b3_6000, 0, "/lib/libc-2.19.so"),
            (0x7f7d_77d4_1000, 0x7f7d_77d6_4000, 0, "/lib/ld-2.19.so"),
            (0x7ffc_3434_3000, 0x7ffc_3434_5000, 0, "[vdso]"),
            (
                0xffff_ffff_ff60_0000,
                0xffff_ffff_ff60_1000,
                0x90,
                "[vsyscall]",
            ),
        ];
        let expected =
            expected.map(|(start, limit, offset, name)| (start, limit, offset, name.to_owned()));
        assert_eq!(kept(&text), expected);
    }
}
