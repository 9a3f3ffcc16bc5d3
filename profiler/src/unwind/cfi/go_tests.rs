//! Tables of Go's linker assembled by hand, with the rows that they mean.

use profiler_common::{Cfa, Rule, SavedFp};

use super::{Input, Section, rows_of};
use crate::addr::ElfAddr;
use crate::unwind::{Miss, Rows};

const TEXT: std::ops::Range<u64> = 0x1000..0x9000;

/// A function of the table: where it begins from the start of the code, its name, its flags, and how its frame grows:
/// pairs of size and length.
struct Function {
    start: u32,
    name: &'static str,
    flags: u8,
    sizes: &'static [(i64, u64)],
}

/// What the header says beside the offsets.
#[derive(Clone, Copy)]
struct Kind {
    magic: u32,
    flag_at: usize,
}

const GO_1_18: Kind = Kind {
    magic: 0xffff_fff0,
    flag_at: 37,
};
const GO_1_20: Kind = Kind {
    magic: 0xffff_fff1,
    flag_at: 41,
};

const FUNCTIONS: &[Function] = &[
    // A leaf without a frame.
    function(0, "main.leaf", 0, &[(0, 0x20)]),
    // push rbp; sub rsp,16; …; add rsp,16; pop rbp; ret
    function(
        0x100,
        "main.framed",
        0,
        &[(0, 1), (8, 4), (24, 0x40), (0, 1)],
    ),
    function(0x200, "runtime.goexit", 1, &[(0, 0x10)]),
    function(0x300, "runtime.systemstack", 2, &[(0, 8), (8, 8)]),
    function(0x400, "runtime.sigreturn__sigaction", 0, &[(0, 0x10)]),
    // Not known to the linker.
    function(0x500, "main.asm", 0, &[]),
    function(0x600, "runtime.mcall", 2, &[(0, 0x10)]),
];
/// Where the last of them ends.
const LAST: u32 = 0x700;

const fn function(
    start: u32,
    name: &'static str,
    flags: u8,
    sizes: &'static [(i64, u64)],
) -> Function {
    Function {
        start,
        name,
        flags,
        sizes,
    }
}

fn uleb(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Header, names, tables of sizes, functions, in the order of Go's linker.
fn table(kind: Kind, functions: &[Function]) -> Vec<u8> {
    // The offset 0 means that there is no table.
    let (mut names, mut sizes) = (Vec::new(), vec![0u8]);
    let (mut index, mut descriptions) = (Vec::new(), Vec::new());
    let index_size = functions.len() * 8 + 4;
    for function in functions {
        let at = index_size + descriptions.len();
        index.extend(function.start.to_le_bytes());
        index.extend((at as u32).to_le_bytes());
        let mut description = vec![0; kind.flag_at + 3];
        description[..4].copy_from_slice(&function.start.to_le_bytes());
        description[4..8].copy_from_slice(&(names.len() as u32).to_le_bytes());
        let table = if function.sizes.is_empty() {
            0
        } else {
            sizes.len() as u32
        };
        description[16..20].copy_from_slice(&table.to_le_bytes());
        description[kind.flag_at] = function.flags;
        descriptions.extend(description);
        names.extend(function.name.as_bytes());
        names.push(0);
        let mut before = -1i64;
        for (size, length) in function.sizes {
            let delta = size - before;
            uleb((delta << 1 ^ delta >> 63) as u64, &mut sizes);
            uleb(*length, &mut sizes);
            before = *size;
        }
        sizes.push(0);
    }
    index.extend(LAST.to_le_bytes());
    let names_at = 8 + 8 * 8u64;
    let sizes_at = names_at + names.len() as u64;
    let functions_at = sizes_at + sizes.len() as u64;
    let words = [
        functions.len() as u64,
        0,
        0,
        names_at,
        0,
        0,
        sizes_at,
        functions_at,
    ];
    let mut table = kind.magic.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    table.extend([names, sizes, index, descriptions].concat());
    table
}

fn rows(table: &[u8]) -> Rows {
    rows_of(&Input {
        go_functions: Section {
            address: 0xa000,
            data: table,
        },
        go_text: Some(TEXT.start),
        keeps_frame_pointers: true,
        text: &[TEXT],
        ..Input::default()
    })
}

fn sp(n: i32) -> Rule {
    Rule::new(Cfa::Sp(n), SavedFp::Same)
}

fn framed(n: i32) -> Rule {
    Rule::new(Cfa::Sp(n), SavedFp::AtCfa(-16))
}

/// Each kind of function gets the rule that fits it, in both layouts of the table.
#[test]
fn functions_of_each_kind() {
    let expected = [
        (0x1000, sp(8)),
        (0x1020, Rule::NO_CFI),
        (0x1100, sp(8)),
        (0x1101, framed(16)),
        (0x1105, framed(32)),
        (0x1145, sp(8)),
        (0x1146, Rule::NO_CFI),
        (0x1200, Rule::OUTERMOST),
        (0x1300, Rule::NO_CFI),
        (0x1400, Rule::SIGNAL),
        (0x1500, Rule::NO_CFI),
        (0x1600, Rule::OUTERMOST),
        (0x1700, Rule::NO_CFI),
    ];
    for kind in [GO_1_18, GO_1_20] {
        let rows = rows(&table(kind, FUNCTIONS));
        let found: Vec<_> = rows.iter().map(|(at, rule)| (at.0, rule)).collect();
        assert_eq!(found, expected, "{:#x}", kind.magic);
        assert!(rows.misses().iter().next().is_none());
        assert_eq!(rows.functions(), FUNCTIONS.len() as u32);
    }
}

/// What `.eh_frame` describes, which is C linked into the same program, is not described again.
#[test]
fn c_comes_first() {
    let described = super::hand_tests::Assembly::default()
        .common()
        .function(0x1100, 0x40, &[]);
    let table = table(GO_1_20, FUNCTIONS);
    let rows = rows_of(&Input {
        eh_frame: Section {
            address: 0xa000,
            data: &described.bytes,
        },
        go_functions: Section {
            address: 0xb000,
            data: &table,
        },
        go_text: Some(TEXT.start),
        keeps_frame_pointers: true,
        text: &[TEXT],
        ..Input::default()
    });
    assert_eq!(rows.find(ElfAddr(0x1110)), sp(8));
    assert_eq!(rows.find(ElfAddr(0x1010)), sp(8));
    assert_eq!(rows.find(ElfAddr(0x1208)), Rule::OUTERMOST);
}

/// A table of a version that is not known, or for another machine, is counted, and frame pointers stay.
#[test]
fn unknown_tables() {
    let good = table(GO_1_20, FUNCTIONS);
    let with = |at: usize, byte: u8| {
        let mut table = good.clone();
        table[at] = byte;
        table
    };
    for table in [
        with(0, 0xfb),
        with(6, 4),
        with(7, 4),
        good[..20].to_vec(),
        vec![1],
    ] {
        let rows = rows(&table);
        assert!(rows.is_empty());
        assert_eq!(rows.find(ElfAddr(0x1010)), Rule::NO_CFI);
        let misses: Vec<_> = rows.misses().iter().collect();
        assert_eq!(misses, [(Miss::GoTable, 1)]);
    }
    let rows = rows_of(&Input {
        go_functions: Section {
            address: 0xa000,
            data: &good,
        },
        keeps_frame_pointers: true,
        text: &[TEXT],
        ..Input::default()
    });
    assert!(rows.is_empty(), "nobody says where the code begins");
}

/// However a table is damaged, rows come out in order, and no more than its bytes can mean.
#[test]
fn damaged_tables() {
    let good = table(GO_1_20, FUNCTIONS);
    for length in 0..good.len() {
        check_order(&good[..length]);
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut table = good.clone();
            table[at] ^= 1 << bit;
            check_order(&table);
        }
    }
}

fn check_order(table: &[u8]) {
    let rows = rows(table);
    assert!(rows.iter().is_sorted_by(|(one, _), (other, _)| one < other));
    assert!(rows.len() <= 64 * table.len());
    assert!(rows.iter().all(|(at, _)| TEXT.contains(&at.0)));
}
