//! Symbols of made files and of real ones: which count, of what type they are, and what damage costs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::binary::elf_builder::{Elf, RX, Sym, Xorshift, take_section_headers};
use crate::binary::{Binary, Symbol, SymbolPattern, SymbolType, find_symbols};
use crate::process::tests::support::own_libc;

fn find(file: &[u8], pattern: &SymbolPattern) -> Vec<Symbol> {
    let binary = Binary::from_image(file, "made").unwrap();
    let mut found = Vec::new();
    find_symbols(&binary, pattern, &mut found).unwrap();
    found
}

fn check(file: &[u8], name: &str, expected: &[(u64, SymbolType)]) {
    let found = find(file, &SymbolPattern::exact(name).unwrap());
    let found: Vec<_> = found
        .iter()
        .map(|symbol| (symbol.value, symbol.kind))
        .collect();
    assert_eq!(found, expected, "{name}");
}

/// Both classes and both byte orders, both tables, and a symbol of both tables only once.
#[test]
fn tables_of_every_class() {
    for (is_64, big) in [(true, false), (true, true), (false, false), (false, true)] {
        let file = Elf::of_class(is_64, big)
            .load(RX, 0, 0, 0x2000)
            .symbols(
                false,
                &[Sym::object("both", 0x1010), Sym::object("local", 0x1020)],
            )
            .symbols(
                true,
                &[Sym::object("both", 0x1010), Sym::object("other", 0x1030)],
            )
            .build();
        check(&file, "both", &[(0x1010, SymbolType::Object)]);
        check(&file, "local", &[(0x1020, SymbolType::Object)]);
        check(&file, "other", &[(0x1030, SymbolType::Object)]);
        check(&file, "oth", &[]);
        check(&file, "her", &[]);
        let all = find(&file, &SymbolPattern::regex("^(both|o.*r)$").unwrap());
        assert_eq!(all.len(), 2, "{all:?}");
    }
}

/// What is only used, a section or a source file does not count; what has no address says so (SC-06, SC-10).
#[test]
fn only_defined_symbols_count_and_types_are_told() {
    let symbol = |kind, section| Sym {
        name: "name",
        kind,
        section,
        value: 0x1010,
        size: 4,
    };
    let cases = [
        (2, 1, Some(SymbolType::Func)),
        (0, 1, Some(SymbolType::NoType)),
        (5, 1, Some(SymbolType::Object)),
        (10, 1, Some(SymbolType::Ifunc)),
        (6, 1, Some(SymbolType::Tls)),
        (13, 1, Some(SymbolType::Other)),
        (2, 0xffff, Some(SymbolType::Func)),
        (1, 0xfff1, Some(SymbolType::Absolute)),
        (1, 0, None),
        (6, 0, None),
        (1, 0xfff2, None),
        (1, 0xff02, None),
        (3, 1, None),
        (4, 0xfff1, None),
    ];
    for (kind, section, expected) in cases {
        let file = Elf::new().symbols(true, &[symbol(kind, section)]).build();
        let found = find(&file, &SymbolPattern::exact("name").unwrap());
        let found = found.first();
        assert_eq!(
            found.map(|symbol| symbol.kind),
            expected,
            "{kind} {section:#x}"
        );
        let has_address = found.is_some_and(|symbol| symbol.address().is_some());
        let none = [SymbolType::Tls, SymbolType::Absolute];
        let expected = expected.is_some_and(|kind| !none.contains(&kind));
        assert_eq!(has_address, expected, "{kind} {section:#x}");
    }
}

/// Versions that linkers write into the names of `.symtab` are versions, and can be asked for.
#[test]
fn versions_in_names() {
    let file = Elf::new()
        .symbols(
            false,
            &[
                Sym::object("f@@NEW", 2),
                Sym::object("f@OLD", 1),
                Sym::object("@f", 3),
            ],
        )
        .build();
    let values = |text: &str| -> Vec<u64> {
        let found = find(&file, &SymbolPattern::exact(text).unwrap());
        found.iter().map(|symbol| symbol.value).collect()
    };
    assert_eq!(values("f"), [2, 1]);
    assert_eq!(values("f@NEW"), [2]);
    assert_eq!(values("f@@NEW"), [2]);
    assert_eq!(values("f@OLD"), [1]);
    assert!(values("f@@OLD").is_empty());
    assert_eq!(values("@f"), [3]);
    assert!(SymbolPattern::exact("").is_err());
    assert!(SymbolPattern::regex("(").is_err());
}

/// A name is found wherever pieces of the string table end.
#[test]
fn names_across_pieces() {
    let piece = 256 << 10;
    for before in piece - 12..piece + 3 {
        let filler = "x".repeat(before);
        let file = Elf::new()
            .symbols(true, &[Sym::object(&filler, 1), Sym::object("wanted", 2)])
            .build();
        check(&file, "wanted", &[(2, SymbolType::Object)]);
    }
}

/// What `nm` says of a file: name with version and value, of what is defined and has an address.
fn nm(path: &Path) -> BTreeSet<(String, u64)> {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only"])
        .arg(path)
        .output()
        .expect("nm is needed for this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let value = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = words.next()?;
        (kind != "A").then(|| (words.next().unwrap().to_owned(), value))
    });
    lines.collect()
}

fn all_of(path: &Path) -> BTreeSet<(String, u64)> {
    let binary = Binary::open(path).unwrap();
    let mut found = Vec::new();
    find_symbols(&binary, &SymbolPattern::regex("").unwrap(), &mut found).unwrap();
    let found = found
        .iter()
        .filter(|symbol| symbol.kind != SymbolType::Absolute);
    found
        .map(|symbol| (symbol.to_string(), symbol.value))
        .collect()
}

/// The C library has the symbols that `nm` finds, with versions, and the same ones without section headers.
#[test]
fn symbols_of_the_c_library() {
    let expected = nm(&own_libc());
    assert!(expected.len() > 1000, "only {}", expected.len());
    let found = all_of(&own_libc());
    // A `.symtab` may have more.
    assert!(expected.is_subset(&found));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libc.so.6");
    let mut bytes = std::fs::read(own_libc()).unwrap();
    take_section_headers(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(all_of(&path), expected);
}

/// No damage to any part makes reading panic, hang or take memory without bound.
#[test]
fn damaged_symbols_are_read_without_panic() {
    const TELLING: &[u8] = &[0, 1, 2, 6, 11, 0x7f, 0x80, 0xff];
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let libc = std::fs::read(own_libc()).unwrap();
    let patterns = [
        SymbolPattern::exact("name@@V").unwrap(),
        SymbolPattern::regex("").unwrap(),
    ];
    let symbols: Vec<_> = (0..40).map(|value| Sym::object("name@@V", value)).collect();
    let made = Elf::new()
        .load(RX, 0, 0, 0x2000)
        .symbols(true, &symbols)
        .symbols(false, &symbols)
        .build();
    let mut found = Vec::new();
    for round in 0..2_000 {
        // Headers and dynamic section of a real file, and all of a small one.
        let mut bytes = made.clone();
        let mut tail = bytes.split_off(0x1000);
        random.mutate(&mut tail, TELLING);
        bytes.append(&mut tail);
        if round % 100 == 0 {
            bytes.clone_from(&libc);
            let mut start = bytes[..0x400].to_vec();
            random.mutate(&mut start, TELLING);
            let count = start.len();
            bytes[..count].copy_from_slice(&start);
            bytes[0x28..0x30].fill(0);
        }
        if let Ok(binary) = Binary::from_image(&bytes, "damaged") {
            let pattern = &patterns[round % 2];
            let _ = find_symbols(&binary, pattern, &mut found);
        }
    }
    assert!(
        found.len() > 10_000,
        "only {} symbols were read",
        found.len()
    );
}
