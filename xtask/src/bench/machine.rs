//! Where and with what the figures were made.

use std::fs;
use std::process::Command;

use crate::{command, workspace};

/// Name and value of each fact, in the order in which they are shown.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let uname = rustix::system::uname();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = value_in("/proc/cpuinfo", "model name", ':');
    vec![
        ("processor", format!("{processors} × {model}")),
        ("memory", value_in("/proc/meminfo", "MemTotal", ':')),
        (
            "kernel",
            format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
        ),
        ("system", value_in("/etc/os-release", "PRETTY_NAME", '=')),
        (
            "debug files of libc",
            if fs::exists("/usr/lib/debug/.build-id").unwrap_or(false) {
                "installed".to_owned()
            } else {
                "not installed".to_owned()
            },
        ),
        ("commit", commit()),
        ("compilers", compilers()),
    ]
}

/// The load averages, as they are now.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The date of today, in UTC.
pub(crate) fn today() -> anyhow::Result<String> {
    let mut date = Command::new("date");
    Ok(command::read(date.args(["-u", "+%F"]))?.trim().to_owned())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(workspace::root());
        command::read(&mut git)
    };
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--", ".", ":!benches/results"])
        .is_ok_and(|text| !text.is_empty());
    let changed = if changed { ", with changes" } else { "" };
    format!("{}{changed}", commit.trim())
}

fn compilers() -> String {
    let versions = [
        ["gcc", "--version"],
        ["rustc", "--version"],
        ["go", "version"],
        ["/usr/bin/python3", "--version"],
    ];
    let versions = versions.map(|[program, argument]| {
        let text = command::read(Command::new(program).arg(argument)).unwrap_or_default();
        text.lines().next().unwrap_or(program).to_owned()
    });
    versions.join("; ")
}

/// What follows `name` and the separator in a file of such lines.
pub(super) fn value_in(path: &str, name: &str, separator: char) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut values = text.lines().filter_map(|line| {
        let (found, value) = line.split_once(separator)?;
        (found.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    });
    values.next().unwrap_or_else(|| "unknown".to_owned())
}
