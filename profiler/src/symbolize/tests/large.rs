//! Memory while naming addresses of a large library.
//!
//! Building the library takes a minute, so this runs by hand, alone (the peak is that of the process), optimized:
//! `cargo xtask test-slow`.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use super::super::{Detail, Options};
use super::workshop::{Workshop, addresses, names};
use crate::addr::ElfAddr;

/// Units that are compiled, and copies of each under other names: 192 units, 320 MB.
const UNITS: usize = 12;
const COPIES: usize = 16;

/// What naming 2,000 addresses may make resident: functions only, and all.
const LIMITS_MIB: [(Detail, u64); 2] = [(Detail::Functions, 100), (Detail::Full, 300)];

/// 2,000 addresses all over a library of 300 MB with full debug information are named within 300 MiB.
#[test]
fn large_library() {
    let workshop = Workshop::new();
    let library = build(&workshop);
    let megabytes = fs::metadata(&library).unwrap().len() / 1_000_000;
    assert!(megabytes >= 300, "only {megabytes} MB");
    let all = addresses(&library, |name| name.contains("4work"));
    let asked: Vec<ElfAddr> = all
        .iter()
        .copied()
        .step_by(all.len() / 2000)
        .take(2000)
        .collect();
    for (detail, limit) in LIMITS_MIB {
        let start = Instant::now();
        let answers = names(&library, detail, Options::default(), &asked);
        let lines = answers
            .iter()
            .flatten()
            .filter(|functions| functions[0].line > 0)
            .count();
        let peak = peak_mib();
        println!(
            "{megabytes} MB, {detail:?}: {lines} lines, {peak} MiB, {:?}",
            start.elapsed()
        );
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(lines > 1900, detail == Detail::Full);
        assert!(peak < limit, "{peak} MiB");
    }
}

fn build(workshop: &Workshop) -> PathBuf {
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for unit in (half..UNITS).step_by(2) {
                    let name = format!("unit{unit}.0.o");
                    workshop.build(
                        "large.cc",
                        &name,
                        &["-g", "-O2", "-fPIC", "-c", &format!("-DUNIT={unit}")],
                    );
                    for copy in 1..COPIES {
                        let prefix = format!("--prefix-symbols=copy{copy}_");
                        workshop.run(
                            "objcopy",
                            &[&prefix, &name, &format!("unit{unit}.{copy}.o")],
                        );
                    }
                }
            });
        }
    });
    workshop.run("sh", &["-c", "g++ -shared -o library.so unit*.o"]);
    workshop.path("library.so")
}

/// The most that ever was resident of this process.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}
