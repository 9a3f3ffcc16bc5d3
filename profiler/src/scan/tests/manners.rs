//! Which files and processes are looked into, how often, and what becomes of what goes wrong.

use std::cell::RefCell;
use std::path::Path;

use super::world::World;
use crate::addr::ProcAddr;
use crate::binary::SymbolPattern;
use crate::binary::elf_builder::{Elf, RX, Sym};
use crate::scan::{Hit, PathPattern, Problem, Query};

/// A file of one page with one object.
fn library(name: &str, value: u64) -> Vec<u8> {
    with_symbol(Sym::object(name, value))
}

fn with_symbol(symbol: Sym<'_>) -> Vec<u8> {
    Elf::new()
        .load(RX, 0, 0, 0x1000)
        .symbols(true, &[symbol])
        .build()
}

fn one_page(path: &str) -> String {
    format!("7f0000000000-7f0000001000 r-xp 00000000 {{}} {path}\n")
}

fn found(hits: &[Hit]) -> Vec<(u32, u64)> {
    let address = |hit: &Hit| hit.address.map_or(0, |ProcAddr(address)| address);
    hits.iter().map(|hit| (hit.pid, address(hit))).collect()
}

/// A symbol that the program only uses is that of the library (SC-06).
#[test]
fn undefined_in_the_program() {
    let world = World::new();
    let used = Sym {
        section: 0,
        ..Sym::object("name", 0)
    };
    let program = world.file("root", "/bin/prog", &with_symbol(used));
    let text = one_page("/lib/lib.so");
    let file = world.file("root", "/lib/lib.so", &library("name", 0x100));
    world.process(7, "root", &text, &file);
    let identity = crate::process::tests::support::identity(&program);
    let maps = world.proc_root().join("7/maps");
    let text = std::fs::read_to_string(&maps).unwrap();
    let line = format!("400000-401000 r-xp 00000000 {identity} /bin/prog\n");
    std::fs::write(&maps, line + &text).unwrap();
    let hits = world.hits("name");
    assert_eq!(found(&hits), [(7, 0x7f00_0000_0100)]);
    assert_eq!(*hits[0].path, *Path::new("/lib/lib.so"));
    assert_eq!(hits[0].start_time, Some(1007));
}

/// A path with a blank, and the same file unlinked (SC-08).
#[test]
fn blanks_and_unlinked_files() {
    let path = "/opt/py env/lib/libpython3.11.so.1.0";
    let world = World::new();
    let file = world.file("root", path, &library("_PyRuntime", 0x10));
    world.process(1, "root", &one_page(path), &file);
    let kept = world.file("elsewhere", "kept", b"");
    std::fs::remove_file(&kept).unwrap();
    world.process(2, "root", &one_page(&format!("{path} (deleted)")), &file);
    // The link leads to the file, whose name is gone.
    std::fs::hard_link(&file, &kept).unwrap();
    let link = world
        .proc_root()
        .join("2/map_files/7f0000000000-7f0000001000");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&kept, &link).unwrap();
    let hits = world.hits("_PyRuntime");
    assert_eq!(found(&hits), [(1, 0x7f00_0000_0010), (2, 0x7f00_0000_0010)]);
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_dir_all(world.proc_root().join("1")).unwrap();
    let hits = world.hits("_PyRuntime");
    assert_eq!(found(&hits), [(2, 0x7f00_0000_0010)]);
    assert!(hits.iter().all(|hit| *hit.path == *Path::new(path)));
}

/// Two containers with different files at the same path have each their own address (SC-09).
#[test]
fn same_path_in_two_containers() {
    let world = World::new();
    for (pid, value) in [(1, 0x100), (2, 0x200)] {
        let root = format!("container{pid}");
        let file = world.file(&root, "/lib/lib.so", &library("name", value));
        world.process(pid, &root, &one_page("/lib/lib.so"), &file);
        // As without the right to follow the links: by the path, below the root of the process.
        std::fs::remove_dir_all(world.proc_root().join(format!("{pid}/map_files"))).unwrap();
    }
    let expected = [(1, 0x7f00_0000_0100), (2, 0x7f00_0000_0200)];
    assert_eq!(found(&world.hits("name")), expected);
}

/// Variables of threads and mere numbers are told of, but have no address (SC-10).
#[test]
fn symbols_without_address() {
    for (kind, section, word) in [(6, 5, "tls"), (1, 0xfff1, "absolute")] {
        let symbol = Sym {
            kind,
            section,
            ..Sym::object("name", 0x20)
        };
        let world = World::new();
        let file = world.file("root", "/lib/lib.so", &with_symbol(symbol));
        world.process(1, "root", &one_page("/lib/lib.so"), &file);
        let hits = world.hits("name");
        assert_eq!((hits.len(), hits[0].address), (1, None));
        assert_eq!(hits[0].symbol.kind.as_str(), word);
    }
}

/// The file that 200 processes have is read once, and so is one that does not have the symbol (SC-14).
#[test]
fn each_binary_is_read_once() {
    for (name, expected) in [("name", 200), ("other", 0)] {
        let world = World::new();
        let file = world.file("root", "/lib/lib.so", &library("name", 0x100));
        for pid in 1..=200 {
            world.process(pid, "root", &one_page("/lib/lib.so"), &file);
        }
        let mut scan = world.scan(Query::new(SymbolPattern::exact(name).unwrap()));
        assert_eq!(scan.hits().unwrap().count(), expected);
        let stats = scan.stats();
        assert_eq!((stats.processes, stats.binaries), (200, 1), "{name}");
    }
}

/// Files are chosen by name, or by path if there is a slash in the pattern.
#[test]
fn patterns_of_paths() {
    let cases = [
        ("libpython*", "/usr/lib/libpython3.11.so.1.0", true),
        (
            "libpython3.*.so*",
            "/opt/py env/lib/libpython3.11.so.1.0",
            true,
        ),
        ("python", "/usr/lib/libpython3.11.so", false),
        ("/usr/*/libc.so.6", "/usr/lib/libc.so.6", true),
        ("/usr/*/libc.so.6", "/usr/lib/x/libc.so.6", false),
        ("/usr/**/libc.so.[67]", "/usr/lib/x/libc.so.6", true),
        ("{a,b}.so", "/b.so", true),
        ("[[]vdso]", "[vdso]", true),
    ];
    for (pattern, path, expected) in cases {
        let compiled = PathPattern::new(pattern).unwrap();
        assert_eq!(
            compiled.is_match(Path::new(path)),
            expected,
            "{pattern} {path}"
        );
    }
    assert!(PathPattern::new("[").is_err());
}

/// Only the files and processes that are asked for are looked into.
#[test]
fn narrowed_scans() {
    let world = World::new();
    let file = world.file("root", "/lib/lib.so", &library("name", 0x100));
    for pid in 1..=3 {
        world.process(pid, "root", &one_page("/lib/lib.so"), &file);
    }
    let mut query = Query::new(SymbolPattern::exact("name").unwrap());
    query.pids = vec![2, 99];
    let mut scan = world.scan(query.clone());
    let hits: Vec<Hit> = scan.hits().unwrap().collect();
    assert_eq!(found(&hits), [(2, 0x7f00_0000_0100)]);
    // A process that was named and is not there is worth a word.
    let problems = scan.take_problems();
    assert!(
        matches!(problems[&99][..], [Problem::NoProcess(99)]),
        "{problems:?}"
    );
    query.path = Some(PathPattern::new("other*").unwrap());
    let mut scan = world.scan(query);
    assert_eq!(scan.hits().unwrap().count(), 0);
    assert_eq!(scan.stats().binaries, 0);
}

/// Each observer is called once per hit; one that fails keeps nothing from the others, and the failure is told (SC-12).
#[test]
fn observers() {
    let world = World::new();
    let file = world.file("root", "/lib/lib.so", &library("name", 0x100));
    for pid in 1..=3 {
        world.process(pid, "root", &one_page("/lib/lib.so"), &file);
    }
    let calls = RefCell::new(Vec::new());
    let call = |observer, hit: &Hit| calls.borrow_mut().push((observer, hit.pid));
    let mut scan = world.scan(Query::new(SymbolPattern::exact("name").unwrap()));
    let outcome = scan.run(&mut [
        &mut |hit| {
            call(0, hit);
            Ok(())
        },
        &mut |hit| {
            call(1, hit);
            match hit.pid {
                2 => Err("no room".into()),
                _ => Ok(()),
            }
        },
        &mut |hit| {
            call(2, hit);
            Ok(())
        },
    ]);
    let outcome = outcome.unwrap();
    let expected: Vec<_> = (1..=3)
        .flat_map(|pid| (0..3).map(move |who| (who, pid)))
        .collect();
    assert_eq!(calls.into_inner(), expected);
    assert_eq!(outcome.hits, 3);
    let failures: Vec<_> = outcome.failures.iter().map(ToString::to_string).collect();
    assert_eq!(failures, ["observer 1 failed at a hit in pid 2: no room"]);
}

/// Processes that end meanwhile and kernel threads are no problem; a damaged file is one, told of once (SC-13).
#[test]
fn problems_and_what_is_none() {
    let world = World::new();
    let mut bytes = library("name", 0x100);
    // The string table is elsewhere: the last field but six of the second last section header.
    let at = bytes.len() - 2 * 64 + 24;
    bytes[at..at + 8].fill(0x7f);
    let file = world.file("root", "/lib/damaged.so", &bytes);
    world.process(1, "root", &one_page("/lib/damaged.so"), &file);
    world.process(2, "root", &one_page("/lib/damaged.so"), &file);
    world.process(3, "root", "", &file);
    world.process(4, "root", "", &file);
    std::fs::remove_file(world.proc_root().join("4/maps")).unwrap();
    let text = world.file("root", "/usr/share/text", b"no binary");
    world.process(5, "root", &one_page("/usr/share/text"), &text);
    let mut scan = world.scan(Query::new(SymbolPattern::exact("name").unwrap()));
    assert_eq!(scan.hits().unwrap().count(), 0);
    let problems = scan.problems();
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&1], "{problems:?}");
    assert!(
        matches!(problems[&1][..], [Problem::Symbols { .. }]),
        "{problems:?}"
    );
    assert_eq!((scan.stats().processes, scan.stats().gone), (4, 1));
}

/// A file that is mapped to be read, in part, is not loaded there.
#[test]
fn files_that_are_read_are_not_loaded() {
    let world = World::new();
    let elf = Elf::new()
        .load(RX, 0, 0, 0x2000)
        .load(6, 0x2000, 0x3000, 0x1000)
        .symbols(true, &[Sym::object("name", 0x1100)]);
    let file = world.file("root", "/lib/lib.so", &elf.build());
    let part = "7f0000001000-7f0000002000 r--p 00001000 {} /lib/lib.so\n";
    world.process(1, "root", part, &file);
    assert!(world.hits("name").is_empty());
}
