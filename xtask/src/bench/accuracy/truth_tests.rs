//! What of a stack counts as wrong.

use super::Truth;
use crate::bench::profile::{Frame, Stack};

const TEXT: &str = "\
main < _start via libc.so
_start < !end
deep*3 < main
bottom < deep
compare < main via libc.so
level<1>*1/2 < main
inlined < main via [lib]
handler < !signal via libc.so
";

/// Names, innermost first; one that begins with `lib` is that of a file.
fn wrong(names: &str, cut: bool) -> usize {
    let frame = |name: &str| {
        let is_file = name.starts_with("lib");
        Frame {
            functions: Vec::from_iter(
                (!is_file).then(|| name.replace('_', " ").replace(" start", "_start")),
            ),
            binary: if is_file { name } else { "program" }.to_owned(),
            ..Frame::default()
        }
    };
    let stack = Stack {
        count: 1,
        frames: names.split_whitespace().map(frame).collect(),
        cut: cut.then(|| "no row".to_owned()),
    };
    Truth::parse(TEXT).unwrap().wrong_frames(&stack)
}

/// Stacks that the program can have, whole or cut, with anything that its functions call.
#[test]
fn right_stacks() {
    for names in [
        "bottom deep deep deep main libc.so.6 libc.so.6 _start",
        "deep main libc.so.6 _start",
        "libm.so.6 deep deep main libc.so.6 _start",
        "void_level<1>(int) main libc.so.6 _start",
        "compare libc.so.6 libc.so.6 main libc.so.6 _start",
        "handler libc.so.6 libm.so.6 deep main libc.so.6 _start",
        "handler libc.so.6 ld-linux.so",
        "ld-linux.so",
        "libgcc_s.so level<1> level<1> main libc.so.6 _start",
        "inlined main libc.so.6 _start",
        "inlined libc.so.6 libm.so.6 main libc.so.6 _start",
    ] {
        assert_eq!(wrong(names, false), 0, "{names}");
    }
    for names in [
        "bottom",
        "bottom deep",
        "bottom deep deep deep",
        "compare",
        "handler libc.so.6",
    ] {
        assert_eq!(wrong(names, true), 0, "{names}");
    }
}

/// Whatever the program cannot have counts from there on; an end that is none counts as one.
#[test]
fn wrong_stacks() {
    for (names, cut, expected) in [
        ("bottom deep deep main libc.so.6 _start", false, 3),
        ("bottom deep deep deep deep main libc.so.6 _start", false, 4),
        ("deep deep deep deep main libc.so.6 _start", false, 4),
        ("bottom main libc.so.6 _start", false, 3),
        ("compare main libc.so.6 _start", false, 3),
        (
            "bottom deep deep deep libc.so.6 main libc.so.6 _start",
            false,
            4,
        ),
        ("deep main libc.so.6 _start libc.so.6", false, 1),
        ("deep main libc.so.6", false, 1),
        ("deep main libc.so.6", true, 0),
        ("deep nothing", true, 1),
        ("handler deep main libc.so.6 _start", false, 4),
    ] {
        assert_eq!(wrong(names, cut), expected, "{names}");
    }
}

/// What is not of the form is refused.
#[test]
fn other_text() {
    assert!(Truth::parse("cpu total=1").is_err());
}
