//! The layouts of linkers: addresses by program headers, whatever line shows the symbol (SC-01..05).

use super::world::World;
use crate::binary::elf_builder::{Elf, R, RW, RX, Sym};

/// Where the file was loaded.
const X: u64 = 0x5581_e8b6_f000;

/// Each symbol of the file is found at its place, once.
fn check(elf: Elf, maps: &[(u64, &str, u64)], bias: u64, symbols: &[(&str, u64)]) {
    let table: Vec<_> = symbols
        .iter()
        .map(|(name, value)| Sym::object(name, *value))
        .collect();
    let world = World::new();
    let file = world.file("root", "/bin/prog", &elf.symbols(false, &table).build());
    // What begins with a dot is nameless memory.
    let lines = maps.iter().map(|(start, perms, offset)| {
        let start = bias + start;
        let limit = start + 0x1000;
        match perms.strip_prefix('.') {
            Some(perms) => format!("{start:x}-{limit:x} {perms} 00000000 00:00 0\n"),
            None => format!("{start:x}-{limit:x} {perms} {offset:08x} {{}} /bin/prog\n"),
        }
    });
    world.process(42, "root", &lines.collect::<String>(), &file);
    for (name, value) in symbols {
        let found: Vec<_> = world
            .hits(name)
            .iter()
            .map(|hit| hit.address.unwrap().0)
            .collect();
        assert_eq!(found, [bias + value], "{name}");
    }
}

/// GNU ld: text, relocated read-only data, data and what has no bytes in the file (SC-01).
#[test]
fn laid_out_by_gnu_ld() {
    let elf = Elf::new()
        .load(R, 0, 0, 0x628)
        .load(RX, 0x1000, 0x1000, 0x200)
        .load(R, 0x2000, 0x2000, 0x100)
        .load(RW, 0x2dc4, 0x3dc4, 0x278)
        .with_memory(0x317c);
    let maps = [
        (0, "r--p", 0),
        (0x1000, "r-xp", 0x1000),
        (0x2000, "r--p", 0x2000),
        (0x3000, "r--p", 0x2000),
        (0x4000, "rw-p", 0x3000),
        (0x5000, ".rw-p", 0),
        (0x6000, ".rw-p", 0),
    ];
    let symbols = [
        ("main", 0x1179),
        ("data", 0x4038),
        ("bss", 0x4060),
        ("far_bss", 0x6f00),
        ("relro", 0x3dd8),
        ("_end", 0x7000),
    ];
    check(elf, &maps, X, &symbols);
}

/// gold: one segment for code and constants (SC-02).
#[test]
fn laid_out_by_gold() {
    let elf = Elf::new()
        .load(RX, 0, 0, 0xdb0)
        .load(RW, 0xdb0, 0x1db0, 0x2a0)
        .with_memory(0x2e0);
    let maps = [
        (0, "r-xp", 0),
        (0x1000, "r--p", 0),
        (0x2000, "rw-p", 0x1000),
    ];
    let symbols = [("data", 0x2040), ("bss", 0x2080), ("main", 0xa39)];
    check(elf, &maps, X, &symbols);
}

/// LLD: all segments in one page of the file, so that all lines have the offset 0 (SC-03).
#[test]
fn laid_out_by_lld() {
    let elf = Elf::new()
        .load(R, 0, 0, 0x920)
        .load(RX, 0x920, 0x1920, 0x1f0)
        .load(RW, 0xb10, 0x2b10, 0x1e8)
        .load(RW, 0xcf8, 0x3cf8, 0x60)
        .with_memory(0x90);
    let maps = [
        (0, "r--p", 0),
        (0x1000, "r-xp", 0),
        (0x2000, "r--p", 0),
        (0x3000, "rw-p", 0),
    ];
    let symbols = [
        ("main", 0x1a09),
        ("relro", 0x2b28),
        ("data", 0x3d08),
        ("bss", 0x3d80),
    ];
    check(elf, &maps, X, &symbols);
}

/// A program that is not position-independent has its symbols where it says (SC-05).
#[test]
fn not_position_independent() {
    let mut elf = Elf::new()
        .load(R, 0, 0x40_0000, 0x500)
        .load(RX, 0x1000, 0x40_1000, 0x200)
        .load(RW, 0x2e00, 0x40_3e00, 0x250);
    elf.e_type = 2;
    let maps = [
        (0x40_0000, "r--p", 0),
        (0x40_1000, "r-xp", 0x1000),
        (0x40_3000, "r--p", 0x2000),
        (0x40_4000, "rw-p", 0x3000),
    ];
    check(elf, &maps, 0, &[("data", 0x40_4040), ("main", 0x40_1050)]);
}

/// A library without any code is looked into as well.
#[test]
fn without_code() {
    let elf = Elf::new().load(R, 0, 0, 0x1800);
    check(
        elf,
        &[(0, "r--p", 0), (0x1000, "r--p", 0x1000)],
        X,
        &[("table", 0x1700)],
    );
}
