//! The comparison with gimli on all files of a machine; it takes minutes, so by hand.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};
use profiler_common::Rule;

use super::oracle_tests::check;
use super::{Input, Section, rows_of};
use crate::binary::{Binary, BinaryError};
use crate::unwind::sections::{Sections, read_section};

/// Our rows are gimli's on every ELF file of the machine; or, with `PROFILER_ORACLE`, of those directories.
///
/// It takes minutes: `cargo xtask test-slow`.
#[test]
fn every_file() {
    let roots = std::env::var("PROFILER_ORACLE")
        .unwrap_or_else(|_| "/usr/lib:/usr/bin:/usr/sbin:/usr/local".into());
    let roots: Vec<&str> = roots.split(':').collect();
    let (files, functions) = check_below(&roots);
    println!("{files} files, {functions} functions agree");
    assert!(functions > 0);
}

/// Compares all ELF files below some directories; how many there are, and how many functions they have.
fn check_below(roots: &[&str]) -> (usize, usize) {
    let mut paths: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let (mut files, mut functions) = (0, 0);
    while let Some(path) = paths.pop() {
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            paths.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if kind.is_file() {
            let file = File::open(&path).unwrap();
            match Binary::from_file(file, &path) {
                Ok(binary) => {
                    functions += check(&path, &binary);
                    check_go(&path, &binary);
                    files += 1;
                }
                Err(BinaryError::NotElf) => {}
                Err(error) => println!("not compared: {}: {error}", path.display()),
            }
        }
    }
    (files, functions)
}

/// In Go's code the frame is as large as Go's compiler tells debuggers, too.
///
/// Those say nothing about rbp, and nothing true where a function moves to another stack or nothing called it.
fn check_go(path: &Path, binary: &Binary) {
    let Ok(sections) = Sections::read(binary) else {
        return;
    };
    let go_alone = Input {
        eh_frame: Section::default(),
        ..sections.input()
    };
    let bytes = &*fs::read(path).unwrap();
    let header = FileHeader64::<Endianness>::parse(bytes).unwrap();
    let endian = header.endian().unwrap();
    let headers = header.sections(endian, bytes).unwrap();
    let Some((_, section)) = headers.section_by_name(endian, b".debug_frame") else {
        return;
    };
    if go_alone.go_functions.data.is_empty() {
        return;
    }
    let told = rows_of(&Input {
        debug_frame: Section {
            address: section.sh_addr(endian),
            data: &read_section(binary.file(), endian, section, bytes).unwrap(),
        },
        go_functions: Section::default(),
        ..go_alone
    });
    let rows = rows_of(&go_alone);
    assert!(!rows.is_empty(), "{}", path.display());
    let cfa = |rule: Rule| rule.to_string().split(' ').next().map(str::to_owned);
    let (mut compared, mut different) = (0, 0);
    for (at, rule) in rows.iter() {
        if [Rule::OUTERMOST, Rule::NO_CFI, Rule::SIGNAL].contains(&rule) {
            continue;
        }
        let other = told.find(at);
        // C in the same file is told apart by being in another order.
        if other == Rule::NO_CFI {
            continue;
        }
        compared += 1;
        let same = cfa(rule) == cfa(other);
        if !same && different < 10 {
            println!("{}: {:x}: {rule}, told {other}", path.display(), at.0);
        }
        different += usize::from(!same);
    }
    println!(
        "{}: {compared} rows of Go, {different} different",
        path.display()
    );
    assert!(compared > 0 && different == 0);
}
