//! Damaged sections: whatever the bytes are, rows come out in order, and not more than the bytes can mean.

use super::hand_tests::Assembly;
use super::{Input, Section, rows_of};

/// Numbers that only look random (xorshift64), the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn seed() -> Vec<u8> {
    let mut assembly = Assembly::default().common();
    for start in (0x2000..0x4000).step_by(0x40) {
        let instructions = [
            0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 4, 0x0a, 0x0c, 7, 8, 0xc6, 0x03, 4, 0,
            0x0b, 0x0f, 3, 0x76, 0x78, 6,
        ];
        assembly = assembly.function(start, 0x40, &instructions);
    }
    assembly.bytes
}

fn check(bytes: &[u8]) {
    let section = Section {
        address: 0xa000,
        data: bytes,
    };
    let text = [0x1000..0x9000, 0xffff_ffff_ffff_0000..u64::MAX];
    for (eh_frame, debug_frame) in [
        (section, Section::default()),
        (Section::default(), section),
        (section, section),
    ] {
        let rows = rows_of(&Input {
            eh_frame,
            debug_frame,
            text: &text,
            entry: Some(0x2010),
            ..Input::default()
        });
        // An instruction takes a byte and makes a row; each function is at most one gap more, in each section.
        assert!(
            rows.len() <= 4 * bytes.len() + 8,
            "{} rows of {} bytes",
            rows.len(),
            bytes.len()
        );
        assert!(rows.iter().is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(
            rows.iter()
                .zip(rows.iter().skip(1))
                .all(|((_, one), (_, other))| one != other)
        );
    }
}

/// Sections with some bytes exchanged, removed, repeated or cut off, two thousand of them.
#[test]
fn mutated_sections() {
    let seed = seed();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..2_000 {
        let mut bytes = seed.clone();
        for _ in 0..=numbers.below(8) {
            let at = numbers.below(bytes.len());
            match numbers.below(6) {
                0 => bytes[at] = numbers.next() as u8,
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
                2 => bytes[at] ^= 1 << numbers.below(8),
                3 => bytes.truncate(at + 1),
                4 => _ = bytes.drain(at..(at + numbers.below(9)).min(bytes.len() - 1).max(at)),
                _ => {
                    let piece = bytes[at..(at + 40).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        check(&bytes);
    }
}

/// Bytes that mean nothing at all.
#[test]
fn noise() {
    let mut numbers = Numbers(99);
    for length in 0..600 {
        let bytes: Vec<u8> = (0..length).map(|_| numbers.next() as u8).collect();
        check(&bytes);
    }
    for byte in 0..=255 {
        check(&[byte; 100]);
    }
}

/// States remembered without end, and functions that all claim all of the text, cost no more than their bytes.
#[test]
fn extravagance() {
    check(
        &Assembly::default()
            .common()
            .function(0x2000, 0x40, &[0x0a; 100_000])
            .bytes,
    );
    let mut assembly = Assembly::default().common();
    for start in 0..5000 {
        assembly = assembly.function(0x1000 + start, 0x7000, &[0x41, 0x0e, 16, 0x41, 0x0e, 8]);
    }
    check(&assembly.bytes);
    let mut assembly = Assembly::default().common();
    for size in 0..5000 {
        assembly = assembly.function(0x1000, 0x7000 - size, &[0x41, 0x0e, 16]);
    }
    check(&assembly.bytes);
}
