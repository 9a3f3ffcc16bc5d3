//! Code that is not where a file was mapped by a loader: text moved to memory of its own, programs and compilers' code in memfds,
//! files that say less than usual, the page of uprobes.

use std::fs::{self, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;

use crate::check::Sample;
use crate::harness::{
    Recorder, Recording, Stacks, Target, Uprobe, build_id, copy_program, fixture, shared, skip,
    symbol_value,
};
use crate::pprof_tools::Pprof;

const CHAIN: [&str; 5] = ["leaf", "middle", "work", "outer", "main"];

fn record(target: &Target) -> Recording {
    let pid = target.pid.to_string();
    Recorder::new(["-p", &pid, "-F", "997", "-d", "500ms"]).run()
}

/// A target in whose life something happens while it is sampled for a second; it ends when the profile is there.
fn record_change(program: &str, how: &str) -> (Recording, f64) {
    let mut target = Target::spawn(&fixture(program), &[how, "--late", "--wait", "0"]);
    let pid = target.pid.to_string();
    let running = Recorder::new(["-p", &pid, "-F", "997"]).start().sampling();
    target.begin();
    std::thread::sleep(Duration::from_secs(1));
    running.signal(Signal::INT);
    let recording = running.finish();
    let report = target.stop();
    let before = report.phases["before"] as f64 / report.total as f64;
    (recording, before)
}

/// Mapping 1 is the program, once, with its build-id.
fn check_main(recording: &Recording, name: &str, id: Option<&str>) {
    let profile = recording.profile();
    let mappings = &profile.message().mapping;
    assert_eq!(profile.string(mappings[0].filename), name);
    assert_eq!(Some(profile.string(mappings[0].build_id)), id, "{name}");
    let files = mappings
        .iter()
        .map(|mapping| profile.string(mapping.filename));
    assert_eq!(
        files.filter(|file| *file == name).count(),
        1,
        "{mappings:#?}"
    );
}

/// Nearly all stacks are whole and named, and the program's frames are in its file; what is not may be of the moment of a change.
fn check_stacks(recording: &Recording, program: &str, least: f64) {
    let path = fixture(program);
    check_main(
        recording,
        path.to_str().unwrap(),
        build_id(&path).as_deref(),
    );
    let all = Stacks::of(&recording.profile());
    let whole = all.filter(|sample| !sample.is_cut());
    whole.assert_share(&all, least, "whole");
    // What the program is asked between two pieces of work takes longer on some machines.
    let asks = |sample: &Sample| {
        let mut functions = sample.stack.iter().flat_map(|frame| &frame.functions);
        functions.any(|name| name == "target_goes_on")
    };
    let working = all.filter(|sample| !asks(sample));
    let named = whole.calling(&CHAIN).filter(|sample| {
        let frames = sample.stack.iter();
        let of_program = |name: &str| CHAIN.contains(&name);
        let mut ours = frames.filter(|frame| frame.functions.iter().any(|name| of_program(name)));
        ours.all(|frame| frame.file.as_deref() == path.to_str())
    });
    named.assert_share(&working, least, program);
    for pprof in Pprof::all().unwrap() {
        // The oldest names nothing in what LLD has linked.
        let list = pprof
            .list("^leaf$", &[], &[&recording.path])
            .unwrap()
            .stdout;
        let line = list
            .lines()
            .find(|line| line.contains("0xff51afd7ed558ccd"));
        let timed = line.is_some_and(|line| {
            let mut times = line.split_whitespace().take(2);
            times.any(|time| time.ends_with("ms"))
        });
        assert!(timed, "{}: {program}: {list}", pprof.name());
    }
}

/// Whether a process has executable memory without a name.
fn has_nameless_code(pid: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let fields = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    maps.lines()
        .map(fields)
        .any(|line| line.len() == 5 && line[1].contains('x'))
}

/// Text that a program has moved to anonymous memory in the same place, be it a part or all of it, is still the file's: the
/// stacks lead through it by the file's tables, and it has the file's names (MP-23).
#[test]
fn text_in_anonymous_memory() {
    let Some(_turn) = shared() else { return };
    for program in ["own_text", "own_text-nopie", "own_text-lld"] {
        for how in ["head", "middle", "tail", "whole", "whole-moved"] {
            let target = Target::spawn(&fixture(program), &[how]);
            assert!(has_nameless_code(target.pid), "{program} {how}");
            check_stacks(&record(&target), program, 0.99);
        }
    }
}

/// The same while it is sampled, by what the kernel tells of it, as far as it does; before and after, names and callers are
/// the same.
#[test]
fn text_that_moves_to_anonymous_memory() {
    let Some(_turn) = shared() else { return };
    for how in ["head", "middle", "whole", "whole-moved"] {
        let (recording, before) = record_change("own_text", how);
        assert!((0.1..0.9).contains(&before), "{how}: {before}");
        check_stacks(&recording, "own_text", 0.97);
    }
}

/// A program that unmaps a part of its text keeps the rest, on both sides of the hole.
#[test]
fn hole_in_the_text() {
    let Some(_turn) = shared() else { return };
    let target = Target::spawn(&fixture("own_text"), &["punch"]);
    check_stacks(&record(&target), "own_text", 0.99);
    let (recording, _) = record_change("own_text", "punch");
    check_stacks(&recording, "own_text", 0.97);
}

/// Code that a program has written over a function of its own is not taken for that function: it has no name, and its
/// callers are found.
#[test]
fn compiled_code_in_the_text() {
    let Some(_turn) = shared() else { return };
    for program in ["own_text", "own_text-nopie"] {
        let target = Target::spawn(&fixture(program), &["compile"]);
        let all = Stacks::of(&record(&target).profile());
        assert_eq!(all.in_leaf("victim").count(), 0, "{}", all.text());
        let inside = all.through("[jit]");
        inside.assert_share(&all, 0.03, "in code made at run time");
        inside
            .calling(&["call_victim", "outer", "main"])
            .assert_share(&inside, 0.99, "callers");
        let named = inside.filter(|sample| {
            let mut compiled = sample.stack.iter();
            let compiled = compiled.find(|frame| frame.file.as_deref() == Some("[jit]"));
            compiled.is_some_and(|frame| !frame.functions.is_empty())
        });
        assert_eq!(named.count(), 0, "{}", named.text());
    }
}

/// Each sample of an address is of what was there when it was taken: a function of the file, then a compiler's code, with the
/// name that its perf map gives or without.
#[test]
fn compiled_code_in_the_place_of_a_function() {
    let Some(_turn) = shared() else { return };
    for how in ["compile", "compile-map"] {
        let (recording, before) = record_change("own_text", how);
        let all = Stacks::of(&recording.profile());
        let calls = all.filter(|sample| {
            let caller = sample.stack.get(1);
            caller.is_some_and(|caller| caller.functions == ["call_victim"])
        });
        let old = calls.in_leaf("victim");
        let new = calls.through("[jit]");
        assert_eq!(old.count() + new.count(), calls.count(), "{}", calls.text());
        assert_eq!(old.through("[jit]").count(), 0, "{}", old.text());
        // The compiler's code takes a third of the function's time.
        old.assert_share(&calls, before / 2.0, "before");
        new.assert_share(&calls, (1.0 - before) / 5.0, "after");
        let named = new.in_leaf("compiled_loop");
        let expected = if how == "compile" { 0 } else { new.count() };
        assert_eq!(named.count(), expected, "{}", new.text());
    }
}

/// A program that lies in memory only has its name, its build-id and its functions.
#[test]
fn program_in_a_memfd() {
    let Some(_turn) = shared() else { return };
    let memfd = memfd_create("a program", MemfdFlags::empty()).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", memfd.as_raw_fd()));
    fs::write(&path, fs::read(fixture("own_text")).unwrap()).unwrap();
    let target = Target::spawn(&path, &["nothing"]);
    drop(memfd);
    let recording = record(&target);
    let id = build_id(&fixture("own_text"));
    check_main(&recording, "/memfd:a program", id.as_deref());
    let all = Stacks::of(&recording.profile());
    let whole = all.calling(&CHAIN);
    whole.assert_share(&all, 0.5, "named");
    assert_eq!(all.filter(Sample::is_cut).count(), 0);
}

/// A static program that is position-independent is mapping 1, and its stacks are whole (PI-13).
#[test]
fn static_pie() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-static-pie");
    let recording = record(&target);
    let path = fixture("spin-static-pie");
    check_main(
        &recording,
        path.to_str().unwrap(),
        build_id(&path).as_deref(),
    );
    let all = Stacks::of(&recording.profile());
    all.calling(&["leaf", "middle", "work_a", "outer", "main"])
        .assert_share(&all, 0.5, "named");
    assert_eq!(all.filter(Sample::is_cut).count(), 0);
}

/// With the kernel's older layout, in which libraries lie below the program, mapping 1 is still the program (PI-13).
#[test]
fn older_layout() {
    let Some(_turn) = shared() else { return };
    let program = fixture("spin");
    let arguments = ["-L", program.to_str().unwrap()];
    let target = Target::spawn(Path::new("setarch"), &arguments);
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid)).unwrap();
    let first = maps.lines().next().unwrap();
    let recording = record(&target);
    check_main(
        &recording,
        program.to_str().unwrap(),
        build_id(&program).as_deref(),
    );
    // The layout is another one: libraries come at a third of the address space, not at its end.
    let libc = maps
        .lines()
        .find(|line| line.ends_with("libc.so.6"))
        .unwrap();
    let start = libc.split('-').next().unwrap();
    let start = u64::from_str_radix(start, 16).unwrap();
    assert!(start < 0x5000_0000_0000, "{first}\n{libc}");
}

/// The innermost frame is where the program was interrupted, be it at a function's first byte: it is that function, not the one
/// that ends before it (PI-07).
#[test]
fn first_byte_of_a_function() {
    let Some(_turn) = shared() else { return };
    let target = Target::spawn(&fixture("own_text"), &["nothing"]);
    let all = Stacks::of(&record(&target).profile());
    let inside = all.in_leaf("first_byte");
    inside.assert_share(&all, 0.02, "in the function");
    // Where a program is loaded changes whole pages.
    let in_page = |address: u64| address % 4096;
    let start = in_page(symbol_value(&fixture("own_text"), "first_byte"));
    let at_start = inside.filter(|sample| in_page(sample.stack[0].address) == start);
    at_start.assert_share(&inside, 0.9, "at its first byte");
    let whole = at_start.calling(&["first_byte", "call_first_byte", "outer", "main"]);
    assert_eq!(whole.count(), at_start.count(), "{}", at_start.text());
    assert_eq!(
        all.in_leaf("before_first_byte").count(),
        0,
        "{}",
        all.text()
    );
}

/// Takes away the section headers of a 64-bit ELF file, as `sstrip` and packers do: `e_shoff`, `e_shnum`, `e_shstrndx`.
fn without_section_headers(from: &Path, to: &Path) {
    copy_program(from, to);
    let mut bytes = fs::read(to).unwrap();
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    // Into a file of its own, which nobody has had open for writing when it is run.
    let whole = to.with_extension("whole");
    fs::write(&whole, bytes).unwrap();
    copy_program(&whole, to);
    fs::set_permissions(to, Permissions::from_mode(0o755)).unwrap();
}

/// A program without section headers has its build-id by its program headers, whole stacks by the index of its unwind tables,
/// and the names that it exports.
#[test]
fn no_section_headers() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let original = fixture("spin-exporting");
    without_section_headers(&original, &path);
    let target = Target::spawn(&path, &[]);
    let recording = record(&target);
    check_main(
        &recording,
        path.to_str().unwrap(),
        build_id(&original).as_deref(),
    );
    let all = Stacks::of(&recording.profile());
    assert_eq!(all.filter(Sample::is_cut).count(), 0);
    all.calling(&["leaf", "middle", "work_a", "outer", "main"])
        .assert_share(&all, 0.5, "exported names");
}

/// A memfd of gigabytes that code is in is seen not to be an ELF file by its first bytes: it costs nothing, is not held, and has
/// the samples.
#[test]
fn arena_in_a_memfd() {
    let Some(_turn) = shared() else { return };
    let target = Target::spawn(&fixture("jit-fp"), &["--arena"]);
    let pid = target.pid.to_string();
    let running = Recorder::new(["-p", &pid, "-F", "997"]).start().sampling();
    std::thread::sleep(Duration::from_millis(500));
    let own = PathBuf::from(format!("/proc/{}", running.pid()));
    let descriptors = fs::read_dir(own.join("fd")).unwrap();
    let held = descriptors
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|link| link.to_string_lossy().contains("arena"));
    assert_eq!(held.count(), 0);
    let read = fs::read_to_string(own.join("io")).unwrap();
    let read: u64 = read
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(read < 64 << 20, "{read} bytes read");
    running.signal(Signal::INT);
    let recording = running.finish();
    let all = Stacks::of(&recording.profile());
    let inside = all.through("/memfd:arena");
    inside.assert_share(&all, 0.9, "in the arena");
    inside
        .calling(&["call_jit", "main"])
        .assert_share(&all, 0.9, "callers");
}

/// Instructions that a probe stands in the place of are run in a page of the kernel's. Their samples are there, as what they
/// are; a stack that cannot be known is not shown as whole, and all others are.
#[test]
fn page_of_uprobes() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    copy_program(&fixture("own_text"), &program);
    let Some(probe) = Uprobe::new(&program, "probed") else {
        skip("the kernel has no uprobes or no tracefs");
        return;
    };
    let target = Target::spawn(&program, &["nothing"]);
    let recording = record(&target);
    target.stop();
    drop(probe);
    let all = Stacks::of(&recording.profile());
    let inside = all.through("[uprobes]");
    inside.assert_share(&all, 0.05, "in the page of uprobes");
    let said = inside.labelled("truncated", "page of uprobes");
    assert_eq!(said.count(), inside.count(), "{}", inside.text());
    let others = all.filter(|sample| !sample.is_cut());
    assert_eq!(
        others.count() + inside.count(),
        all.count(),
        "{}",
        all.text()
    );
    others
        .calling(&["probed", "call_probed", "outer", "main"])
        .assert_share(&all, 0.01, "at the probe itself");
}
