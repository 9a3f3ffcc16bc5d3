//! Builds programs with the machine's compilers and asks binutils about them.
//!
//! What is expected of the answers is left to the tests. A missing tool fails the test that needs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::super::{Detail, Function, Named, Options, Source, Symbolizer};
use crate::addr::ElfAddr;
use crate::binary::Binary;

/// A directory for programs and what belongs to them, removed at the end of the test.
pub(super) struct Workshop(TempDir);

/// One line of an answer in binutils' terms: linker's name, file, line.
pub(super) type Frame = (String, String, u32);

impl Workshop {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Builds `programs/<source>` into `<output>`.
    pub(super) fn build(&self, source: &str, output: &str, flags: &[&str]) -> PathBuf {
        let path = self.path(output);
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/symbolize/tests/programs");
        let compiler = match source.rsplit_once('.') {
            Some((_, "c")) => "gcc",
            Some((_, "cc")) => "g++",
            _ => "rustc",
        };
        let mut command = Command::new(compiler);
        // rustc's older mangling is an unstable option once it is no longer the default.
        command.env("RUSTC_BOOTSTRAP", "1");
        command
            .args(flags)
            .arg("-o")
            .arg(&path)
            .arg(directory.join(source));
        run(&mut command);
        path
    }

    /// Runs a tool in the directory.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> String {
        run(Command::new(program)
            .args(arguments)
            .current_dir(self.0.path()))
    }

    /// Only these directories are searched for debug files: the machine's own must not help.
    pub(super) fn options(&self) -> Options {
        Options {
            debug_dirs: vec![self.path("debug")],
            ..Options::default()
        }
    }
}

/// What a tool prints; a tool that is missing or fails is a failed test.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: this test needs gcc, g++, rustc, binutils and xz")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {errors}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Addresses all through the functions whose symbols `wanted` chooses.
pub(super) fn addresses(program: &Path, wanted: impl Fn(&str) -> bool) -> Vec<ElfAddr> {
    let symbols = run(Command::new("nm")
        .args(["-S", "--defined-only"])
        .arg(program));
    let mut addresses = Vec::new();
    for line in symbols.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let [start, size, "t" | "T" | "w" | "W", name] = fields[..]
            && wanted(name)
        {
            let start = u64::from_str_radix(start, 16).unwrap();
            let size = u64::from_str_radix(size, 16).unwrap();
            addresses.extend((start..start + size).step_by(3).map(ElfAddr));
        }
    }
    assert!(
        !addresses.is_empty(),
        "{} has no such function",
        program.display()
    );
    addresses
}

/// Whether a symbol is of a program's own function and not of what the C library adds.
pub(super) fn own(name: &str) -> bool {
    let of_rust = name.contains("8generics") || name.contains("LT$generics");
    let of_cpp = name.starts_with("_Z") && !name.contains("17h");
    ["main", "outer", "outer.cold", "outline"].contains(&name) || of_cpp || of_rust
}

/// What `addr2line` says about each address.
pub(super) fn addr2line(program: &Path, addresses: &[ElfAddr]) -> Vec<Vec<Frame>> {
    let mut command = Command::new("addr2line");
    command.args(["-a", "-f", "-i", "-e"]).arg(program);
    command.args(addresses.iter().map(|address| format!("{address:#x}")));
    let output = run(&mut command);
    let mut answers: Vec<Vec<Frame>> = Vec::new();
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let position = lines
            .next()
            .unwrap()
            .split(" (discriminator")
            .next()
            .unwrap();
        let (file, number) = position.rsplit_once(':').unwrap();
        let file = if file == "??" { "" } else { file };
        answers.last_mut().unwrap().push((
            line.to_owned(),
            file.to_owned(),
            number.parse().unwrap_or(0),
        ));
    }
    answers
}

/// The symbolizer's answers for a file.
pub(super) fn names(
    program: &Path,
    detail: Detail,
    options: Options,
    addresses: &[ElfAddr],
) -> Vec<Named> {
    let binary = Arc::new(Binary::open(program).unwrap());
    Symbolizer::new(detail, options).symbolize(&Source::Binary(binary), addresses)
}

/// An answer in binutils' terms.
pub(super) fn frames(named: &Named) -> Vec<Frame> {
    let frame = |function: &Function| {
        let function = function.clone();
        (function.system_name, function.file, function.line)
    };
    named.iter().flatten().map(frame).collect()
}
