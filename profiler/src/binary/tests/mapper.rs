//! The table of file offsets and addresses, with page sizes of 4 and 64 KiB.

use crate::addr::{ElfAddr, FileOffset};
use crate::binary::{AddressMapper, Segment};

fn executable((offset, vaddr, file_size): (u64, u64, u64)) -> Segment {
    Segment {
        offset: FileOffset(offset),
        vaddr: ElfAddr(vaddr),
        file_size,
        mem_size: file_size,
        align: 0x1000,
        executable: true,
    }
}

fn check(case: &str, segments: &[(u64, u64, u64)], page_size: u64, probes: &[(u64, Option<u64>)]) {
    let segments: Vec<Segment> = segments.iter().copied().map(executable).collect();
    let mapper = AddressMapper::new(&segments, page_size);
    for &(offset, expected) in probes {
        let found = mapper.elf_addr(FileOffset(offset));
        assert_eq!(found, expected.map(ElfAddr), "{case}: {offset:#x}");
    }
}

/// File offsets become addresses within the segment's asymmetric bounds, and nothing outside (AM-01..08).
#[test]
fn offsets_become_addresses() {
    check(
        "AM-01",
        &[(0x1000, 0x40_0000, 0x2000)],
        4096,
        &[
            (0x0fff, None),
            (0x1000, Some(0x40_0000)),
            (0x1500, Some(0x40_0500)),
            (0x2fff, Some(0x40_1fff)),
            (0x3000, None),
        ],
    );
    check(
        "AM-02",
        &[(0x1234, 0x40_0000, 0x2000)],
        4096,
        &[
            (0x0fff, None),
            (0x1000, Some(0x3f_fdcc)),
            (0x1234, Some(0x40_0000)),
            (0x3233, Some(0x40_1fff)),
            (0x3234, None),
        ],
    );
    let rust_pie = [(0x1_6ec0, 0x1_7ec0, 0x4_7460)];
    check(
        "AM-03",
        &rust_pie,
        4096,
        &[
            (0x1_5fff, None),
            (0x1_6000, Some(0x1_7000)),
            (0x1_6ec0, Some(0x1_7ec0)),
            (0x1_8000, Some(0x1_9000)),
            (0x5_e31f, Some(0x5_f31f)),
            (0x5_e320, None),
        ],
    );
    check(
        "AM-04",
        &[(0, 0x40_0000, 0x1000)],
        4096,
        &[
            (0, Some(0x40_0000)),
            (0x500, Some(0x40_0500)),
            (0x1000, None),
        ],
    );
    // Given in the other order than the file's.
    check(
        "AM-05",
        &[(0x4000, 0x60_0000, 0x800), (0x1000, 0x40_0000, 0x800)],
        4096,
        &[
            (0x17ff, Some(0x40_07ff)),
            (0x1800, None),
            (0x2000, None),
            (0x4000, Some(0x60_0000)),
            (0x47ff, Some(0x60_07ff)),
            (0x4800, None),
        ],
    );
    check(
        "AM-06",
        &[(0x1000, 0, 0x2000)],
        4096,
        &[(0x1500, Some(0x500))],
    );
    check(
        "AM-07",
        &[(0x640, 0x1640, 0x1b0)],
        4096,
        &[
            (0x640, Some(0x1640)),
            (0x750, Some(0x1750)),
            (0, Some(0x1000)),
            (0x7ef, Some(0x17ef)),
            (0x7f0, None),
        ],
    );
    check(
        "AM-08",
        &rust_pie,
        0x1_0000,
        &[(0x1_0000, Some(0x1_1000)), (0xffff, None)],
    );
    check(
        "AM-10",
        &[(u64::MAX - 5, 0x1000, 10)],
        4096,
        &[(u64::MAX - 5, None), (u64::MAX, None)],
    );
}

/// Segments that are not executable do not answer.
#[test]
fn data_is_not_mapped() {
    let data = Segment {
        executable: false,
        ..executable((0x1000, 0x1000, 0x1000))
    };
    assert_eq!(
        AddressMapper::new(&[data], 4096).elf_addr(FileOffset(0x1000)),
        None
    );
}
