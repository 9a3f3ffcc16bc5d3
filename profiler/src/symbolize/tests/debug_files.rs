//! Programs that were stripped, with their debug information somewhere else.

use std::fs;
use std::path::Path;

use super::super::{Detail, Miss};
use super::workshop::{Workshop, addr2line, addresses, frames, names, own};

/// Where the debug information of a stripped program goes.
const PLACES: [(&str, &[&[&str]]); 5] = [
    (
        "by build-id",
        &[
            &["mkdir", "-p", "debug/.build-id/ab"],
            &["cp", "full.debug", "debug/.build-id/ab/cdef.debug"],
        ],
    ),
    (
        "beside",
        &[&["objcopy", "--add-gnu-debuglink=full.debug", "program"]],
    ),
    (
        "in .debug",
        &[
            &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
            &["mkdir", ".debug"],
            &["mv", "full.debug", ".debug"],
        ],
    ),
    (
        "below the debug directory",
        &[
            &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
            &[
                "sh",
                "-c",
                "mkdir -p debug/$PWD && mv full.debug debug/$PWD",
            ],
        ],
    ),
    (
        "beside, compressed",
        &[
            &["objcopy", "--compress-debug-sections", "full.debug"],
            &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
        ],
    ),
];

/// Builds `program` stripped, `full.debug` with what was stripped, and `reference` with both.
fn stripped(build_id: &str) -> Workshop {
    let workshop = Workshop::new();
    workshop.build("inlined.c", "reference", &["-g", "-O2", build_id]);
    workshop.run("objcopy", &["--only-keep-debug", "reference", "full.debug"]);
    workshop.run("strip", &["-o", "program", "reference"]);
    workshop
}

fn place(workshop: &Workshop, commands: &[&[&str]]) {
    for command in commands {
        workshop.run(command[0], &command[1..]);
    }
}

/// A stripped program is named in full wherever gdb would find its debug file, and functions only as well.
#[test]
fn found_where_gdb_would() {
    for (name, commands) in PLACES {
        // A build-id for what is found by it, and a checksum without one for what is found by link.
        let by_id = name == "by build-id";
        let workshop = stripped(if by_id {
            "-Wl,--build-id=0xabcdef"
        } else {
            "-Wl,--build-id=none"
        });
        place(&workshop, commands);
        let reference = workshop.path("reference");
        let addresses = addresses(&reference, own);
        let expected = addr2line(&reference, &addresses);
        let program = workshop.path("program");
        for (expected, found) in expected.iter().zip(names(
            &program,
            Detail::Full,
            workshop.options(),
            &addresses,
        )) {
            assert_eq!(&frames(&found), expected, "{name}");
        }
        for (expected, found) in expected.iter().zip(names(
            &program,
            Detail::Functions,
            workshop.options(),
            &addresses,
        )) {
            assert_eq!(found.unwrap()[0].name, expected.last().unwrap().0, "{name}");
        }
    }
}

/// Without a debug file the reason is told.
#[test]
fn not_found() {
    let workshop = stripped("-Wl,--build-id=0xabcdef");
    assert_all_missing(&workshop);
}

/// A debug file of another build, by its build-id or by its checksum, is not used.
#[test]
fn of_another_build() {
    let other_id: &[&[&str]] = &[
        &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
        &["objcopy", "--remove-section=.note.gnu.build-id", "program"],
        &["objcopy", "--strip-unneeded", "full.debug"],
    ];
    let wrong_checksum: &[&[&str]] = &[
        &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
        &["sh", "-c", "printf x >> full.debug"],
    ];
    let workshop = stripped("-Wl,--build-id=none");
    place(&workshop, wrong_checksum);
    assert_all_missing(&workshop);

    let workshop = stripped("-Wl,--build-id=0xabcdef");
    place(&workshop, other_id);
    assert_all_missing(&workshop);

    let workshop = stripped("-Wl,--build-id=0xabcdef");
    let another = stripped("-Wl,--build-id=0x123456");
    place(&workshop, PLACES[0].1);
    fs::copy(
        another.path("full.debug"),
        workshop.path("debug/.build-id/ab/cdef.debug"),
    )
    .unwrap();
    assert_all_missing(&workshop);
}

/// A named pipe in the place of a debug file does not stop the symbolizer.
#[test]
fn pipe_in_place_of_a_debug_file() {
    let workshop = stripped("-Wl,--build-id=none");
    place(
        &workshop,
        &[
            &["objcopy", "--add-gnu-debuglink=full.debug", "program"],
            &["rm", "full.debug"],
            &["mkfifo", "full.debug"],
        ],
    );
    assert_all_missing(&workshop);
}

fn assert_all_missing(workshop: &Workshop) {
    let addresses = addresses(&workshop.path("reference"), own);
    for detail in [Detail::Full, Detail::Functions] {
        let answers = names(
            &workshop.path("program"),
            detail,
            workshop.options(),
            &addresses,
        );
        assert_eq!(answers, vec![Err(Miss::Stripped); addresses.len()]);
    }
}

/// Mini debug information, as Fedora has it in all programs, names functions.
#[test]
fn mini_debug_information() {
    let workshop = stripped("-Wl,--build-id=none");
    place(
        &workshop,
        &[
            &[
                "objcopy",
                "-S",
                "--remove-section=.comment",
                "--keep-symbol=outer",
                "full.debug",
                "mini",
            ],
            &[
                "sh",
                "-c",
                "nm -f posix reference | awk '$2 ~ /[tT]/ {print $1}' > functions",
            ],
            &[
                "objcopy",
                "-S",
                "--keep-symbols=functions",
                "full.debug",
                "mini",
            ],
            &["xz", "mini"],
            &["objcopy", "--add-section=.gnu_debugdata=mini.xz", "program"],
        ],
    );
    let addresses = addresses(&workshop.path("reference"), own);
    for (address, answer) in addresses.iter().zip(names(
        &workshop.path("program"),
        Detail::Full,
        workshop.options(),
        &addresses,
    )) {
        let expected = addr2line(Path::new(&workshop.path("reference")), &[*address]);
        assert_eq!(answer.unwrap()[0].name, expected[0].last().unwrap().0);
    }
}
