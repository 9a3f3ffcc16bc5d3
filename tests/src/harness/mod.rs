//! Starts target programs and the profiler, and decides whether a test can run here.
//!
//! Where things are comes from the environment that `cargo xtask test` sets; without it, from the folders beside the
//! running test. What a profile ought to hold is left to [`crate::cases`].

mod browser;
mod cgroup;
mod core_dump;
mod http;
mod machine;
mod recording;
mod report;
mod service;

mod setting;
mod silent_files;
mod stacks;
mod target;
mod uprobe;

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use browser::{Browser, screenshots};
pub(crate) use cgroup::{Cgroup, enter};
pub(crate) use core_dump::{CoreReport, gdb_core, gdb_stacks, kernel_core};
pub(crate) use http::Client;
pub(crate) use machine::{alone, shared, skip};
pub(crate) use recording::{Recorder, Recording, Running};
pub(crate) use report::Report;
pub(crate) use service::{
    Service, WindowFile, assert_adjoining, assert_each_sample_once, count_of, number_before,
    windows,
};
pub(crate) use setting::Setting;
pub(crate) use silent_files::{Silence, SilentFiles};
pub(crate) use stacks::{Stacks, assert_about};
pub(crate) use target::Target;
pub(crate) use uprobe::Uprobe;

/// The program under test.
pub(crate) fn profiler() -> PathBuf {
    place("PROFILER_BIN", "x86_64-unknown-linux-gnu/release/profiler")
}

/// A compiled target program.
pub(crate) fn fixture(name: &str) -> PathBuf {
    place("PROFILER_FIXTURES", "fixtures").join(name)
}

/// What a command prints, which must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Copies a program that is to be run. By a process of its own: a descriptor for writing that another thread's child
/// has inherited would make the kernel refuse to run the copy (`ETXTBSY`).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    output(Command::new("cp").args([from, to]));
}

/// The GNU build-id of a file as `readelf -n` prints it.
pub(crate) fn build_id(file: &Path) -> Option<String> {
    let notes = output(Command::new("readelf").arg("-n").arg(file));
    let id = notes.lines().find_map(|line| line.split_once("Build ID: "));
    id.map(|(_, id)| id.trim().to_owned())
}

/// The value of a symbol as `nm` prints it.
pub(crate) fn symbol_value(program: &Path, symbol: &str) -> u64 {
    let symbols = output(Command::new("nm").arg(program));
    let mut fields = symbols
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let value = fields.find_map(|fields| match fields[..] {
        [value, _, name] if name == symbol => u64::from_str_radix(value, 16).ok(),
        _ => None,
    });
    value.unwrap_or_else(|| panic!("no {symbol} in {}", program.display()))
}

fn place(variable: &str, beside: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let test = std::env::current_exe().expect("the running test has a path");
    let found = test
        .ancestors()
        .map(|folder| folder.join(beside))
        .find(|place| place.exists());
    found.unwrap_or_else(|| {
        panic!(
            "no {beside} beside the build results; `cargo xtask test` makes it, {variable} names it"
        )
    })
}
