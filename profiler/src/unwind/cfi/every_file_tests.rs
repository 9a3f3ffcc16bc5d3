//! The comparison with gimli on all files of a machine; it takes minutes, so by hand.

use std::fs::File;
use std::path::PathBuf;

use super::oracle_tests::check;
use crate::binary::{Binary, BinaryError};

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
                    files += 1;
                }
                Err(BinaryError::NotElf) => {}
                Err(error) => println!("not compared: {}: {error}", path.display()),
            }
        }
    }
    (files, functions)
}
