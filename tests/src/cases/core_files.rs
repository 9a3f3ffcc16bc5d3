//! Core files of real programs: by the kernel and by gdb, with threads, signal handlers, Go, and files that are gone.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::check::{CheckedProfile, Sample, check_profile};
use crate::harness::{
    CoreReport, Target, build_id, copy_program, fixture, gdb_core, gdb_stacks, kernel_core, output,
    profiler, skip,
};
use crate::pprof_tools::Pprof;

/// Functions of the program that dies.
const OWN: [&str; 6] = [
    "main",
    "park",
    "run",
    "handler",
    "die_in_handler",
    "call_nowhere",
];

/// A folder for core files; `None` when the test is skipped, as only root may say where the kernel writes them.
fn folder() -> Option<TempDir> {
    if geteuid().is_root() {
        return Some(tempfile::tempdir().unwrap());
    }
    skip("only root may say where the kernel writes core files");
    None
}

fn report(core: &Path) -> CoreReport {
    CoreReport::of(core, &[])
}

/// Our stacks are gdb's, address by address: all threads, all frames, those in signal handlers and behind them.
fn check_against_gdb(program: &Path, core: &Path, report: &CoreReport) {
    let ours = report.addresses();
    let mut theirs = gdb_stacks(program, core);
    assert_eq!(ours.len(), theirs.len());
    for (tid, mut ours) in ours {
        let at = theirs.iter().position(|(other, _)| *other == tid).unwrap();
        let (_, gdb) = theirs.swap_remove(at);
        // Inlined functions are frames of their own there, with the address of the one they are in. That is dropped on
        // both sides, and recursion with it, whose depth is compared by name below.
        let mut addresses: Vec<u64> = gdb.iter().map(|(address, _)| *address).collect();
        addresses.dedup();
        ours.dedup();
        assert_eq!(ours.len(), addresses.len(), "{tid}: {ours:x?} {gdb:x?}");
        for (ours, gdb) in ours.iter().zip(&addresses) {
            // Of callers ours is the call and gdb's what comes behind it; of a trampoline gdb says no address.
            let same = *gdb == 0 || ours == gdb || ours + 1 == *gdb;
            assert!(same, "{tid}: {ours:x} {gdb:x} in {addresses:x?}");
        }
        // A debugger may know other names of the C library's functions, but not of the program's.
        let gdb: Vec<String> = gdb.into_iter().map(|(_, name)| name).collect();
        let stacks = report.stacks();
        let (_, named) = stacks.iter().find(|(other, _)| *other == tid).unwrap();
        for name in OWN {
            let count = |names: &[String]| names.iter().filter(|other| *other == name).count();
            assert_eq!(
                count(named),
                count(&gdb),
                "{tid}: {name} in {named:?} and {gdb:?}"
            );
        }
    }
}

fn profile(core: &Path, args: &[&OsStr]) -> (CheckedProfile, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stacks.pb.gz");
    let mut command = Command::new(profiler());
    command
        .arg("core")
        .arg(core)
        .arg("-o")
        .arg(&path)
        .args(args);
    output(&mut command);
    let profile = check_profile(&fs::read(&path).unwrap());
    (profile.unwrap_or_else(|found| panic!("{found:#?}")), folder)
}

/// CO-21, CO-22: a core file of the kernel has four threads, the faulting one first, signal, program, build-ids, and
/// the stacks that gdb finds, through the signal handler.
#[test]
fn of_the_kernel() {
    let Some(folder) = folder() else { return };
    let program = fixture("crash");
    let core = kernel_core(folder.path(), Command::new(&program).arg("abort"));
    let report = report(&core);
    assert_eq!((report.code, report.stderr.as_str()), (Some(0), ""));
    let document = &report.document;
    assert_eq!(document["signal"]["name"], "SIGABRT");
    assert_eq!(document["name"], "crash");
    assert_eq!(document["args"], format!("{} abort", program.display()));
    assert_eq!(document["damages"].as_array().unwrap().len(), 0);
    let stacks = report.stacks();
    assert_eq!(stacks.len(), 4);
    assert_eq!(Some(stacks[0].0), document["pid"].as_u64());
    let whole = |thread: &serde_json::Value| thread["complete"] == true;
    assert!(
        document["threads"].as_array().unwrap().iter().all(whole),
        "{document:#}"
    );
    let first = &stacks[0].1;
    let at = |name: &str| first.iter().position(|other| other == name);
    let order = [
        at("handler"),
        at("die_in_handler"),
        at("main"),
        at("_start"),
    ];
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{first:?}"
    );
    check_against_gdb(&program, &core, &report);

    for module in document["modules"].as_array().unwrap() {
        let path = module["path"].as_str().unwrap();
        if path.starts_with('/') {
            assert_eq!(
                module["build_id"].as_str(),
                build_id(path.as_ref()).as_deref(),
                "{path}"
            );
            assert_eq!(module["verified"], true);
        } else {
            assert_eq!(path, "[vdso]");
            assert!(module["build_id"].is_string());
        }
    }
}

/// The profile has a sample for each thread with its labels, and pprof's programs read it and add up two of them.
#[test]
fn as_a_profile() {
    let Some(folder) = folder() else { return };
    let program = fixture("crash");
    let core = kernel_core(folder.path(), Command::new(&program).arg("null"));
    let (profile, kept) = profile(&core, &[]);
    let samples = profile.samples();
    assert_eq!((samples.len(), profile.total_count()), (4, 4));
    let main = &profile.message().mapping[0];
    assert_eq!(profile.string(main.filename), program.to_str().unwrap());
    assert_eq!(
        Some(profile.string(main.build_id)),
        build_id(&program).as_deref()
    );
    let faulting: Vec<_> = samples
        .iter()
        .filter(|sample| sample.labels.contains_key("signal"))
        .collect();
    let [faulting] = faulting[..] else {
        panic!("{samples:#?}");
    };
    assert_eq!(faulting.labels["signal"], "SIGSEGV");
    assert_eq!(faulting.labels["tid"], faulting.labels["pid"]);
    assert!(
        samples
            .iter()
            .all(|sample| sample.labels["name"] == "crash")
    );
    // The call to nowhere is a frame without mapping, and its caller is known.
    let stack = &faulting.stack;
    assert_eq!((stack[0].address, &stack[0].file), (0, &None));
    assert_eq!(stack[1].functions, ["call_nowhere"]);

    let file = kept.path().join("stacks.pb.gz");
    for pprof in [
        Pprof::installed_go(),
        Pprof::current_go().unwrap(),
        Pprof::google().unwrap(),
    ] {
        let top = pprof.top(&["-cum"], &[&file, &file]).unwrap();
        let parked = top.stdout.lines().find(|line| line.ends_with(" park"));
        let parked: Vec<&str> = parked.unwrap_or_default().split_whitespace().collect();
        // Cumulated, of two equal profiles.
        assert_eq!(parked.get(3), Some(&"6"), "{}", top.stdout);
    }
}

/// What gdb's gcore writes of a running program is read as well: without code, in another order, other alignments.
#[test]
fn of_gdb() {
    let Some(folder) = folder() else { return };
    let program = fixture("crash");
    let target = Target::spawn(&program, &["wait"]);
    let core = gdb_core(folder.path(), &target);
    let report = report(&core);
    assert_eq!((report.code, report.stderr.as_str()), (Some(0), ""));
    assert_eq!(report.document["pid"], target.pid);
    assert_eq!(report.document["name"], "crash");
    check_against_gdb(&program, &core, &report);
    let main = report.module(program.to_str().unwrap());
    assert_eq!(main["main"], true);
    profile(&core, &[]);
}

/// CO-23: of a Go program memory has Go's id and the file the GNU one; frames have their names.
#[test]
fn of_go() {
    let Some(folder) = folder() else { return };
    let program = fixture("phases-go-current");
    let target = Target::spawn(&program, &[]);
    let core = gdb_core(folder.path(), &target);
    let path = program.to_str().unwrap();
    let with_file = report(&core);
    let gnu = build_id(&program).expect("the current Go gives one");
    assert_eq!(with_file.module(path)["build_id"], gnu);
    assert_eq!(with_file.module(path)["verified"], true);
    let nowhere = folder.path().join("nowhere");
    let without = CoreReport::of(&core, &["--sysroot".as_ref(), nowhere.as_os_str()]);
    let module = without.module(path);
    assert_eq!(
        (module["build_id"].as_str(), module["main"].as_bool()),
        (None, Some(true))
    );
    assert_eq!(module["go"].as_str().map(str::len), Some(83));
    let stacks = with_file.stacks();
    let is_named =
        |(_, stack): &(u64, Vec<String>)| stack.iter().any(|name| name.starts_with("main."));
    assert!(stacks.iter().any(is_named), "{stacks:#?}");
    profile(&core, &[]);

    let died = kernel_core(
        folder.path(),
        Command::new("sh")
            .env("GOTRACEBACK", "crash")
            .args(["-c", "(sleep 0.3; kill -QUIT $$) & exec \"$0\""])
            .arg(&program),
    );
    let report = report(&died);
    assert_eq!(report.document["signal"]["name"], "SIGABRT");
    let first = &report.stacks()[0].1;
    assert!(
        first.iter().any(|name| name.starts_with("runtime.")),
        "{first:?}"
    );
}

/// CO-24: a program that was replaced is not used, both ids are named, and the right one can be given.
#[test]
fn of_a_program_that_is_gone() {
    let Some(folder) = folder() else { return };
    let original = fixture("crash");
    let path = folder.path().join("program");
    copy_program(&original, &path);
    let core = kernel_core(folder.path(), Command::new(&path).arg("abort"));
    let other = fixture("spin");
    fs::remove_file(&path).unwrap();
    copy_program(&other, &path);
    let (wanted, found) = (build_id(&original).unwrap(), build_id(&other).unwrap());

    let report = report(&core);
    let missing = report.document["missing"][0].to_string();
    assert!(
        missing.contains(&wanted) && missing.contains(&found),
        "{missing}"
    );
    assert_eq!(report.module(path.to_str().unwrap())["build_id"], wanted);
    let first = &report.stacks()[0].1;
    assert!(
        first.contains(&path.to_string_lossy().into_owned()),
        "{first:?}"
    );
    let (damaged, _kept) = profile(&core, &[]);
    assert!(damaged.samples().iter().all(Sample::is_cut));

    let exe = ["--exe".as_ref(), original.as_os_str()];
    let given = CoreReport::of(&core, &exe);
    assert_eq!(given.document["missing"].as_array().unwrap().len(), 0);
    assert!(given.stacks()[0].1.contains(&"handler".to_owned()));

    let refused = CoreReport::run(&core, &["--exe".as_ref(), other.as_os_str()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains(&wanted) && said.contains(&found), "{said}");

    let ids = output(
        Command::new(profiler())
            .arg("build-id")
            .arg("--core")
            .arg(&core),
    );
    let line = format!("{wanted}  {}", path.display());
    assert_eq!(ids.lines().next(), Some(line.as_str()), "{ids}");
}

/// CO-17, CO-18: what a file lost that was cut off is said, and what it has is shown; a size of 64 GiB takes no time.
#[test]
fn of_any_size() {
    let Some(folder) = folder() else { return };
    let program = fixture("crash");
    let core = kernel_core(folder.path(), Command::new(&program).arg("abort"));
    let whole = report(&core);
    let file = fs::File::options().write(true).open(&core).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(64 << 30).unwrap();
    let huge = report(&core);
    assert_eq!((huge.code, huge.stacks()), (Some(0), whole.stacks()));

    // The stack of the first thread is at the end of the file.
    file.set_len(size / 2).unwrap();
    let cut = report(&core);
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.contains("truncated"), "{}", cut.stderr);
    assert_eq!(cut.stacks().len(), 4);
    let end = cut.document["threads"][0]["end"].as_str().unwrap();
    assert!(end.contains("truncated"), "{end}");
    assert_eq!(cut.document["threads"][0]["complete"], false);

    file.set_len(0).unwrap();
    let empty = CoreReport::run(&core, &[]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(empty.stdout.is_empty());
}
