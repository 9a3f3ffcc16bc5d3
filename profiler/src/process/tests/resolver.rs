//! The resolver over a made-up process file system.
//!
//! Long because each case states its whole process.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use crate::addr::ProcAddr;
use crate::binary::elf_builder::{Elf, make_fifo};
use crate::process::tests::support::{Fixture, PID, identity};
use crate::process::{
    Mapping, OpenError, ProcessError, Resolver, Snapshot, openable_path, parse_maps,
};

const MAPS: &str = "\
00400000-00420000 r-xp 00001000 fe:00 11 /target
00420000-00430000 r--p 00021000 fe:00 11 /target
01000000-01100000 rw-p 00000000 00:00 0 [heap]
7f0000001000-7f0000100000 r-xp 00002000 fe:00 22 /libc.so.6
7ffc00000000-7ffc00100000 rw-p 00000000 00:00 0 [stack]
";

fn fixture() -> (Fixture, Resolver) {
    let fixture = Fixture::new();
    fixture.maps(MAPS);
    let resolver = Resolver::with_proc_root(fixture.root());
    (fixture, resolver)
}

/// Never believes that a process is still the same, and never waits before trying again.
fn impatient(fixture: &Fixture) -> Resolver {
    Resolver::with_times(fixture.root().to_owned(), Duration::ZERO, Duration::ZERO)
}

fn elf(id: u8) -> Vec<u8> {
    let elf = Elf::new();
    let note = elf.note(b"GNU\0", 3, &[id; 20], 4);
    elf.load(5, 0x1000, 0x1000, 0x20000)
        .note_segment(&note, 4)
        .build()
}

fn hits(resolver: &Resolver, address: u64) -> bool {
    resolver.lookup(PID, ProcAddr(address)).is_some()
}

/// Everything that is shared between threads may be.
#[test]
fn types_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Resolver>();
    shared::<Snapshot>();
    shared::<Mapping>();
}

/// The executable mappings in order, with the names that `map_files` has for them (RS-01, MP-32).
#[test]
fn mappings_are_listed() {
    let (_fixture, resolver) = fixture();
    let mappings = resolver.mappings(PID).unwrap();
    let links: Vec<_> = mappings
        .iter()
        .map(|mapping| mapping.map_files_link().unwrap())
        .collect();
    let expected = [
        "map_files/400000-420000",
        "map_files/7f0000001000-7f0000100000",
    ];
    assert_eq!(links, expected.map(Path::new));
    assert_eq!(resolver.stats().populates, 1);
}

/// Ranges are half open, and nothing lies between them or at the ends of memory (RS-02).
#[test]
fn lookup_bounds() {
    let (_fixture, resolver) = fixture();
    assert!(hits(&resolver, 0x40_0000) && hits(&resolver, 0x41_ffff));
    for address in [0x42_0000, 0x3f_ffff, 0xdead_beef, u64::MAX, 0] {
        assert!(!hits(&resolver, address), "{address:#x}");
    }
}

/// A process that is not there is looked for once (RS-03), and is an empty list, not an error.
#[test]
fn missing_process() {
    let (_fixture, resolver) = fixture();
    assert!(resolver.lookup(1, ProcAddr(0)).is_none());
    assert!(resolver.lookup(1, ProcAddr(0)).is_none());
    assert!(resolver.mappings(1).unwrap().is_empty());
    let stats = resolver.stats();
    assert_eq!((stats.populates, stats.gone, stats.unreadable), (1, 1, 0));
}

/// What was read is kept until it is invalidated or the resolver closed, which it survives (RS-04).
#[test]
fn invalidation() {
    let (fixture, resolver) = fixture();
    assert_eq!(resolver.mappings(PID).unwrap().len(), 2);
    fixture.maps(format!(
        "{MAPS}7fff00000000-7fff00001000 r-xp 00000000 fe:00 33 /new\n"
    ));
    assert_eq!(resolver.mappings(PID).unwrap().len(), 2);
    assert_eq!(resolver.stats().populates, 1);
    resolver.invalidate(PID);
    assert_eq!(resolver.mappings(PID).unwrap().len(), 3);
    assert_eq!(resolver.stats().populates, 2);
    resolver.close();
    assert_eq!(resolver.mappings(PID).unwrap().len(), 3);
    assert_eq!(resolver.stats().populates, 3);
}

/// Of many threads that ask at once one reads, and all get the answer (RS-05).
#[test]
fn concurrent_lookups_read_once() {
    let (_fixture, resolver) = fixture();
    let barrier = Barrier::new(32);
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    hits(&resolver, 0x41_0000)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|hit| *hit)
            .count()
    });
    assert_eq!((found, resolver.stats().populates), (32, 1));
}

/// An address that is known invalidates nothing, one that is not has the maps read once more (RS-06).
#[test]
fn invalidation_by_address() {
    let (fixture, resolver) = fixture();
    assert!(hits(&resolver, 0x40_0000));
    resolver.invalidate_addr(PID, ProcAddr(0x40_0000));
    assert!(hits(&resolver, 0x40_0000));
    assert_eq!(resolver.stats().populates, 1);
    fixture.maps(format!(
        "{MAPS}7fff00000000-7fff00001000 r-xp 00000000 fe:00 33 /new\n"
    ));
    resolver.invalidate_addr(PID, ProcAddr(0x7fff_0000_0000));
    assert!(hits(&resolver, 0x7fff_0000_0000) && hits(&resolver, 0x40_0000));
    assert_eq!(resolver.stats().populates, 2);
    // Of a process that is not known there is nothing to invalidate.
    resolver.invalidate_addr(1, ProcAddr(0));
    assert_eq!(resolver.stats().populates, 2);
}

/// What was opened stays open when the maps are read again, so it outlives its file and its link.
#[test]
fn rereading_keeps_open_binaries() {
    let (fixture, resolver) = fixture();
    let target = fixture.root().join("somewhere");
    std::fs::write(&target, elf(3)).unwrap();
    fixture.link("400000-420000", &target);
    let first = resolver.lookup(PID, ProcAddr(0x40_0000)).unwrap();
    std::fs::remove_file(&target).unwrap();
    resolver.invalidate_addr(PID, ProcAddr(0));
    let second = resolver.lookup(PID, ProcAddr(0x40_0000)).unwrap();
    assert_eq!(resolver.stats().populates, 2);
    assert!(std::sync::Arc::ptr_eq(&first, &second) && second.binary().is_some());
}

/// Reading again for an unknown address happens at once, but not over and over.
#[test]
fn refreshing_is_bounded() {
    let (fixture, resolver) = fixture();
    assert!(hits(&resolver, 0x40_0000));
    fixture.maps(format!(
        "{MAPS}7fff00000000-7fff00001000 r-xp 00000000 fe:00 33 /new\n"
    ));
    let new = ProcAddr(0x7fff_0000_0000);
    while !resolver.refresh(PID).unwrap().contains(new) {
        std::thread::yield_now();
    }
    let began = std::time::Instant::now();
    let before = resolver.stats().populates;
    for _ in 0..1000 {
        resolver.refresh(PID);
    }
    // At least a millisecond lies between two readings, however slow this machine is.
    let most = began.elapsed().as_millis() as u64 + 1;
    assert!(resolver.stats().populates - before <= most);
}

/// A mapping event is believed over what was read, exactly where it says (RS-07).
#[test]
fn events_replace_what_is_known() {
    let (_fixture, resolver) = fixture();
    let replace = |line: &str| {
        for line in parse_maps(line.as_bytes()).lines {
            resolver.replace(PID, line);
        }
    };
    let at = |address: u64| {
        let mapping = resolver.lookup(PID, ProcAddr(address))?;
        let offset = mapping.file_offset(ProcAddr(address))?;
        Some((mapping.path.to_str()?.to_owned(), offset.0))
    };
    let expect = |path: &str, offset| Some((path.to_owned(), offset));
    replace("400000-420000 r-xp 00000000 fe:00 44 /ignored: the process is not known yet");
    assert_eq!(at(0x41_0000), expect("/target", 0x1_1000));
    replace("400000-420000 r-xp 00005000 fe:00 44 /other");
    assert_eq!(at(0x40_0000), expect("/other", 0x5000));
    // In the middle: what is left and right of it stays.
    replace("408000-410000 r-xp 00000000 fe:00 55 /third");
    assert_eq!(at(0x40_7fff), expect("/other", 0xcfff));
    assert_eq!(at(0x40_8000), expect("/third", 0));
    assert_eq!(at(0x41_0000), expect("/other", 0x1_5000));
    // Not executable: replaces without being kept.
    replace("408000-40a000 rw-p 00000000 00:00 0 ");
    assert_eq!(
        (at(0x40_8000), at(0x40_a000)),
        (None, expect("/third", 0x2000))
    );
    // Over everything.
    replace("0-ffffffffffffffff r-xp 00000000 fe:00 66 /all");
    assert_eq!(at(0x7f00_0000_1000), expect("/all", 0x7f00_0000_1000));
    assert_eq!(resolver.stats().populates, 1);
}

/// The file is opened through its link, once, and its build-id answers when it has gone (RS-08).
#[test]
fn binaries_are_opened_through_the_link() {
    let (fixture, resolver) = fixture();
    let target = fixture.root().join("somewhere");
    std::fs::write(&target, elf(0xab)).unwrap();
    fixture.link("400000-420000", &target);
    let id = || {
        let mapping = resolver.lookup(PID, ProcAddr(0x40_0000)).unwrap();
        mapping.build_id().map(ToString::to_string)
    };
    let expected = Some("ab".repeat(20));
    assert_eq!(id(), expected);
    std::fs::remove_dir_all(fixture.process()).unwrap();
    std::fs::remove_file(&target).unwrap();
    assert_eq!(id(), expected);
    assert_eq!(resolver.stats().opened, 1);
}

/// The link is preferred, the path is taken if its file is the mapped one, else there is none (RS-09).
#[test]
fn openable_paths() {
    let fixture = Fixture::new();
    let identity = fixture.file("app", &elf(1));
    fixture.maps(format!("1000-2000 r-xp 00001000 {identity} /app\n"));
    let path = || {
        let resolver = Resolver::with_proc_root(fixture.root());
        let mappings = resolver.mappings(PID).unwrap();
        let path = openable_path(fixture.root(), PID, &mappings[0]);
        // Reading the file by itself agrees.
        assert_eq!(path.is_some(), mappings[0].binary().is_some());
        path
    };
    assert_eq!(path(), Some(fixture.process().join("root/app")));
    fixture.link("1000-2000", &fixture.files().join("app"));
    let link = fixture.process().join("map_files/1000-2000");
    assert_eq!(path(), Some(link.clone()));
    std::fs::rename(fixture.files().join("app"), fixture.files().join("moved")).unwrap();
    std::fs::remove_file(&link).unwrap();
    fixture.link("1000-2000", &fixture.files().join("moved"));
    assert_eq!(path(), Some(link.clone()));
    std::fs::remove_file(link).unwrap();
    assert_eq!(path(), None);
    fixture.file("app", &elf(2));
    assert_eq!(path(), None);
}

/// Another file at the mapped one's path is not taken for it, and the reason is told (RS-10, RS-15).
#[test]
fn other_file_at_the_path() {
    let (fixture, resolver) = fixture();
    fixture.file("target", &elf(1));
    let mapping = resolver.lookup(PID, ProcAddr(0x40_0000)).unwrap();
    assert!(mapping.binary().is_none());
    assert!(matches!(
        *mapping.binary_error().unwrap(),
        OpenError::OtherFile
    ));
    let mapping = resolver.lookup(PID, ProcAddr(0x7f00_0000_1000)).unwrap();
    assert!(matches!(
        *mapping.binary_error().unwrap(),
        OpenError::Deleted
    ));
    let stats = resolver.stats();
    assert_eq!(
        (stats.opened, stats.not_opened, stats.map_files_denied),
        (0, 2, 0)
    );
    assert_eq!(resolver.take_warning(), None);
}

/// A FIFO where the file should be is refused without waiting for a writer.
#[test]
fn fifo_does_not_block() {
    let (fixture, resolver) = fixture();
    make_fifo(&fixture.process().join("map_files/400000-420000"));
    make_fifo(&fixture.files().join("libc.so.6"));
    for address in [0x40_0000, 0x7f00_0000_1000] {
        let mapping = resolver.lookup(PID, ProcAddr(address)).unwrap();
        assert!(matches!(
            *mapping.binary_error().unwrap(),
            OpenError::Binary(_)
        ));
    }
}

/// A process id that has gone to another process is read anew (RS-14, A11), with its own files.
#[test]
fn reused_pid() {
    let fixture = Fixture::new();
    fixture.maps(MAPS);
    let resolver = impatient(&fixture);
    let old = resolver.snapshot(PID).unwrap();
    fixture.maps("1000-2000 r-xp 00000000 fe:00 77 /other\n");
    assert!(
        hits(&resolver, 0x40_0000),
        "the same process is not read again"
    );
    fixture.stat(2000);
    let new = resolver.snapshot(PID).unwrap();
    assert_eq!(
        (old.start_time(), new.start_time()),
        (Some(1000), Some(2000))
    );
    assert!(hits(&resolver, 0x1000) && !hits(&resolver, 0x40_0000));
    assert_eq!(resolver.stats().populates, 2);
    // The old snapshot does not open the new process's files for the old mappings.
    let target = fixture.root().join("target");
    std::fs::write(&target, elf(1)).unwrap();
    fixture.link("7f0000001000-7f0000100000", &target);
    let mapping = old.lookup(ProcAddr(0x7f00_0000_1000)).unwrap();
    assert!(matches!(*mapping.binary_error().unwrap(), OpenError::Gone));
}

/// A process that has executed another program is read anew.
#[test]
fn exec_is_noticed() {
    let fixture = Fixture::new();
    fixture.maps(MAPS);
    let auxv = |bytes: &[u8]| std::fs::write(fixture.process().join("auxv"), bytes).unwrap();
    auxv(b"one");
    let resolver = impatient(&fixture);
    assert!(hits(&resolver, 0x40_0000));
    fixture.maps("1000-2000 r-xp 00000000 fe:00 77 /other\n");
    auxv(b"");
    assert!(
        hits(&resolver, 0x40_0000),
        "a process that ends still is what it was"
    );
    auxv(b"two");
    assert!(hits(&resolver, 0x1000) && !hits(&resolver, 0x40_0000));
}

/// What was known of a process stays known when it has gone, or has no memory any more (PI-11).
#[test]
fn gone_process_stays_known() {
    let fixture = Fixture::new();
    fixture.maps(MAPS);
    let resolver = impatient(&fixture);
    assert!(hits(&resolver, 0x40_0000));
    fixture.maps("");
    std::fs::create_dir_all(fixture.process().join("task/4242")).unwrap();
    std::fs::write(fixture.process().join("task/4242/maps"), "").unwrap();
    resolver.invalidate_addr(PID, ProcAddr(0));
    assert!(hits(&resolver, 0x40_0000));
    std::fs::remove_dir_all(fixture.process()).unwrap();
    assert!(hits(&resolver, 0x40_0000));
    resolver.invalidate_addr(PID, ProcAddr(0));
    assert!(hits(&resolver, 0x40_0000));
    resolver.invalidate(PID);
    assert!(!hits(&resolver, 0x40_0000));
}

/// Errors are reported and not remembered (A12).
#[test]
fn errors_are_not_remembered() {
    let fixture = Fixture::new();
    let maps = fixture.process().join("maps");
    std::fs::create_dir(&maps).unwrap();
    let resolver = Resolver::with_proc_root(fixture.root());
    let error = resolver.mappings(PID).unwrap_err();
    assert!(
        matches!(error, ProcessError::Io { pid: PID, .. }),
        "{error}"
    );
    assert!(!hits(&resolver, 0x40_0000));
    assert_eq!(resolver.stats().unreadable, 2);
    std::fs::remove_dir(&maps).unwrap();
    fixture.maps(MAPS);
    assert!(hits(&resolver, 0x40_0000));
}

/// A file that could not be opened for a passing reason is tried again; one that is no ELF file is not.
#[test]
fn passing_failures_are_tried_again() {
    let fixture = Fixture::new();
    let loop_link = fixture.process().join("map_files/1000-2000");
    fixture.maps("1000-2000 r-xp 00000000 fe:00 7 /app\n3000-4000 r-xp 00000000 fe:00 8 /text\n");
    fixture.link("1000-2000", &loop_link);
    std::os::unix::fs::symlink("app", fixture.files().join("app")).unwrap();
    let resolver = impatient(&fixture);
    let mapping = resolver.lookup(PID, ProcAddr(0x1000)).unwrap();
    assert!(mapping.binary_error().unwrap().is_transient());
    std::fs::remove_file(&loop_link).unwrap();
    let target = fixture.root().join("target");
    std::fs::write(&target, elf(5)).unwrap();
    fixture.link("1000-2000", &target);
    assert!(mapping.binary().is_some() && mapping.binary_error().is_none());

    std::fs::write(fixture.root().join("text"), "no ELF").unwrap();
    fixture.link("3000-4000", &fixture.root().join("text"));
    let mapping = resolver.lookup(PID, ProcAddr(0x3000)).unwrap();
    assert!(!mapping.binary_error().unwrap().is_transient() && mapping.is_settled());
}

/// When the first thread has ended, the mappings are another thread's, and so is the root (RS-12, A17).
#[test]
fn leaderless_process() {
    let fixture = Fixture::new();
    fixture.maps("");
    let thread = fixture.process().join("task/4250");
    std::fs::create_dir_all(&thread).unwrap();
    std::fs::create_dir_all(fixture.process().join("task/4242")).unwrap();
    std::fs::write(fixture.process().join("task/4242/maps"), "").unwrap();
    let identity = fixture.file("app", &elf(9));
    std::fs::write(
        thread.join("maps"),
        format!("1000-2000 r-xp 00001000 {identity} /app\n"),
    )
    .unwrap();
    std::fs::write(fixture.process().join("auxv"), "").unwrap();
    std::fs::remove_file(fixture.process().join("root")).unwrap();
    std::os::unix::fs::symlink(fixture.files(), thread.join("root")).unwrap();
    let resolver = Resolver::with_proc_root(fixture.root());
    let mapping = resolver.lookup(PID, ProcAddr(0x1000)).unwrap();
    assert_eq!(mapping.build_id().unwrap().to_string(), "09".repeat(20));
    let path = openable_path(fixture.root(), PID, &mapping).unwrap();
    assert_eq!(path, thread.join("root/app"));
}

/// The main binary is the file that is executed, wherever it lies in the list.
#[test]
fn main_binary() {
    let fixture = Fixture::new();
    let app = fixture.files().join("app");
    fixture.file("app", &elf(1));
    fixture.maps(format!(
        "1000-2000 r-xp 00000000 fe:00 1 /first\n3000-4000 r-xp 00001000 {} /app\n",
        identity(&app)
    ));
    std::os::unix::fs::symlink(&app, fixture.process().join("exe")).unwrap();
    let snapshot = Resolver::with_proc_root(fixture.root())
        .snapshot(PID)
        .unwrap();
    assert_eq!(snapshot.main().unwrap().path.to_str(), Some("/app"));
    let mains = snapshot.mappings().iter().filter(|mapping| mapping.is_main);
    assert_eq!(mains.count(), 1);
}
