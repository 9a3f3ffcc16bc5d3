//! Perf maps as JIT compilers write them.

use std::fs;

use super::super::{Detail, Miss, Source, Symbolizer};
use super::workshop::Workshop;
use crate::addr::ElfAddr;

/// CPython's, node's and a JIT's that has used its memory twice; the last line is still being written.
const MAP: &[u8] = b"\
7fbf1fc21000 b py::_find_and_load:<frozen importlib._bootstrap>
0x7fbf1fc2100b b py::plain
3ef414c0 398 LazyCompile:~foo(int) /app/index.js:1
1000 100 old
1080 100 new
2000 zz not a size
3000 10
4000 10 name \xff\xfe with spaces
5000 10 unfin";

/// Each address gets the name of the last entry that contains it, all of it.
#[test]
fn last_entry_that_contains_the_address() {
    let cases: [(u64, Option<(&str, &str)>); 11] = [
        (
            0x7fbf_1fc2_1000,
            Some(("py::_find_and_load:<frozen importlib._bootstrap>", "")),
        ),
        (0x7fbf_1fc2_1015, Some(("py::plain", "py::plain"))),
        (0x7fbf_1fc2_1016, None),
        (
            0x3ef4_14c0,
            Some(("LazyCompile:~foo(int) /app/index.js:1", "")),
        ),
        (0x107f, Some(("old", "old"))),
        (0x1080, Some(("new", "new"))),
        (0x117f, Some(("new", "new"))),
        (0x2000, None),
        (0x3000, None),
        (
            0x4001,
            Some((
                "name \u{fffd}\u{fffd} with spaces",
                "name \u{fffd}\u{fffd} with spaces",
            )),
        ),
        (0xfff, None),
    ];
    let workshop = Workshop::new();
    let path = workshop.path("perf-1.map");
    fs::write(&path, MAP).unwrap();
    let addresses = cases.each_ref().map(|case| ElfAddr(case.0));
    let answers = Symbolizer::new(Detail::Full, workshop.options())
        .symbolize(&Source::PerfMap(path), &addresses);
    for ((address, expected), answer) in cases.iter().zip(answers) {
        match (expected, answer) {
            (Some(expected), Ok(found)) => {
                assert_eq!(
                    (found[0].name.as_str(), found[0].system_name.as_str()),
                    *expected
                );
            }
            (None, Err(miss)) => assert_eq!(miss, Miss::NoSymbol),
            (expected, answer) => panic!("{address:#x}: {expected:?}, {answer:?}"),
        }
    }
}

/// A missing map, and a named pipe in its place, are misses that name the file.
#[test]
fn unreadable() {
    let workshop = Workshop::new();
    workshop.run("mkfifo", &["perf-2.map"]);
    for name in ["perf-1.map", "perf-2.map"] {
        let source = Source::PerfMap(workshop.path(name));
        let answers =
            Symbolizer::new(Detail::Full, workshop.options()).symbolize(&source, &[ElfAddr(1)]);
        assert!(
            matches!(&answers[0], Err(Miss::Unreadable(reason)) if reason.contains(name)),
            "{answers:?}"
        );
    }
}
