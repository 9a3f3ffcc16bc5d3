//! Anonymous memory in the place of a file's text, over a made-up process file system: whose it is, by what it says.

use crate::addr::ProcAddr;
use crate::binary::elf_builder::{Elf, R, RX};
use crate::process::tests::support::{Fixture, PID};
use crate::process::{MappingKind, MapsLine, Resolver, Snapshot, parse_maps};

/// Where the file is loaded: its first segment at the beginning, its text of four pages behind that.
const BIAS: usize = 0x10000;
const TEXT: std::ops::Range<usize> = 0x1000..0x5000;
const LATER: u64 = 1 << 62;

/// The file, with text that is nowhere like another part of it.
fn file() -> Vec<u8> {
    let elf = Elf::new()
        .load(R, 0, 0, 0x1000)
        .load(RX, TEXT.start as u64, TEXT.start as u64, TEXT.len() as u64)
        .load(R, 0x5000, 0x5000, 0x1000);
    let mut bytes = elf.build();
    bytes.resize(0x6000, 0);
    let mut state = 1_u32;
    for byte in &mut bytes[TEXT] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    bytes
}

/// A process with these lines, and with what the file says in its memory, but for the given changes.
fn process(lines: &str, change: impl Fn(&mut [u8])) -> (Fixture, Resolver, String) {
    let fixture = Fixture::new();
    let identity = fixture.file("app", &file());
    let mut memory = vec![0; BIAS];
    memory.extend_from_slice(&file());
    change(&mut memory[BIAS..]);
    std::fs::write(fixture.process().join("mem"), memory).unwrap();
    fixture.maps(lines.replace("APP", &identity));
    let resolver = Resolver::with_proc_root(fixture.root());
    (fixture, resolver, identity)
}

/// Start, limit, offset and kind of all that is executable.
fn shown(snapshot: &Snapshot) -> Vec<(u64, u64, u64, MappingKind)> {
    let mappings = snapshot.mappings().iter();
    let shown = |mapping: &crate::process::Mapping| {
        (
            mapping.start.0,
            mapping.limit.0,
            mapping.offset.0,
            mapping.kind,
        )
    };
    mappings.map(|mapping| shown(mapping)).collect()
}

const HEAD: &str = "10000-11000 r--p 00000000 APP /app\n\
                    11000-13000 r-xp 00000000 00:00 0 \n\
                    13000-15000 r-xp 00003000 APP /app\n\
                    15000-16000 r--p 00005000 APP /app\n";
const TAIL: &str = "10000-11000 r--p 00000000 APP /app\n\
                    11000-13000 r-xp 00001000 APP /app\n\
                    13000-14000 rwxp 00000000 00:00 0 \n\
                    14000-15000 r-xp 00000000 00:00 0 \n\
                    15000-16000 r--p 00005000 APP /app\n";
const WHOLE: &str = "10000-11000 r--p 00000000 APP /app\n\
                     11000-15000 r-xp 00000000 00:00 0 \n\
                     15000-16000 r--p 00005000 APP /app\n";
const ALL_OF_IT: (u64, u64, u64, MappingKind) = (0x11000, 0x15000, 0x1000, MappingKind::File);

/// A copy of the text is the file's, whichever part of it; it has the file's addresses and is stated as the file's segment.
#[test]
fn copies_are_the_files() {
    for lines in [HEAD, TAIL, WHOLE] {
        let (_fixture, resolver, _) = process(lines, |_| ());
        let snapshot = resolver.snapshot(PID).unwrap();
        assert_eq!(shown(&snapshot), [ALL_OF_IT], "{lines}");
        let mapping = snapshot.lookup(ProcAddr(0x14800)).unwrap();
        assert_eq!(mapping.path.to_str(), Some("/app"));
        assert_eq!(mapping.elf_addr(ProcAddr(0x14800)).unwrap().0, 0x4800);
        let range = mapping.profile_range();
        assert_eq!((range.start.0, range.limit.0), (0x11000, 0x15000));
    }
}

/// Some bytes may differ: breakpoints, calls that were patched.
#[test]
fn patched_copies_are_the_files() {
    let (_fixture, resolver, _) = process(WHOLE, |image| {
        image[TEXT]
            .iter_mut()
            .step_by(100)
            .for_each(|byte| *byte = 0xcc);
    });
    assert_eq!(shown(&resolver.snapshot(PID).unwrap()), [ALL_OF_IT]);
}

/// Other code in the place of the text, little or much of it, is nobody's, though the lines look the same.
#[test]
fn other_code_is_nobodys() {
    let changes: [fn(&mut [u8]); 2] = [
        |image| {
            image[TEXT].fill(0);
            image[TEXT.start..][..11].fill(0x55);
        },
        |image| image[TEXT].fill(0x55),
    ];
    let middle = "10000-11000 r--p 00000000 APP /app\n\
                  11000-12000 r-xp 00001000 APP /app\n\
                  12000-14000 r-xp 00000000 00:00 0 \n\
                  14000-15000 r-xp 00004000 APP /app\n";
    for change in changes {
        for lines in [HEAD, TAIL, WHOLE, middle] {
            let (_fixture, resolver, _) = process(lines, change);
            let shown = shown(&resolver.snapshot(PID).unwrap());
            let anonymous = shown
                .iter()
                .filter(|mapping| mapping.3 == MappingKind::Anonymous);
            assert_eq!(
                anonymous.count(),
                lines.matches("00:00 0").count(),
                "{shown:x?}"
            );
        }
    }
}

/// Memory beside the text that is none of it stays apart, whatever it says; and one range can be both.
#[test]
fn what_is_beyond_the_text() {
    let lines = "11000-15000 r-xp 00001000 APP /app\n15000-16000 r-xp 00000000 00:00 0 \n";
    let (_fixture, resolver, _) = process(lines, |_| ());
    let beyond = (0x15000, 0x16000, 0, MappingKind::Anonymous);
    assert_eq!(shown(&resolver.snapshot(PID).unwrap()), [ALL_OF_IT, beyond]);
    let lines = "10000-11000 r--p 00000000 APP /app\n11000-16000 r-xp 00000000 00:00 0 \n";
    let (_fixture, resolver, _) = process(lines, |_| ());
    assert_eq!(shown(&resolver.snapshot(PID).unwrap()), [ALL_OF_IT, beyond]);
}

/// Of a process whose memory is not there to be read, the lines decide: a part in the middle is the file's (MP-23), all of it
/// may be anything.
#[test]
fn without_memory() {
    for lines in [HEAD, TAIL, WHOLE] {
        let (fixture, resolver, _) = process(lines, |_| ());
        std::fs::remove_file(fixture.process().join("mem")).unwrap();
        let shown = shown(&resolver.snapshot(PID).unwrap());
        assert_ne!(shown, [ALL_OF_IT]);
    }
    let middle = "11000-12000 r-xp 00001000 APP /app\n\
                  12000-14000 r-xp 00000000 00:00 0 \n\
                  14000-15000 r-xp 00004000 APP /app\n";
    let (fixture, resolver, _) = process(middle, |_| ());
    std::fs::remove_file(fixture.process().join("mem")).unwrap();
    assert_eq!(shown(&resolver.snapshot(PID).unwrap()), [ALL_OF_IT]);
}

/// When it is told that something was mapped over the text, what is there now is looked at: a copy goes on as the file, other
/// code does not.
#[test]
fn told_of_memory_over_the_text() {
    let text = "11000-15000 r-xp 00001000 APP /app\n";
    let line = |text: &str| -> MapsLine { parse_maps(text.as_bytes()).lines.remove(0) };
    let over = line("11000-15000 r-xp 00000000 00:00 0 //anon");
    for is_copy in [true, false] {
        let (_fixture, resolver, _) = process(text, |image| {
            if !is_copy {
                image[TEXT].fill(0x55);
            }
        });
        resolver.follow_events();
        let before = resolver.snapshot(PID).unwrap();
        assert!(before.lookup(ProcAddr(0x11000)).is_some());
        resolver.mapped(PID, LATER, over.clone());
        let kind = |time| {
            let snapshot = resolver.snapshot_at(PID, time).unwrap();
            shown(&snapshot)[0].3
        };
        let expected = if is_copy {
            MappingKind::File
        } else {
            MappingKind::Anonymous
        };
        assert_eq!(
            (kind(LATER - 1), kind(LATER)),
            (MappingKind::File, expected)
        );
    }
}
