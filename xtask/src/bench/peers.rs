//! Gets the other profilers: perf as a package, samply from the registry.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{command, packages, workspace};

/// One version, so that figures of different days can be compared.
const SAMPLY_VERSION: &str = "0.13.1";

/// Debian's perf, installed if need be.
pub(super) fn perf() -> Result<PathBuf> {
    if command::find("perf").is_none() {
        packages::install(&["linux-perf".to_owned()], "Debian calls it linux-perf")?;
    }
    command::find("perf").context("linux-perf is installed, but there is no program `perf`")
}

/// samply, built into the target directory if need be.
pub(super) fn samply() -> Result<PathBuf> {
    let root = workspace::tools().join(format!("samply-{SAMPLY_VERSION}"));
    let program = root.join("bin/samply");
    if !program.is_file() {
        eprintln!("building samply {SAMPLY_VERSION} (some minutes, once)");
        let build = workspace::tools().join("build");
        let mut cargo = command::host_cargo();
        cargo
            .env("CARGO_TARGET_DIR", &build)
            .args(["install", "samply", "--version", SAMPLY_VERSION])
            .args(["--locked", "--quiet", "--root"])
            .arg(&root);
        command::check(&mut cargo)?;
        fs::remove_dir_all(&build)
            .with_context(|| format!("could not remove {}", build.display()))?;
    }
    ensure!(
        program.is_file(),
        "cargo installed no {}",
        program.display()
    );
    Ok(program)
}
