//! Builds the `profiler` program with the BPF object in it, for the tasks that run or install it.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, ebpf, workspace};

/// Builds what has changed and returns the program's path.
pub(crate) fn build() -> Result<PathBuf> {
    ebpf::build()?;
    let mut cargo = command::host_cargo();
    cargo.args(["build", "--release", "--package", "profiler", "--locked"]);
    command::check(&mut cargo)?;
    Ok(workspace::target().join("release/profiler"))
}
