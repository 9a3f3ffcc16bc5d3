//! What a pprof mapping is told of split and unusual mappings, over a made-up process file system.

use crate::addr::ProcAddr;
use crate::binary::elf_builder::{Elf, R, RX};
use crate::process::tests::support::{Fixture, PID};
use crate::process::{MappingKind, OpenError, Resolver};

fn snapshot(
    fixture: &Fixture,
    lines: &[&str],
    elf: &Elf,
) -> std::sync::Arc<crate::process::Snapshot> {
    let identity = fixture.file("app", &elf.build());
    let text: String = lines
        .iter()
        .map(|line| line.replace("APP", &identity) + "\n")
        .collect();
    fixture.maps(text);
    Resolver::with_proc_root(fixture.root())
        .snapshot(PID)
        .unwrap()
}

fn range(snapshot: &crate::process::Snapshot, address: u64) -> (u64, u64, u64) {
    let mapping = snapshot.lookup(ProcAddr(address)).unwrap();
    assert!(mapping.binary().is_some(), "{:?}", mapping.binary_error());
    let range = mapping.profile_range();
    assert!(range.start <= mapping.start && mapping.limit <= range.limit);
    (range.start.0, range.limit.0, range.offset.0)
}

/// All parts of a segment state the same range: the whole segment (rule 1 of the writer, PP-05).
#[test]
fn parts_of_a_segment_state_the_whole() {
    let elf = Elf::new()
        .load(R, 0, 0, 0x1000)
        .load(RX, 0x1000, 0x1000, 0x8000);
    let whole = (0x55_1000, 0x55_9000, 0x1000);
    let fixture = Fixture::new();
    let unsplit = snapshot(
        &fixture,
        &[
            "550000-551000 r--p 00000000 APP /app",
            "551000-559000 r-xp 00001000 APP /app",
        ],
        &elf,
    );
    assert_eq!(range(&unsplit, 0x55_2000), whole, "as the kernel's line");
    // The middle is not executable for now, so two mappings remain.
    let gap = snapshot(
        &fixture,
        &[
            "550000-551000 r--p 00000000 APP /app",
            "551000-553000 r-xp 00001000 APP /app",
            "553000-554000 rw-p 00003000 APP /app",
            "554000-559000 r-xp 00004000 APP /app",
        ],
        &elf,
    );
    assert_eq!(gap.mappings().len(), 2);
    assert_eq!(
        (range(&gap, 0x55_1000), range(&gap, 0x55_8000)),
        (whole, whole)
    );
    // Only the tail is executable.
    let tail = snapshot(
        &fixture,
        &[
            "550000-554000 rw-p 00000000 APP /app",
            "554000-559000 r-xp 00004000 APP /app",
        ],
        &elf,
    );
    assert_eq!(range(&tail, 0x55_4000), whole);
}

/// A segment aligned to more than a page begins where `go tool pprof` looks for it (PP-15, PP-16).
#[test]
fn large_alignment_moves_the_start_down() {
    let elf = Elf::new()
        .load_aligned(R, 0, 0, 0x2300, 0x1_0000)
        .load_aligned(RX, 0x2400, 0x1_2400, 0x500, 0x1_0000);
    let fixture = Fixture::new();
    let lines = [
        "7f0000000000-7f0000003000 r--p 00000000 APP /app",
        "7f0000012000-7f0000013000 r-xp 00002000 APP /app",
    ];
    let snapshot = snapshot(&fixture, &lines, &elf);
    assert_eq!(
        range(&snapshot, 0x7f00_0001_2400),
        (0x7f00_0001_0000, 0x7f00_0001_3000, 0)
    );
    let mapping = snapshot.lookup(ProcAddr(0x7f00_0001_2410)).unwrap();
    assert_eq!(
        mapping.elf_addr(ProcAddr(0x7f00_0001_2410)).unwrap().0,
        0x1_2410
    );
    assert_eq!(mapping.load_bias(), Some(0x7f00_0000_0000));
}

/// A mapping without a binary states itself, and has no address as a file would state it (MP-13, MP-16, MP-17).
#[test]
fn mappings_without_binary_state_themselves() {
    let fixture = Fixture::new();
    let lines = [
        "1000-2000 r-xp 00000000 00:00 0 ",
        "3000-4000 r-xp 00000000 00:00 0 [anon:my jit]",
        "5000-6000 r-xp 00000000 00:00 0 [uprobes]",
        "7000-8000 r-xs 00000000 00:01 9 [anon_shmem:x]",
        "9000-a000 rwxp 00000000 00:00 0 [stack:986]",
        "b000-c000 r-xp 00000000 00:00 0 [vvar_vclock]",
        "d000-e000 rwxp 00000000 00:00 0 [heap]",
        "f000-10000 r-xs 00000000 00:0e 7 anon_inode:[perf_event]",
        "11000-12000 r-xs 00000000 00:0e 7 anon_inode:bpf-map",
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]",
    ];
    let snapshot = snapshot(&fixture, &lines, &Elf::new());
    let kinds: Vec<_> = snapshot
        .mappings()
        .iter()
        .map(|mapping| mapping.kind)
        .collect();
    use MappingKind::{Anonymous, Special, Vsyscall};
    let expected = [
        Anonymous, Anonymous, Special, Anonymous, Special, Special, Special, Special, Special,
        Vsyscall,
    ];
    assert_eq!(kinds, expected);
    let addresses = [
        0x1800,
        0x3000,
        0x5fff,
        0x7000,
        0x9fff,
        0xb800,
        0xd000,
        0xf000,
        0x1_1fff,
        0xffff_ffff_ff60_0fff,
    ];
    for address in addresses {
        let mapping = snapshot.lookup(ProcAddr(address)).unwrap();
        assert!(mapping.binary().is_none() && mapping.map_files_link().is_none());
        let error = mapping.binary_error().unwrap();
        assert!(matches!(*error, OpenError::NoFile), "{error}");
        assert_eq!(mapping.elf_addr(ProcAddr(address)), None);
        let range = mapping.profile_range();
        assert_eq!(
            (range.start, range.limit, range.offset),
            (mapping.start, mapping.limit, mapping.offset)
        );
    }
    assert!(
        snapshot.lookup(ProcAddr(0xffff_ffff_ff60_1000)).is_none(),
        "MP-15"
    );
}

/// The vDSO is read from memory, once for all processes that have the same (MP-14).
#[test]
fn vdso_comes_from_memory() {
    let fixture = Fixture::new();
    let elf = Elf::new();
    let note = elf.note(b"GNU\0", 3, &[7; 20], 4);
    let image = elf.load(RX, 0, 0, 0x1100).note_segment(&note, 4).build();
    let mut memory = vec![0; 0x5000];
    memory.extend_from_slice(&image);
    memory.resize(0x7000, 0);
    std::fs::write(fixture.process().join("mem"), memory).unwrap();
    fixture.maps("5000-7000 r-xp 00000000 00:00 0 [vdso]\n");
    let resolver = Resolver::with_proc_root(fixture.root());
    let find = || {
        let mapping = resolver.lookup(PID, ProcAddr(0x5800)).unwrap();
        let elf_addr = mapping.elf_addr(ProcAddr(0x5800)).unwrap();
        (std::sync::Arc::clone(mapping.binary().unwrap()), elf_addr.0)
    };
    let (first, elf_addr) = find();
    assert_eq!(first.build_id().unwrap().to_string(), "07".repeat(20));
    assert_eq!((first.path().to_str(), elf_addr), (Some("[vdso]"), 0x800));
    resolver.invalidate(PID);
    assert!(std::sync::Arc::ptr_eq(&first, &find().0));
}

/// That of 64-bit programs is read once: the next process's is taken for the same if it is of the same size. A 32-bit
/// program's, which lies at a low address, is another.
#[test]
fn vdso_of_64_bit_programs_is_read_once() {
    use std::os::unix::fs::FileExt;
    const HIGH: u64 = 0x1_0000_5000;
    let fixture = Fixture::new();
    let image = Elf::new().load(RX, 0, 0, 0x1100).build();
    let memory = fixture.process().join("mem");
    let file = std::fs::File::create(&memory).unwrap();
    file.write_all_at(&image, HIGH).unwrap();
    file.set_len(HIGH + 0x2000).unwrap();
    let resolver = Resolver::with_proc_root(fixture.root());
    let find = |start: u64, limit: u64| {
        fixture.maps(format!(
            "{start:x}-{limit:x} r-xp 00000000 00:00 0 [vdso]\n"
        ));
        resolver.invalidate(PID);
        let mapping = resolver.lookup(PID, ProcAddr(start)).unwrap();
        mapping.binary().map(std::sync::Arc::clone)
    };
    let first = find(HIGH, HIGH + 0x2000).unwrap();
    std::fs::remove_file(&memory).unwrap();
    let elsewhere = find(HIGH + 0x7000, HIGH + 0x9000).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &elsewhere));
    assert!(find(HIGH, HIGH + 0x3000).is_none());
    assert!(find(0x5000, 0x7000).is_none());
}
