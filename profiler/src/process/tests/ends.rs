//! Processes that end while they are looked at, at each step of it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::addr::ProcAddr;
use crate::process::tests::support::{Fixture, PID};
use crate::process::{OpenError, ProcFs, Resolver};

const ADDRESS: ProcAddr = ProcAddr(0x40_0000);

/// A process that runs a file, with all that is read of one.
fn process() -> Fixture {
    let fixture = Fixture::new();
    let content = std::fs::read("/bin/true").unwrap();
    let identity = fixture.file("true", &content);
    fixture.maps(format!(
        "00400000-00404000 r-xp 00000000 {identity} /true\n"
    ));
    fixture.link("400000-404000", &fixture.files().join("true"));
    let process = fixture.process();
    symlink(fixture.files().join("true"), process.join("exe")).unwrap();
    for (name, text) in [
        ("auxv", &[0; 32][..]),
        ("mem", b""),
        ("comm", b"true\n"),
        ("cgroup", b"0::/\n"),
        ("status", b"Name:\ttrue\nState:\tR\nThreads:\t1\n"),
    ] {
        std::fs::write(process.join(name), text).unwrap();
    }
    std::fs::create_dir(process.join("task")).unwrap();
    fixture
}

/// Whether the process is known, and whether its binary is.
fn found(resolver: &Resolver) -> (bool, bool) {
    let mapping = resolver.lookup(PID, ADDRESS);
    let binary = mapping.as_ref().and_then(|mapping| mapping.binary());
    (mapping.is_some(), binary.is_some())
}

/// Whatever is missing of a process costs what depends on it, and nothing else; each miss is counted.
#[test]
fn each_file_missing() {
    let cases = [
        ("", true, true),
        ("auxv", true, true),
        ("exe", true, true),
        ("mem", true, true),
        ("task", true, true),
        ("status", true, true),
        ("map_files", true, true),
        ("root", true, true),
        ("maps", false, false),
    ];
    for (missing, is_known, has_binary) in cases {
        let fixture = process();
        let path = fixture.process().join(missing);
        let removed = match path.is_dir() && !path.is_symlink() {
            true if missing.is_empty() => Ok(()),
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
        removed.unwrap();
        let resolver = Resolver::with_proc_root(fixture.root());
        assert_eq!(found(&resolver), (is_known, has_binary), "{missing:?}");
        assert!(resolver.mappings(PID).is_ok(), "{missing:?}");
        let stats = resolver.stats();
        assert_eq!(stats.unreadable, 0, "{missing:?}");
        assert_eq!(stats.gone, u64::from(!is_known), "{missing:?}: {stats:?}");
    }
}

/// It ends between the reading of its mappings and the opening of its file: the reason says so, and what was known stays.
#[test]
fn before_its_file_is_opened() {
    let fixture = process();
    let resolver = Resolver::with_proc_root(fixture.root());
    let snapshot = resolver.snapshot(PID).unwrap();
    std::fs::remove_dir_all(fixture.process()).unwrap();
    let mapping = snapshot.lookup(ADDRESS).unwrap();
    assert!(mapping.binary().is_none());
    let error = mapping.binary_error().unwrap();
    assert!(matches!(*error, OpenError::Gone), "{error}");
    assert_eq!(
        (resolver.stats().opened, resolver.stats().not_opened > 0),
        (0, true)
    );
    assert!(resolver.snapshot(PID).is_some());
    resolver.invalidate(PID);
    assert!(resolver.snapshot(PID).is_none());
}

/// Its maps are empty, as those of a process that is ending are: nothing is known, and nothing known is forgotten.
#[test]
fn empty_maps() {
    let fixture = process();
    let resolver = Resolver::with_proc_root(fixture.root());
    assert_eq!(found(&resolver), (true, true));
    fixture.maps("");
    std::fs::write(fixture.process().join("auxv"), "").unwrap();
    resolver.refresh(PID);
    assert_eq!(found(&resolver), (true, true));
    let fresh = Resolver::with_proc_root(fixture.root());
    assert_eq!(found(&fresh), (false, false));
    assert_eq!(fresh.stats().unreadable, 0);
}

/// Processes that end at any moment of being looked at: an error is never one of reading, and a binary that is not there has one
/// of the reasons that an end can have.
#[test]
fn at_any_moment() {
    let procfs = ProcFs::new();
    let (mut alive, mut gone) = (0, 0);
    let began = Instant::now();
    let mut round = 0;
    while (alive == 0 || gone == 0 || round < 200) && began.elapsed() < Duration::from_secs(60) {
        round += 1;
        let mut child = Command::new("/bin/true")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        // A reaper that is as fast as the kernel lets it be.
        let reaper = std::thread::spawn(move || child.wait());
        let resolver = Resolver::new();
        let mappings = resolver.mappings(pid).expect("an end is no error");
        for mapping in &mappings {
            if mapping.kind.has_image() && mapping.binary().is_none() {
                let error = mapping.binary_error().unwrap();
                let is_end = matches!(*error, OpenError::Gone | OpenError::Deleted);
                assert!(is_end, "{}: {error}", mapping.path.display());
            }
        }
        procfs.has_ended(pid);
        procfs.cgroups(pid);
        procfs.name(pid);
        assert_eq!(resolver.stats().unreadable, 0);
        match mappings.is_empty() {
            true => gone += 1,
            false => alive += 1,
        }
        reaper.join().unwrap().unwrap();
        assert!(procfs.has_ended(pid) || Path::new("/proc").join(pid.to_string()).exists());
    }
    assert!(alive > 0 && gone > 0, "{alive} alive, {gone} gone");
}
