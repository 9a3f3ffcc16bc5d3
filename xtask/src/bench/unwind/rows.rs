//! Making rows: of libc, of large programs and libraries, and of all that runs on this machine.
//!
//! The timing itself is `profiler/benches/cfi.rs`; each file is in the page cache.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Plan, goal};
use crate::command;

/// What making the rows of one file took, with arranging them in pages.
struct Timed {
    file: PathBuf,
    ms: f64,
    rows: u64,
    bytes: u64,
}

/// Measures and tells.
pub(super) fn measure(_plan: &Plan) -> Result<String> {
    let libc = PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6");
    let node = command::find("node");
    let libraries = rustc_libraries()?;
    let mut files: BTreeSet<PathBuf> = running_binaries();
    let running = files.len();
    let in_use = files.clone();
    files.insert(libc.clone());
    files.extend(node.clone());
    files.extend(libraries.clone());
    eprintln!("rows: {running} binaries in use, {} files", files.len());
    let timed = time(&files)?;
    let find = |wanted: &Path| timed.iter().find(|timed| timed.file == wanted);
    let mut text = format!(
        "\n## Making rows\n\n`cargo bench -p profiler --bench cfi`, fastest of five runs, one thread, files in the page cache; the largest ten \
         of {}.\n\n| file | MB | rows | KiB in the kernel | ms |\n| --- | --- | --- | --- | --- |\n",
        timed.len()
    );
    let mut largest: Vec<&Timed> = timed.iter().collect();
    largest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    for timed in largest.iter().take(10).copied().chain(find(&libc)) {
        let size = fs::metadata(&timed.file).map_or(0, |data| data.len());
        let name = timed.file.file_name().unwrap_or_default().to_string_lossy();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {:.1} |",
            size / 1_000_000,
            timed.rows,
            timed.bytes / 1024,
            timed.ms
        );
    }
    let large = libraries
        .iter()
        .filter_map(|file| find(file))
        .map(|timed| timed.ms);
    let all: f64 = timed
        .iter()
        .filter(|timed| in_use.contains(&timed.file))
        .map(|timed| timed.ms)
        .sum();
    text += "\n";
    text += &goal("libc.so.6", find(&libc).map(|timed| timed.ms), 2.0, "ms");
    text += &goal(
        "node",
        node.and_then(|node| Some(find(&node)?.ms)),
        15.0,
        "ms",
    );
    text += &goal(
        "a library of 200 MB (rustc's)",
        large.reduce(f64::max),
        60.0,
        "ms",
    );
    text += &goal(
        &format!("all {running} binaries of the running processes"),
        Some(all),
        500.0,
        "ms",
    );
    Ok(text)
}

/// The files that are mapped executable somewhere, as far as they can be opened by their names.
fn running_binaries() -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return files;
    };
    for process in processes.flatten() {
        let Ok(maps) = fs::read_to_string(process.path().join("maps")) else {
            continue;
        };
        let executable = maps.lines().filter(|line| {
            line.get(26..).is_some_and(|rest| rest.contains("xp ")) || line.contains("r-xp ")
        });
        files.extend(executable.filter_map(|line| {
            let path = PathBuf::from(line.get(line.find('/')?..)?);
            path.is_file().then_some(path)
        }));
    }
    files
}

/// The large libraries of the compiler that this was built with.
fn rustc_libraries() -> Result<Vec<PathBuf>> {
    let sysroot = command::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let directory = Path::new(sysroot.trim()).join("lib");
    let entries = fs::read_dir(&directory)
        .with_context(|| format!("could not read {}", directory.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files
        // Beside the libraries lie linker scripts under similar names.
        .filter(|file| fs::metadata(file).is_ok_and(|data| data.len() > 1 << 20))
        .collect())
}

fn time(files: &BTreeSet<PathBuf>) -> Result<Vec<Timed>> {
    let mut cargo = command::host_cargo();
    cargo.args(["bench", "--package", "profiler", "--bench", "cfi", "--"]);
    let printed = command::read(cargo.args(files))?;
    let timed = printed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let [rows_ms, table_ms, _, rows, bytes] = std::array::from_fn(|_| words.next());
        let ms = rows_ms?.parse::<f64>().ok()? + table_ms?.parse::<f64>().ok()?;
        Some(Timed {
            file: line.get(line.find(" /")? + 1..)?.into(),
            ms,
            rows: rows?.parse().ok()?,
            bytes: bytes?.parse().ok()?,
        })
    });
    Ok(timed.collect())
}
