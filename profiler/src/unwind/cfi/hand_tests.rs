//! Unwind sections assembled by hand, with the rows that they mean.

use profiler_common::{Cfa, LeafRegister, Rule, SavedFp};

use super::{Input, Plt, Section, rows_of};
use crate::addr::ElfAddr;
use crate::unwind::{Miss, Rows};

/// Where the code and the section of these tests lie.
const TEXT: std::ops::Range<u64> = 0x1000..0x9000;
const SECTION: u64 = 0xa000;

/// A section as it grows.
#[derive(Clone, Default)]
pub(super) struct Assembly {
    pub(super) bytes: Vec<u8>,
    common_at: u32,
}

impl Assembly {
    /// `zR`, pcrel sdata4; `def_cfa rsp+8`, `offset ra c-8`.
    pub(super) fn common(self) -> Self {
        self.common_with(b"zR\0", &[1, 0x1b], &[0x0c, 7, 8, 0x90, 1])
    }

    /// A CIE of version 1 with these parts; factors 1 and -8, return address in 16.
    pub(super) fn common_with(
        mut self,
        augmentation: &[u8],
        data: &[u8],
        instructions: &[u8],
    ) -> Self {
        self.common_at = self.bytes.len() as u32;
        let body = [
            &[0, 0, 0, 0, 1],
            augmentation,
            &[1, 0x78, 16],
            data,
            instructions,
        ]
        .concat();
        self.entry(&body)
    }

    /// An FDE of the last CIE, with augmentation data of length 0 and addresses as [`common`](Self::common) says.
    pub(super) fn function(self, start: u64, size: u32, instructions: &[u8]) -> Self {
        let at = self.bytes.len() as u32 + 4;
        let pointer = start.wrapping_sub(SECTION + u64::from(at) + 4) as u32;
        let body = [
            &(at - self.common_at).to_le_bytes(),
            &pointer.to_le_bytes(),
            &size.to_le_bytes(),
            [0].as_slice(),
            instructions,
        ]
        .concat();
        self.entry(&body)
    }

    pub(super) fn entry(mut self, body: &[u8]) -> Self {
        self.bytes.extend((body.len() as u32).to_le_bytes());
        self.bytes.extend(body);
        self
    }

    pub(super) fn rows(&self) -> Rows {
        rows_of(&Input {
            eh_frame: Section {
                address: SECTION,
                data: &self.bytes,
            },
            text: &[TEXT],
            ..Input::default()
        })
    }
}

fn register(number: u64) -> LeafRegister {
    LeafRegister::from_dwarf(number).unwrap()
}

fn leaf(number: u64, offset: i32) -> Cfa {
    Cfa::Leaf {
        register: register(number),
        offset,
    }
}

fn sp(n: i32) -> Rule {
    Rule::new(Cfa::Sp(n), SavedFp::Same)
}

fn check(rows: &Rows, expected: &[(u64, Rule)]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(address, rule)| (address.0, rule))
        .collect();
    assert_eq!(rows, expected);
}

/// One function of 16 bytes at 0x2000: the rule at its end.
fn check_rule(assembly: Assembly, instructions: &[u8], expected: Rule, miss: Option<Miss>) {
    let rows = assembly.function(0x2000, 16, instructions).rows();
    assert_eq!(rows.find(ElfAddr(0x200f)), expected, "{instructions:02x?}");
    let misses: Vec<_> = rows.misses().iter().map(|(miss, _)| miss).collect();
    assert_eq!(
        misses,
        miss.into_iter().collect::<Vec<_>>(),
        "{instructions:02x?}"
    );
}

/// A usual function with a frame pointer, with an early return in the middle.
///
/// ```text
/// 2000: push rbp       def_cfa_offset 16, offset rbp c-16
/// 2001: mov rbp,rsp    def_cfa_register rbp
/// 2004: …
/// 2008: pop rbp        remember_state, def_cfa rsp+8, restore rbp
/// 2009: ret            restore_state
/// 200a: …
/// ```
#[test]
fn prologue_and_early_return() {
    let instructions = [
        0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x44, 0x0a, 0x0c, 7, 8, 0xc6, 0x41, 0x0b,
    ];
    let rows = Assembly::default()
        .common()
        .function(0x2000, 0x20, &instructions)
        .rows();
    let saved = SavedFp::AtCfa(-16);
    let expected = [
        (0x2000, sp(8)),
        (0x2001, Rule::new(Cfa::Sp(16), saved)),
        (0x2004, Rule::new(Cfa::Fp(16), saved)),
        (0x2008, sp(8)),
        (0x2009, Rule::new(Cfa::Fp(16), saved)),
        (0x2020, Rule::NO_ROW),
    ];
    check(&rows, &expected);
    assert_eq!((rows.functions(), rows.misses().iter().count()), (1, 0));
}

/// Padding between functions takes no row, a gap does; functions come in any order; empty ones do no harm.
#[test]
fn gaps_and_order() {
    let rows = Assembly::default()
        .common()
        .function(0x3000, 0x10, &[0x0e, 16])
        .function(0x2000, 0, &[0x0e, 99])
        .function(0x2000, 0x10, &[0x0e, 16])
        .function(0x2020, 0x10, &[0x0e, 24])
        .entry(&[])
        .function(0x3000 + 63 + 0x10, 1, &[])
        .rows();
    let expected = [
        (0x2000, sp(16)),
        (0x2020, sp(24)),
        (0x2030, Rule::NO_ROW),
        (0x3000, sp(16)),
        (0x304f, sp(8)),
        (0x3050, Rule::NO_ROW),
    ];
    check(&rows, &expected);
}

/// Each kind of rule, and each kind of what is none.
#[test]
fn rules() {
    let common = || Assembly::default().common();
    let saved = |cfa, saved_fp| Rule::new(cfa, saved_fp);
    let plt = [
        0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22,
    ];
    let at_fp = |inner, outer| saved(Cfa::DerefFp { inner, outer }, SavedFp::Same);
    let far = saved(Cfa::Sp(100_000), SavedFp::Same);
    for (instructions, rule, miss) in [
        (
            &plt[..],
            saved(
                Cfa::Plt {
                    offset: 8,
                    threshold: 11,
                },
                SavedFp::Same,
            ),
            None,
        ),
        (&[0x0f, 3, 0x76, 0x78, 6], at_fp(-8, 0), None),
        (&[0x0f, 5, 0x76, 0x78, 6, 0x23, 16], at_fp(-8, 16), None),
        (
            &[0x0f, 3, 0x77, 8, 6],
            saved(Cfa::DerefSp { inner: 8, outer: 0 }, SavedFp::Same),
            None,
        ),
        (&[0x0f, 2, 0x77, 40], sp(40), None),
        (
            &[0x0f, 3, 0x76, 0x78, 6, 0x10, 6, 2, 0x76, 0],
            saved(
                Cfa::DerefFp {
                    inner: -8,
                    outer: 0,
                },
                SavedFp::AtFp(0),
            ),
            None,
        ),
        (&[0x10, 6, 2, 0x76, 0], sp(8), None),
        (
            &[0x10, 6, 2, 0x77, 0],
            saved(Cfa::Sp(8), SavedFp::AtCfa(-8)),
            None,
        ),
        (&[0x0e, 0xa0, 0x8d, 6], far, None),
        (&[0x12, 7, 0x7e], sp(16), None),
        (&[0x13, 0x7e], sp(16), None),
        (&[0x11, 6, 2], saved(Cfa::Sp(8), SavedFp::AtCfa(-16)), None),
        (&[0x2f, 6, 2], saved(Cfa::Sp(8), SavedFp::AtCfa(16)), None),
        (
            &[0x05, 6, 2, 0x2e, 16, 0x83, 3],
            saved(Cfa::Sp(8), SavedFp::AtCfa(-16)),
            None,
        ),
        (&[0x86, 2, 0x08, 6], sp(8), None),
        (&[0x86, 2, 0x06, 6], sp(8), None),
        (&[0x86, 2, 0x07, 6], sp(8), None),
        (&[0x07, 16], Rule::OUTERMOST, None),
        (&[0x0d, 12], Rule::UNSUPPORTED, Some(Miss::CfaRegister)),
        // In these the innermost frame is found.
        (&[0x0d, 10], saved(leaf(10, 8), SavedFp::Same), None),
        (
            &[0x0d, 0, 0x86, 2],
            saved(leaf(0, 8), SavedFp::AtCfa(-16)),
            None,
        ),
        (&[0x09, 16, 5], Rule::return_in(register(5), 8), None),
        (
            &[0x0f, 2, 0x7a, 0],
            Rule::UNSUPPORTED,
            Some(Miss::CfaExpression),
        ),
        (
            &[0x0f, 4, 0x76, 0x78, 6, 6],
            Rule::UNSUPPORTED,
            Some(Miss::CfaExpression),
        ),
        (
            &[0x09, 16, 12],
            Rule::UNSUPPORTED,
            Some(Miss::ReturnAddress),
        ),
        (&[0x90, 2], Rule::UNSUPPORTED, Some(Miss::ReturnAddress)),
        (&[0x09, 6, 3], Rule::UNSUPPORTED, Some(Miss::SavedFp)),
        (&[0x14, 6, 3], Rule::UNSUPPORTED, Some(Miss::SavedFp)),
        (
            &[0x16, 6, 2, 0x77, 0],
            Rule::UNSUPPORTED,
            Some(Miss::SavedFp),
        ),
        (
            &[0x86, 0x80, 0x80, 1],
            Rule::UNSUPPORTED,
            Some(Miss::OffsetTooLarge),
        ),
        // Unknown, truncated, nothing remembered, an offset without a register.
        (&[0x3f], Rule::UNSUPPORTED, Some(Miss::Instructions)),
        (&[0x0c, 7], Rule::UNSUPPORTED, Some(Miss::Instructions)),
        (&[0x0b], Rule::UNSUPPORTED, Some(Miss::Instructions)),
        (
            &[0x0f, 2, 0x77, 40, 0x0e, 8],
            Rule::UNSUPPORTED,
            Some(Miss::Instructions),
        ),
    ] {
        check_rule(common(), instructions, rule, miss);
    }
}

/// A trampoline is known by its augmentation and by what it says about the kernel's frame, as glibc's does.
#[test]
fn signal_trampolines() {
    let signal = || Assembly::default().common_with(b"zRS\0", &[1, 0x1b], &[0x0c, 7, 8, 0x90, 1]);
    let frame = [
        0x0f, 4, 0x77, 0xa0, 1, 6, 0x10, 6, 3, 0x77, 0xf8, 0, 0x10, 16, 3, 0x77, 0xa8, 1,
    ];
    check_rule(signal(), &frame, Rule::SIGNAL, None);
    check_rule(
        signal(),
        &frame[..12],
        Rule::UNSUPPORTED,
        Some(Miss::SignalFrame),
    );
    check_rule(signal(), &[], Rule::UNSUPPORTED, Some(Miss::SignalFrame));
    // The same without `S` has its return address in a place that is none.
    check_rule(
        Assembly::default().common(),
        &frame,
        Rule::UNSUPPORTED,
        Some(Miss::ReturnAddress),
    );
}

/// A CIE that is not understood costs its functions, not the others; so does a function that lies nowhere.
#[test]
fn damage_stays_local() {
    let rows = Assembly::default()
        .common_with(b"x\0", &[], &[0x0c, 7, 8, 0x90, 1])
        .function(0x3000, 16, &[])
        .common_with(b"zR\0", &[1, 0x9b], &[0x0c, 7, 8, 0x90, 1])
        .function(0x4000, 16, &[])
        .common()
        .function(0x9ff0, 16, &[])
        .function(0x2000, 16, &[])
        .entry(&[1, 2])
        .function(0x5000, 16, &[0x0e, 16])
        .rows();
    for (address, rule) in [
        (0x2000, sp(8)),
        (0x3000, Rule::NO_ROW),
        (0x4000, Rule::NO_ROW),
        (0x5000, sp(16)),
    ] {
        assert_eq!(rows.find(ElfAddr(address)), rule, "{address:#x}");
    }
    let count = |miss| rows.misses().get(miss);
    assert_eq!(
        [count(Miss::Cie), count(Miss::Fde), count(Miss::OutsideText)],
        [1, 2, 1]
    );
}

/// Overlapping functions: the one that begins later wins, and it is counted.
#[test]
fn overlaps() {
    let rows = Assembly::default()
        .common()
        .function(0x2000, 0x100, &[0x60, 0x0e, 16])
        .function(0x2010, 0x10, &[0x0e, 24])
        .function(0x2010, 0x10, &[0x0e, 24])
        .rows();
    check(
        &rows,
        &[(0x2000, sp(8)), (0x2010, sp(24)), (0x2020, Rule::NO_ROW)],
    );
    assert_eq!(rows.misses().get(Miss::Overlap), 1);
}

/// `.debug_frame` of either format, for what `.eh_frame` does not describe.
#[test]
fn debug_frame() {
    let mut bytes = Vec::new();
    let mut entry = |parts: &[&[u8]]| {
        let body = parts.concat();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
    };
    // Version 4: addresses of 8 bytes, no segments.
    let common = [4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1];
    let id = u32::MAX.to_le_bytes();
    entry(&[&id, &common]);
    let function = |start: u64| {
        [
            0u32.to_le_bytes().as_slice(),
            &start.to_le_bytes(),
            &16u64.to_le_bytes(),
        ]
        .concat()
    };
    entry(&[&function(0x2000), &[0x0e, 32]]);
    entry(&[&function(0x3000), &[0x0e, 40]]);
    // The 64-bit format.
    let at = bytes.len() as u64;
    let long = |body: Vec<u8>| {
        [
            &[0xff; 4],
            (body.len() as u64).to_le_bytes().as_slice(),
            &body,
        ]
        .concat()
    };
    let wide_common = [u64::MAX.to_le_bytes().as_slice(), &common].concat();
    bytes.extend(long(wide_common));
    let wide = [
        at.to_le_bytes(),
        0x4000u64.to_le_bytes(),
        16u64.to_le_bytes(),
    ]
    .concat();
    bytes.extend(long([wide.as_slice(), &[0x0e, 48]].concat()));

    let eh_frame = Assembly::default().common().function(0x2000, 16, &[]).bytes;
    let rows = rows_of(&Input {
        eh_frame: Section {
            address: SECTION,
            data: &eh_frame,
        },
        debug_frame: Section {
            address: 0,
            data: &bytes,
        },
        text: &[TEXT],
        ..Input::default()
    });
    let expected = [
        (0x2000, sp(8)),
        (0x2010, Rule::NO_ROW),
        (0x3000, sp(40)),
        (0x3010, Rule::NO_ROW),
        (0x4000, sp(48)),
        (0x4010, Rule::NO_ROW),
    ];
    check(&rows, &expected);
}

/// Linkage tables and an entry point get rows where nothing describes them, and only there.
#[test]
fn linkage_and_entry_point() {
    let described = Assembly::default()
        .common()
        .function(0x2000, 16, &[])
        .function(0x4000, 16, &[])
        .bytes;
    let rows = |plts: &[Plt], entry| {
        rows_of(&Input {
            eh_frame: Section {
                address: SECTION,
                data: &described,
            },
            text: &[TEXT],
            entry,
            plts,
            ..Input::default()
        })
    };
    let lazy = Plt::Lazy {
        range: 0x3000..0x3040,
        threshold: 9,
    };
    let with = rows(
        &[lazy, Plt::Jumps(0x5000..0x5100), Plt::Jumps(0x2000..0x2010)],
        Some(0x3fc0),
    );
    let entries = Rule::new(
        Cfa::Plt {
            offset: 8,
            threshold: 9,
        },
        SavedFp::Same,
    );
    let expected = [
        (0x2000, sp(8)),
        (0x2010, Rule::NO_ROW),
        (0x3000, sp(16)),
        (0x3006, sp(24)),
        (0x3010, entries),
        (0x3040, Rule::NO_ROW),
        (0x3fc0, Rule::OUTERMOST),
        (0x4000, sp(8)),
        (0x4010, Rule::NO_ROW),
        (0x5000, sp(8)),
        (0x5100, Rule::NO_ROW),
    ];
    check(&with, &expected);
    let outside = rows(
        &[
            Plt::Jumps(0x9000..0x9010),
            Plt::Jumps(u64::MAX - 4..u64::MAX),
        ],
        Some(0x2008),
    );
    check(
        &outside,
        &[
            (0x2000, sp(8)),
            (0x2010, Rule::NO_ROW),
            (0x4000, sp(8)),
            (0x4010, Rule::NO_ROW),
        ],
    );
}

/// A binary without unwind information has no rows, and goes by frame pointers everywhere.
#[test]
fn nothing_at_all() {
    let rows = Assembly::default().rows();
    assert!(rows.is_empty());
    assert_eq!(rows.find(ElfAddr(0x2000)), Rule::NO_CFI);
}

/// Go code that was linked with C: only the C part is described, the rest keeps frame pointers.
#[test]
fn mixed_with_go() {
    let described = Assembly::default().common().function(0x2000, 16, &[]).bytes;
    let rows = rows_of(&Input {
        eh_frame: Section {
            address: SECTION,
            data: &described,
        },
        text: &[TEXT],
        keeps_frame_pointers: true,
        ..Input::default()
    });
    check(&rows, &[(0x2000, sp(8)), (0x2010, Rule::NO_CFI)]);
}
