//! Damaged files: any answer will do, but there has to be one.

use crate::addr::{FileOffset, ProcAddr};
use crate::binary::elf_builder::{Elf, R, RX, Xorshift};
use crate::binary::{
    AddressMapper, Binary, FileRange, Placement, build_id_of_file, build_id_of_image,
};

/// Bytes that make counts, sizes and offsets extreme.
const TELLING: &[u8] = &[0, 1, 3, 4, 7, 8, 0x7f, 0x80, 0xff];

fn file(is_64: bool, big: bool) -> Vec<u8> {
    let elf = Elf::of_class(is_64, big);
    let notes = [
        elf.note(b"Linux\0", 0, &[1; 4], 4),
        elf.note(b"GNU\0", 3, &[2; 20], 4),
    ]
    .concat();
    elf.clone()
        .load(R, 0, 0, 0x800)
        .load(RX, 0x800, 0x1800, 0x900)
        .note_segment(&notes, 4)
        .note_section(&notes, 8)
        .build()
}

/// No damage to headers or notes makes reading panic, hang or take memory without bound.
#[test]
fn damaged_files_are_read_without_panic() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut read = 0;
    for round in 0..20_000 {
        let mut bytes = file(round % 2 == 0, round % 3 == 0);
        // The parts that are read: headers, then notes and section headers.
        let mut tail = bytes.split_off(0x1000);
        bytes.truncate(64 + 4 * 56);
        random.mutate(&mut bytes, TELLING);
        bytes.resize(0x1000, 0);
        random.mutate(&mut tail, TELLING);
        bytes.append(&mut tail);
        read += u32::from(build_id_of_file(bytes.as_slice()).is_ok());
        let _ = build_id_of_image(bytes.as_slice());
    }
    assert!(read > 1000, "only {read} files were good enough to be read");
}

/// No damage to segments makes placing them panic, and what is found is consistent.
#[test]
fn damaged_segments_are_placed_without_panic() {
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    for round in 0..3_000 {
        let mut bytes = file(round % 2 == 0, false);
        let mut headers = bytes[..64 + 2 * 56].to_vec();
        random.mutate(&mut headers, TELLING);
        bytes[..headers.len()].copy_from_slice(&headers);
        let Ok(binary) = Binary::from_image(&bytes, "damaged") else {
            continue;
        };
        let start = random.next() & !0xfff;
        let range = FileRange {
            start: ProcAddr(start),
            limit: ProcAddr(start.saturating_add(0x1000)),
            offset: FileOffset(random.next() & 0x1000),
            executable: true,
        };
        if let Some(placement) = Placement::find(&binary, range, &[range], 4096) {
            placement.segment_start(4096);
            placement.elf_addr(binary.segments(), ProcAddr(start | 0x900), 4096);
        }
        let mapper = AddressMapper::new(binary.segments(), 4096);
        mapper.elf_addr(FileOffset(random.next()));
    }
}
