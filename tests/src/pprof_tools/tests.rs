//! Profiles by the writer, of real processes, are read by pprof's programs as they were meant.
//!
//! The samples are made by hand: a program in C tells two addresses of its own stack, and its maps file is read here. So
//! this needs gcc, LLD and the three programs, but no rights and no BPF.
//!
//! Long because each case is a dialogue with three programs.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use profiler::pprof::{Builder, Header, Label, Line, LocationId, Mapping, Profile};

use super::*;
use crate::check::check_profile;

const PERIOD_NS: u64 = 10_101_010;
const BUILD_ID: [u8; 4] = [0xab, 0xcd, 0x01, 0x23];
const BUILD_ID_HEX: &str = "abcd0123";
/// `inner` is inlined into `outer`, which `main` calls; the numbers of the lines are in the constants below.
const SOURCE: &str = r#"#include <stdio.h>
static volatile void *leaf, *caller;
__attribute__((noinline)) void *here(void) { return __builtin_return_address(0); }
static inline __attribute__((always_inline)) void inner(void) {
    leaf = here();
}
__attribute__((noinline)) void outer(void) {
    caller = __builtin_return_address(0);
    inner();
}
int main(void) {
    outer();
    printf("%p %p\n", leaf, caller);
    fflush(stdout);
    return getchar();
}
"#;
const LEAF_LINE: u32 = 5;
const INNER_LINE: u32 = 4;
const INLINED_AT_LINE: u32 = 9;
const OUTER_LINE: u32 = 7;
const CALL_LINE: u32 = 12;
const MAIN_LINE: u32 = 11;

/// The compiled program in a folder of its own.
struct Program {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Program {
    fn compile(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("spin.c");
        fs::write(&source, SOURCE).unwrap();
        let path = folder.path().join("spin");
        let build_id = format!("-Wl,--build-id=0x{BUILD_ID_HEX}");
        let status = Command::new("gcc")
            .args(["-g", "-O1", &build_id])
            .args(flags)
            .arg("-o")
            .args([&path, &source])
            .status()
            .expect("gcc runs");
        assert!(status.success(), "gcc {flags:?}: {status}");
        Self { folder, path }
    }

    fn source(&self) -> String {
        self.folder
            .path()
            .join("spin.c")
            .to_str()
            .unwrap()
            .to_owned()
    }
}

/// A process of the program that waits for its input to end.
struct Running {
    child: Child,
    /// Return addresses into `inner` (inlined in `outer`) and into `main`.
    returns: [u64; 2],
}

impl Running {
    fn start(program: &Program) -> Self {
        let mut child = Command::new(&program.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let returns: Vec<u64> = line
            .split_whitespace()
            .map(|address| u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap())
            .collect();
        let returns = returns.try_into().unwrap();
        Self { child, returns }
    }

    /// The executable line of the maps file that has the addresses:
    /// `55d0c0de1000-55d0c0de2000 r-xp 00001000 fe:01 123   /tmp/x/spin`.
    fn mapping(&self) -> Mapping {
        let maps = File::open(format!("/proc/{}/maps", self.child.id())).unwrap();
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        for line in BufReader::new(maps).lines() {
            let line = line.unwrap();
            let fields: Vec<_> = line.split_whitespace().collect();
            let (start, limit) = fields[0].split_once('-').unwrap();
            let (start, limit) = (hex(start), hex(limit));
            if (start..limit).contains(&self.returns[0]) {
                return Mapping {
                    start,
                    limit,
                    offset: hex(fields[2]),
                    file: fields[5].to_owned(),
                    build_id: BUILD_ID.to_vec(),
                };
            }
        }
        panic!("no mapping has {:#x}", self.returns[0]);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn header() -> Header {
    Header {
        period_ns: PERIOD_NS,
        time_ns: 1_700_000_000_000_000_000,
        duration_ns: 5_250_000_000,
        comments: vec!["made by hand".to_owned(), "# not in reports".to_owned()],
    }
}

fn labels() -> Vec<Label> {
    let number = |key: &str, value| Label::Num(key.to_owned(), value, String::new());
    let comm = Label::Str("comm".to_owned(), "spin it".to_owned());
    vec![number("pid", 42), number("tid", 0), comm]
}

/// A profile of three samples in `inner`, called by `outer`, called by `main`; with names or without.
fn profile(running: &Running, source: Option<&str>) -> Profile {
    let mut builder = Builder::new(header());
    let mapping = builder.mapping(running.mapping());
    builder.set_main(mapping);
    let line = |name, start_line, line| Line {
        name,
        file: source.unwrap_or_default(),
        start_line,
        line,
        ..Line::default()
    };
    let leaf_lines = [
        line("inner", INNER_LINE, LEAF_LINE),
        line("outer", OUTER_LINE, INLINED_AT_LINE),
    ];
    let main_lines = [line("main", MAIN_LINE, CALL_LINE)];
    let (leaf_lines, main_lines): (&[_], &[_]) = match source {
        Some(_) => (&leaf_lines, &main_lines),
        None => (&[], &[]),
    };
    let [leaf, caller] = running.returns.map(|address| address - 1);
    let leaf = builder.location(mapping, leaf, leaf_lines);
    let caller = builder.location(mapping, caller, main_lines);
    builder.add(&[leaf, caller], 3, &labels());
    builder.finish()
}

/// Writes a profile that keeps the rules.
fn write(profile: &Profile, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let bytes = profile.to_gzip();
    check_profile(&bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// The functions of a `-top` report with their own and their total CPU time in samples.
fn top_rows(top: &str) -> Vec<(String, String, String)> {
    let rows = top
        .lines()
        .skip_while(|line| !line.contains("flat%"))
        .skip(1);
    rows.map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (
            fields[5..].join(" "),
            fields[0].to_owned(),
            fields[3].to_owned(),
        )
    })
    .collect()
}

fn rows(wanted: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let row = |&(function, flat): &(&str, &str)| {
        (function.to_owned(), flat.to_owned(), "30.30ms".to_owned())
    };
    let mut rows: Vec<_> = wanted.iter().map(row).collect();
    rows.sort();
    rows
}

fn check_top(pprof: &Pprof, options: &[&str], files: &[&Path], wanted: &[(&str, &str)]) -> Printed {
    let printed = pprof.top(options, files).unwrap();
    let mut found = top_rows(&printed.stdout);
    found.sort();
    assert_eq!(
        found,
        rows(wanted),
        "{} {files:?}\n{}\n{}",
        pprof.name(),
        printed.stdout,
        printed.stderr
    );
    printed
}

/// What a symbolizer that knows inlined calls finds, and one that does not.
const WITH_INLINING: &[(&str, &str)] =
    &[("inner (inline)", "30.30ms"), ("main", "0"), ("outer", "0")];
const WITHOUT_INLINING: &[(&str, &str)] = &[("main", "0"), ("outer", "30.30ms")];

/// One way to link a program, and what an old Go makes of it.
struct Linked {
    flags: &'static [&'static str],
    old_go_names_it: bool,
    old_go_disassembles_it: bool,
}

/// p_offset and p_vaddr differ with LLD, and addresses are fixed without PIE.
const LINKED: [Linked; 4] = [
    Linked {
        flags: &["-pie"],
        old_go_names_it: true,
        old_go_disassembles_it: false,
    },
    Linked {
        flags: &["-no-pie"],
        old_go_names_it: true,
        old_go_disassembles_it: true,
    },
    Linked {
        flags: &["-pie", "-fuse-ld=lld"],
        old_go_names_it: false,
        old_go_disassembles_it: false,
    },
    Linked {
        flags: &["-no-pie", "-fuse-ld=lld"],
        old_go_names_it: false,
        old_go_disassembles_it: true,
    },
];

/// All programs name an unsymbolized profile from the binary at its path (PP-01, PP-14).
#[test]
fn unsymbolized() {
    for linked in LINKED {
        let program = Program::compile(linked.flags);
        let running = Running::start(&program);
        let path = write(&profile(&running, None), program.folder.path(), "cpu.pb.gz");
        let [installed_go, current_go, google] = Pprof::all().unwrap();
        let mut programs = vec![(current_go, WITHOUT_INLINING), (google, WITH_INLINING)];
        if linked.old_go_names_it {
            programs.push((installed_go, WITHOUT_INLINING));
        }
        for (pprof, wanted) in &programs {
            check_top(pprof, &[], &[&path], wanted);
            check_list(pprof, &path);
        }
        check_disasm(
            linked.old_go_names_it && linked.old_go_disassembles_it,
            &path,
        );
    }
}

/// All programs show the names of a symbolized profile as they are, inlined calls included.
#[test]
fn symbolized() {
    for linked in LINKED {
        let program = Program::compile(linked.flags);
        let running = Running::start(&program);
        let profile = profile(&running, Some(&program.source()));
        let path = write(&profile, program.folder.path(), "cpu.pb.gz");
        for pprof in Pprof::all().unwrap() {
            check_top(&pprof, &[], &[&path], WITH_INLINING);
            check_list(&pprof, &path);
            assert_eq!(
                pprof.raw(&path).unwrap().mappings[0].flags,
                "[FN][FL][LN][IN]"
            );
        }
        check_disasm(linked.old_go_disassembles_it, &path);
    }
}

/// The line of the source that calls has the samples.
fn check_list(pprof: &Pprof, profile: &Path) {
    let list = pprof.list("^main$", &[], &[profile]).unwrap().stdout;
    let call = list
        .lines()
        .find(|line| line.contains("outer();"))
        .unwrap_or_default();
    assert!(call.contains("30.30ms"), "{}: {list}", pprof.name());
}

/// The instruction that calls has the samples.
fn check_disasm(by_old_go: bool, profile: &Path) {
    let mut programs = vec![Pprof::current_go().unwrap(), Pprof::google().unwrap()];
    if by_old_go {
        programs.push(Pprof::installed_go());
    }
    for pprof in programs {
        let disasm = pprof.disasm("outer", &[], &[profile]).unwrap().stdout;
        let is_hot =
            |line: &str| line.starts_with("30.30ms") && line.to_lowercase().contains("call");
        assert!(
            disasm.lines().any(|line| is_hot(line.trim_start())),
            "{}: {disasm}",
            pprof.name()
        );
    }
}

/// Without the binary at its path the build-id leads google/pprof to a copy, and `go tool pprof` takes the copy as an
/// argument (PR-04).
#[test]
fn binary_elsewhere() {
    let program = Program::compile(&["-pie"]);
    let running = Running::start(&program);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = write(&profile(&running, None), elsewhere.path(), "cpu.pb.gz");
    let folder = elsewhere.path().join(BUILD_ID_HEX);
    fs::create_dir(&folder).unwrap();
    let copy = folder.join("spin");
    fs::copy(&program.path, &copy).unwrap();
    drop(running);
    fs::remove_file(&program.path).unwrap();

    let google = Pprof::google().unwrap();
    check_top(&google, &[], &[&path], &[("[spin]", "30.30ms")]);
    check_top(
        &google.with_binary_path(elsewhere.path()),
        &[],
        &[&path],
        WITH_INLINING,
    );
    for pprof in [Pprof::installed_go(), Pprof::current_go().unwrap()] {
        check_top(&pprof, &[], &[&copy, &path], WITHOUT_INLINING);
    }

    // The id counts, not the name: another binary of this name is refused.
    let other = Program::compile(&["-pie", "-Wl,--build-id=0x00"]);
    fs::copy(&other.path, &copy).unwrap();
    check_top(
        &google.with_binary_path(elsewhere.path()),
        &[],
        &[&path],
        &[("[spin]", "30.30ms")],
    );
}

/// Two processes of one program, at different addresses, become one mapping with the sum of both (PR-03).
#[test]
fn merge() {
    let program = Program::compile(&["-pie"]);
    let folder = program.folder.path();
    let runs = [Running::start(&program), Running::start(&program)];
    assert_ne!(
        runs[0].returns, runs[1].returns,
        "address space randomization is on"
    );
    let first = write(&profile(&runs[0], None), folder, "first.pb.gz");
    let second = write(&profile(&runs[1], None), folder, "second.pb.gz");
    for pprof in Pprof::all().unwrap() {
        let merged = folder.join("merged.pb.gz");
        pprof.merge(&[&first, &second], &merged).unwrap();
        let raw = pprof.raw(&merged).unwrap();
        assert_eq!(
            (raw.mappings.len(), raw.locations.len()),
            (1, 2),
            "{raw:#?}"
        );
        assert_eq!(raw.samples.len(), 1, "{raw:#?}");
        assert_eq!(raw.samples[0].values, [6, 6 * PERIOD_NS as i64]);
    }
}

/// What was written is what the programs read: header, values, labels, addresses, ranges (PR-01, PR-09, PR-11).
#[test]
fn raw() {
    let program = Program::compile(&["-pie"]);
    let running = Running::start(&program);
    let path = write(&profile(&running, None), program.folder.path(), "cpu.pb.gz");
    let mapping = running.mapping();
    let [leaf, caller] = running.returns.map(|address| address - 1);
    for pprof in Pprof::all().unwrap() {
        let raw = pprof.raw(&path).unwrap();
        assert_eq!(
            raw.header,
            [
                "Comment: made by hand",
                "Comment: # not in reports",
                "PeriodType: cpu nanoseconds",
                "Period: 10101010",
                "Time: 2023-11-14 22:13:20 +0000 UTC",
                "Duration: 5.25",
            ]
        );
        assert_eq!(raw.sample_types, ["samples/count", "cpu/nanoseconds[dflt]"]);
        let sample = &raw.samples[0];
        assert_eq!(sample.values, [3, 3 * PERIOD_NS as i64]);
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(labels, ["comm=spin it", "pid=42", "tid=0 tid"]);
        // Locations are sorted by address; the linker decides which function comes first.
        let stack: Vec<_> = sample
            .locations
            .iter()
            .map(|&id| &raw.locations[id as usize - 1])
            .collect();
        assert_eq!([stack[0].address, stack[1].address], [leaf, caller]);
        assert!(
            stack
                .iter()
                .all(|location| location.mapping == Some(1) && location.lines.is_empty())
        );
        let wanted = RawMapping {
            id: 1,
            start: mapping.start,
            limit: mapping.limit,
            offset: mapping.offset,
            file: mapping.file.clone(),
            build_id: BUILD_ID_HEX.to_owned(),
            flags: String::new(),
        };
        assert_eq!(raw.mappings, [wanted]);

        let traces = pprof.traces(&["-symbolize=none"], &[&path]).unwrap().stdout;
        for part in [
            "File: spin\n",
            "made by hand\n",
            "pid:  42\n",
            "comm:  spin it\n",
        ] {
            assert!(
                traces.contains(part),
                "{}: no {part:?} in\n{traces}",
                pprof.name()
            );
        }
        assert!(
            !traces.contains("not in reports"),
            "{}: {traces}",
            pprof.name()
        );
    }
    let google = Pprof::google().unwrap().top(&[], &[&path]).unwrap().stdout;
    assert!(
        google.contains(&format!("Build ID: {BUILD_ID_HEX}\n")),
        "{google}"
    );
}

/// Generic names keep what stands in their brackets, with a mangled name and without (PR-08).
#[test]
fn generics() {
    let names = [
        (
            "<alloc::vec::Vec<u8> as core::iter::FromIterator<u8>>::from_iter",
            "_RNvXs_NtCs1_5alloc3vec3abc",
        ),
        ("<spin::Wheel<f64>>::turn", ""),
        ("spin::run(int)", "spin::run(int)"),
    ];
    let mut builder = Builder::new(header());
    let mapping = builder.mapping(Mapping {
        start: 0x1000,
        limit: 0x2000,
        file: "/no/such/program".to_owned(),
        ..Mapping::default()
    });
    for ((name, system_name), address) in names.into_iter().zip(0x1000..) {
        let line = Line {
            name,
            system_name,
            ..Line::default()
        };
        let location = builder.location(mapping, address, &[line]);
        builder.add(&[location], 1, &[]);
    }
    check_named(&builder.finish(), &names.map(|(name, _)| name));
}

/// A profile of the kernel only, one of one sample without a stack and one of nothing are valid (PR-10).
#[test]
fn hardly_anything() {
    check_named(&Builder::new(header()).finish(), &[]);

    let mut builder = Builder::new(header());
    builder.add(&[], 1, &[]);
    check_named(&builder.finish(), &[]);

    let mut builder = Builder::new(header());
    let idle = kernel_location(&mut builder);
    builder.add(&[idle], 1, &[]);
    check_named(&builder.finish(), &["default_idle"]);
}

fn kernel_location(builder: &mut Builder) -> LocationId {
    let mapping = builder.mapping(Mapping {
        start: 0xffff_ffff_8100_0000,
        limit: 0xffff_ffff_c000_0000,
        file: "[kernel.kallsyms]".to_owned(),
        ..Mapping::default()
    });
    let line = Line {
        name: "default_idle",
        ..Line::default()
    };
    builder.location(mapping, 0xffff_ffff_8100_1234, &[line])
}

/// The programs read the profile and show these functions, whole.
fn check_named(profile: &Profile, names: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(profile, folder.path(), "cpu.pb.gz");
    for pprof in Pprof::all().unwrap() {
        let raw = pprof.raw(&path).unwrap();
        // Google's, and older Go's, leave out samples without a stack here.
        let found = raw
            .samples
            .iter()
            .filter(|sample| !sample.locations.is_empty())
            .count();
        let written = profile
            .message()
            .sample
            .iter()
            .filter(|sample| !sample.location_id.is_empty());
        assert_eq!(found, written.count(), "{}", pprof.name());
        let printed = pprof.top(&[], &[&path]).unwrap();
        let mut found: Vec<_> = top_rows(&printed.stdout)
            .into_iter()
            .map(|(name, ..)| name)
            .collect();
        found.sort();
        let mut names = names.to_vec();
        names.sort_unstable();
        assert_eq!(found, names, "{}\n{}", pprof.name(), printed.stdout);
    }
}
