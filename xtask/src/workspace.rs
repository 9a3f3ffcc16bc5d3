//! Where things lie in this repository and in its target directory.
//!
//! What a task makes for others to find has a fixed place under `target/`, whatever `CARGO_TARGET_DIR` says: the
//! build script of the profiler looks for the BPF object there.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context, Result};

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace")
        .to_owned()
}

/// The workspace's own target directory.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Programs that tasks build for themselves.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The BPF object, as `profiler/build.rs` looks for it.
pub(crate) fn bpf_object() -> PathBuf {
    target().join("bpf/profiler-ebpf.o")
}

/// Options for a compiler that replace the places of this machine in what it writes: those of the repository and of other
/// people's crates.
pub(crate) fn path_prefixes(option: &str) -> Vec<String> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut prefixes = vec![format!("{option}={}=/profiler", root().display())];
    prefixes.extend(home.map(|home| format!("{option}={}=/cargo", home.display())));
    prefixes
}

/// Whether this is a CI run, where a skipped test is a failure.
pub(crate) fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// All files below `directory` but build output, sorted, so that what is made of them is the same each time.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("could not list {}", directory.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("could not list {}", directory.display()))?;
            if entry.file_type()?.is_dir() {
                if entry.file_name() != "target" {
                    pending.push(entry.path());
                }
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The time of the last change of a file, `None` when there is no such file.
pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
