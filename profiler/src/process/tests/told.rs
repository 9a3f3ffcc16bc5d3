//! The resolver while it is told what happens: what was mapped at a time.

use crate::addr::ProcAddr;
use crate::process::tests::support::{Fixture, PID};
use crate::process::{MapsLine, Resolver, parse_maps};

/// Before anything is told; what is read now is of a later time.
const LONG_AGO: u64 = 1;
/// Later than whatever is read.
const LATER: u64 = 1 << 62;
const CHILD: u32 = PID + 1;

fn told(maps: &str) -> (Fixture, Resolver) {
    let fixture = Fixture::new();
    fixture.maps(maps);
    let resolver = Resolver::with_proc_root(fixture.root());
    resolver.follow_events();
    (fixture, resolver)
}

fn line(text: &str) -> MapsLine {
    parse_maps(text.as_bytes()).lines.remove(0)
}

/// The name of what a process had at an address at a time.
fn name(resolver: &Resolver, pid: u32, time_ns: u64, address: u64) -> Option<String> {
    let snapshot = resolver.snapshot_at(pid, time_ns)?;
    let mapping = snapshot.lookup(ProcAddr(address))?;
    Some(mapping.path.to_str().unwrap().to_owned())
}

const OLD: &str = "00400000-00420000 r-xp 00000000 fe:00 11 /old\n";

/// A library at the place of another, and a third after that: each at its time (RS-07).
#[test]
fn libraries_at_the_same_address() {
    let (_fixture, resolver) = told(OLD);
    let at = |time, address| name(&resolver, PID, time, address);
    assert_eq!(at(LONG_AGO, 0x40_0000).as_deref(), Some("/old"));
    resolver.mapped(
        PID,
        LATER,
        line("400000-410000 r-xp 00000000 fe:00 22 /new"),
    );
    resolver.mapped(
        PID,
        LATER + 20,
        line("400000-408000 r-xp 00000000 fe:00 33 /third"),
    );
    let cases = [
        (LATER - 1, 0x40_0000, "/old"),
        (LATER, 0x40_0000, "/new"),
        (LATER + 19, 0x40_0000, "/new"),
        (LATER + 20, 0x40_0000, "/third"),
        (LATER + 20, 0x40_8000, "/new"),
        (LATER + 20, 0x41_0000, "/old"),
        (LATER - 1, 0x40_8000, "/old"),
    ];
    for (time, address, expected) in cases {
        assert_eq!(
            at(time, address).as_deref(),
            Some(expected),
            "{time} {address:#x}"
        );
    }
    assert_eq!(resolver.stats().populates, 1);
    resolver.forget_before(LATER + 20);
    assert_eq!(at(LATER + 20, 0x40_0000).as_deref(), Some("/third"));
}

/// What was mapped before the maps file was read is not put over what was read.
#[test]
fn news_that_is_old() {
    let (_fixture, resolver) = told(OLD);
    assert!(resolver.snapshot(PID).is_some());
    resolver.mapped(
        PID,
        LONG_AGO,
        line("400000-410000 r-xp 00000000 fe:00 22 /before"),
    );
    assert_eq!(
        name(&resolver, PID, LATER, 0x40_0000).as_deref(),
        Some("/old")
    );
}

/// One program without PIE after another in the same process (PI-10); the first file that is mapped is the main binary,
/// and nothing is read.
#[test]
fn programs_at_the_same_address() {
    let (_fixture, resolver) = told(OLD);
    assert!(resolver.snapshot(PID).is_some());
    resolver.executed(PID, LATER);
    resolver.mapped(
        PID,
        LATER + 1,
        line("400000-401000 r-xp 00000000 fe:00 22 /new"),
    );
    resolver.mapped(
        PID,
        LATER + 2,
        line("7f0000000000-7f0000001000 r-xp 00000000 fe:00 33 /ld.so"),
    );
    let at = |time| name(&resolver, PID, time, 0x40_0000);
    assert_eq!(at(LATER - 1).as_deref(), Some("/old"));
    assert_eq!(at(LATER), None);
    assert_eq!(at(LATER + 2).as_deref(), Some("/new"));
    let snapshot = resolver.snapshot_at(PID, LATER + 2).unwrap();
    assert_eq!(snapshot.main().unwrap().path.to_str(), Some("/new"));
    assert_eq!(resolver.stats().populates, 1);
}

/// A program that was read when it ran already is not what ran before its exec.
#[test]
fn exec_heard_of_late() {
    let (_fixture, resolver) = told(OLD);
    assert!(resolver.snapshot(PID).is_some());
    resolver.executed(PID, LONG_AGO + 1);
    resolver.mapped(
        PID,
        LONG_AGO + 2,
        line("400000-401000 r-xp 00000000 fe:00 22 /new"),
    );
    assert_eq!(name(&resolver, PID, LONG_AGO, 0x40_0000), None);
    assert_eq!(
        name(&resolver, PID, LATER, 0x40_0000).as_deref(),
        Some("/new")
    );
}

/// A child has its parent's memory until it runs a program, though `/proc` knows nothing of it; so has a child of a parent
/// that was never asked about.
#[test]
fn children() {
    let (_fixture, resolver) = told(OLD);
    resolver.forked(PID, CHILD, LATER);
    assert_eq!(
        name(&resolver, CHILD, LATER, 0x40_0000).as_deref(),
        Some("/old")
    );
    resolver.forked(PID, CHILD + 1, LATER);
    resolver.executed(CHILD + 1, LATER + 1);
    resolver.mapped(
        CHILD + 1,
        LATER + 2,
        line("400000-401000 r-xp 00000000 fe:00 22 /new"),
    );
    assert_eq!(
        name(&resolver, CHILD + 1, LATER, 0x40_0000).as_deref(),
        Some("/old")
    );
    assert_eq!(
        name(&resolver, CHILD + 1, LATER + 2, 0x40_0000).as_deref(),
        Some("/new")
    );
    assert_eq!(
        name(&resolver, PID, LATER + 2, 0x40_0000).as_deref(),
        Some("/old")
    );
}

/// A process id that is used again begins anew.
#[test]
fn reused_pid() {
    let (_fixture, resolver) = told(OLD);
    assert!(resolver.snapshot(PID).is_some());
    resolver.forked(PID, CHILD, LATER);
    resolver.executed(CHILD, LATER + 1);
    resolver.mapped(
        CHILD,
        LATER + 2,
        line("400000-401000 r-xp 00000000 fe:00 22 /first"),
    );
    resolver.forked(PID, CHILD, LATER + 3);
    assert_eq!(
        name(&resolver, CHILD, LATER + 4, 0x40_0000).as_deref(),
        Some("/old")
    );
}

/// After a loss everything is read again, once; what is known of a process that has ended stays.
#[test]
fn lost_events() {
    let (fixture, resolver) = told(OLD);
    assert!(resolver.snapshot(PID).is_some());
    resolver.forked(PID, CHILD, LATER);
    fixture.maps("00400000-00420000 r-xp 00000000 fe:00 22 /new\n");
    resolver.missed_events();
    assert_eq!(
        name(&resolver, PID, LATER, 0x40_0000).as_deref(),
        Some("/new")
    );
    assert_eq!(
        name(&resolver, PID, LATER, 0x40_0000).as_deref(),
        Some("/new")
    );
    assert_eq!(
        name(&resolver, CHILD, LATER, 0x40_0000).as_deref(),
        Some("/old")
    );
    let stats = resolver.stats();
    assert_eq!((stats.populates, stats.resynchronized), (3, 1));
}

/// Many mappings in a row are one change: a JIT compiler that maps all the time costs no more than what is looked up.
#[test]
fn many_mappings_are_one_change() {
    let (_fixture, resolver) = told(OLD);
    let before = resolver.snapshot(PID).unwrap();
    for number in 0..10_000 {
        let start = 0x7f00_0000_0000u64 + number * 0x2000;
        let text = format!("{start:x}-{:x} r-xp 00000000 00:00 0 ", start + 0x1000);
        resolver.mapped(PID, LATER + number, line(&text));
    }
    let old = |start: ProcAddr, limit: ProcAddr| start.0 < 0x42_0000 && 0x40_0000 < limit.0;
    let early = resolver.snapshot_for(PID, LATER - 1, old).unwrap();
    assert!(std::sync::Arc::ptr_eq(&early, &before));
    let all = resolver.snapshot_at(PID, LATER + 10_000).unwrap();
    assert_eq!(all.mappings().len(), 10_001);
}

/// A clock that does not advance: what is told later is later, whatever the time says, and a sample of that time sees the last.
#[test]
fn clock_that_stands_still() {
    let (_fixture, resolver) = told("");
    resolver.forked(PID, CHILD, LATER);
    for _ in 0..3 {
        resolver.executed(CHILD, LATER);
        for inode in ["22 /first", "33 /second"] {
            let text = format!("400000-410000 r-xp 00000000 fe:00 {inode}");
            resolver.mapped(CHILD, LATER, line(&text));
        }
    }
    resolver.mapped(
        CHILD,
        LATER,
        line("500000-510000 r-xp 00000000 fe:00 44 /third"),
    );
    let at = |time, address| name(&resolver, CHILD, time, address);
    resolver.forget_before(LATER);
    for time in [LATER, LATER + 1] {
        assert_eq!(at(time, 0x50_0000).as_deref(), Some("/third"), "{time}");
    }
}

/// A clock that goes back: nothing is lost of what is mapped by now, and nobody waits for a time that does not come.
#[test]
fn clock_that_goes_back() {
    let (_fixture, resolver) = told("");
    resolver.executed(PID, LATER);
    for step in 0..5 {
        let start = 0x40_0000 + step * 0x1_0000;
        let text = format!(
            "{start:x}-{:x} r-xp 00000000 fe:00 {} /{step}",
            start + 0x1_0000,
            step + 5
        );
        resolver.mapped(PID, LATER + 100 - step * 10, line(&text));
    }
    for step in 0..5 {
        let found = name(&resolver, PID, LATER + 200, 0x40_0000 + step * 0x1_0000);
        assert_eq!(found, Some(format!("/{step}")));
    }
    resolver.executed(PID, LATER - 50);
    resolver.forget_before(LATER - 100);
    resolver.forget_before(LATER + 1000);
    resolver.forget_before(LATER);
}

/// A page that is mapped and given back all the time is one piece of news, unless something else was there meanwhile.
#[test]
fn the_same_page_again_and_again() {
    let (_fixture, resolver) = told(OLD);
    let before = resolver.snapshot(PID).unwrap();
    let page = line("500000-501000 r-xp 00000000 00:00 0 ");
    for number in 0..10_000 {
        resolver.mapped(PID, LATER + number, page.clone());
    }
    let now = LATER + 20_000;
    let unneeded = resolver.snapshot_for(PID, now, |_, _| false).unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &unneeded));
    let library = line("4ff000-501000 r-xp 00000000 fe:00 22 /library");
    resolver.mapped(PID, now, library);
    resolver.mapped(PID, now + 1, page);
    let at = |time, address| name(&resolver, PID, time, address);
    assert_eq!(at(now, 0x50_0000).as_deref(), Some("/library"));
    assert_eq!(at(now + 1, 0x50_0000).as_deref(), Some(""));
    assert_eq!(at(now + 1, 0x4f_f000).as_deref(), Some("/library"));
}
