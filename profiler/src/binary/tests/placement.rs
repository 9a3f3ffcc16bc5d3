//! Ranges of memory and the segments that made them.

use crate::addr::{ElfAddr, FileOffset, ProcAddr};
use crate::binary::elf_builder::{Elf, R, RW, RX};
use crate::binary::{Binary, FileRange, Placement};

/// A range of two pages or less: address, file offset, size, executable.
type Range = (u64, u64, u64, bool);

const X: u64 = 0x55d0_0000_0000;

fn binary(elf: &Elf) -> Binary {
    Binary::from_image(&elf.build(), "made").unwrap()
}

fn range((start, offset, size, executable): Range) -> FileRange {
    FileRange {
        start: ProcAddr(start),
        limit: ProcAddr(start + size),
        offset: FileOffset(offset),
        executable,
    }
}

fn place(elf: &Elf, which: usize, ranges: &[Range]) -> Option<Placement> {
    let ranges: Vec<FileRange> = ranges.iter().copied().map(range).collect();
    Placement::find(&binary(elf), ranges[which], &ranges, 4096)
}

fn check(case: &str, elf: &Elf, which: usize, ranges: &[Range], probes: &[(u64, Option<u64>)]) {
    let placement = place(elf, which, ranges).unwrap_or_else(|| panic!("{case}: no placement"));
    let binary = binary(elf);
    for &(address, expected) in probes {
        let found = placement.elf_addr(binary.segments(), ProcAddr(address), 4096);
        assert_eq!(found, expected.map(ElfAddr), "{case}: {address:#x}");
    }
}

/// The layouts of the usual linkers give the address that the symbol table has (PI-01..05).
#[test]
fn usual_layouts() {
    let single = Elf::new().load(RX, 0, 0, 0x900);
    check(
        "PI-01",
        &single,
        0,
        &[(0x5631_e310_8000, 0, 0x1000, true)],
        &[(0x5631_e310_86da, Some(0x6da))],
    );
    let separate = Elf::new()
        .load(R, 0, 0, 0x600)
        .load(RX, 0x1000, 0x1000, 0x200)
        .load(R, 0x2000, 0x2000, 0x100);
    let lines = [
        (X, 0, 0x1000, false),
        (X + 0x1000, 0x1000, 0x1000, true),
        (X + 0x2000, 0x2000, 0x1000, false),
    ];
    check(
        "PI-02",
        &separate,
        1,
        &lines,
        &[(X + 0x1140, Some(0x1140)), (X + 0x1200, None)],
    );
    let mut fixed = Elf::new()
        .load(R, 0, 0x40_0000, 0x500)
        .load(RX, 0x1000, 0x40_1000, 0x200);
    fixed.e_type = 2;
    check(
        "PI-04",
        &fixed,
        1,
        &[
            (0x40_0000, 0, 0x1000, false),
            (0x40_1000, 0x1000, 0x1000, true),
        ],
        &[(0x40_112d, Some(0x40_112d))],
    );
    let high = Elf::new().load(RX, 0, 0x7f00_0000_0000, 0x3000);
    check(
        "PI-05",
        &high,
        0,
        &[(0x7f00_0000_0000, 0, 0x3000, true)],
        &[(0x7f00_0000_1234, Some(0x7f00_0000_1234))],
    );
}

/// LLD's segments share the first page of the file; the range's neighbours tell them apart (PI-03, AM-07).
#[test]
fn lld_segments_in_one_page() {
    let lld = Elf::new()
        .load(R, 0, 0, 0x638)
        .load(RX, 0x640, 0x1640, 0x1b0)
        .load(RW, 0x7f0, 0x27f0, 0x1d8)
        .load(RW, 0x9c8, 0x39c8, 0x38);
    let lines = [
        (X, 0, 0x1000, false),
        (X + 0x1000, 0, 0x1000, true),
        (X + 0x2000, 0, 0x1000, false),
        (X + 0x3000, 0, 0x1000, false),
    ];
    check("PI-03", &lld, 1, &lines, &[(X + 0x1730, Some(0x1730))]);
    check(
        "AM-07",
        &lld,
        1,
        &lines,
        &[
            (X + 0x1640, Some(0x1640)),
            (X + 0x1750, Some(0x1750)),
            (X + 0x1000, Some(0x1000)),
            (X + 0x17ef, Some(0x17ef)),
            (X + 0x17f0, None),
        ],
    );
    // The executable line alone: the executable segment is the best guess, and the right one.
    check(
        "AM-07 alone",
        &lld,
        0,
        &lines[1..2],
        &[(X + 0x1730, Some(0x1730))],
    );
}

/// Two executable segments in one page are told apart by the mapping that the address came from (AM-11).
#[test]
fn two_executable_segments_in_one_page() {
    let elf = Elf::new()
        .load(RX, 0x100, 0x1100, 0x700)
        .load(RX, 0x800, 0x2800, 0x400);
    let lines = [(X + 0x1000, 0, 0x1000, true), (X + 0x2000, 0, 0x1000, true)];
    check(
        "AM-11 A",
        &elf,
        0,
        &lines,
        &[(X + 0x1850, None), (X + 0x17ff, Some(0x17ff))],
    );
    check(
        "AM-11 B",
        &elf,
        1,
        &lines,
        &[(X + 0x2850, Some(0x2850)), (X + 0x2c00, None)],
    );
}

/// The same library twice in a process has two load biases.
#[test]
fn file_loaded_twice() {
    let elf = Elf::new()
        .load(R, 0, 0, 0x800)
        .load(RX, 0x800, 0x1800, 0x400);
    let again = X + 0x10_0000;
    let lines = [
        (X, 0, 0x1000, false),
        (X + 0x1000, 0, 0x1000, true),
        (again, 0, 0x1000, false),
        (again + 0x1000, 0, 0x1000, true),
    ];
    check("first", &elf, 1, &lines, &[(X + 0x1900, Some(0x1900))]);
    check("second", &elf, 3, &lines, &[(again + 0x1900, Some(0x1900))]);
}

/// A range that no segment can have made has no placement: the file was mapped by something else.
#[test]
fn foreign_mappings_have_no_placement() {
    let elf = Elf::new().load(RX, 0x1000, 0x1000, 0x800);
    assert_eq!(place(&elf, 0, &[(X, 0x5000, 0x1000, true)]), None);
    assert_eq!(place(&elf, 0, &[(X, 0x1000, 0x9000, true)]), None);
}

/// Where pprof is told that a segment begins: its page, or further down where `p_align` asks for it
/// (PP-14..16), also when only its tail is mapped (PP-05).
#[test]
fn segment_start_for_pprof() {
    let start = |elf: &Elf, line: Range| {
        let placement = place(elf, 0, &[line]).unwrap();
        let (start, offset) = placement.segment_start(4096);
        (start.0, offset.0)
    };
    let usual = Elf::new().load(RX, 0x1000, 0x1000, 0x5000);
    assert_eq!(
        start(&usual, (X + 0x1000, 0x1000, 0x5000, true)),
        (X + 0x1000, 0x1000)
    );
    assert_eq!(
        start(&usual, (X + 0x3000, 0x3000, 0x3000, true)),
        (X + 0x1000, 0x1000),
        "PP-05"
    );
    let lld = Elf::new().load(RX, 0x640, 0x1640, 0x1b0);
    assert_eq!(
        start(&lld, (X + 0x1000, 0, 0x1000, true)),
        (X + 0x1000, 0),
        "PP-14"
    );
    let wide = Elf::new().load_aligned(RX, 0x2400, 0x1_2400, 0x500, 0x1_0000);
    let line = (X + 0x1_2000, 0x2000, 0x1000, true);
    assert_eq!(start(&wide, line), (X + 0x1_0000, 0), "PP-16");
    // No room in the file for going down: the page it is.
    let early = Elf::new().load_aligned(RX, 0x400, 0x1_2400, 0x500, 0x1_0000);
    assert_eq!(
        start(&early, (X + 0x1_2000, 0, 0x1000, true)),
        (X + 0x1_2000, 0)
    );
}
