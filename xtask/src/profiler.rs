//! Builds the `profiler` program with the BPF object in it, for the tasks that run, install or hand it out.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, ebpf, workspace};

/// Builds what has changed, for the machine that this is, and returns the program's path.
pub(crate) fn build() -> Result<PathBuf> {
    ebpf::build()?;
    let mut cargo = command::host_cargo();
    cargo.args(["build", "--release", "--package", "profiler", "--locked"]);
    command::check(&mut cargo)?;
    Ok(workspace::target().join("release/profiler"))
}

/// The target of the program that is handed out; named so that build scripts keep the flags of the host.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the program that is handed out, which tests try, too, and returns its path: with the C library in it, so that it
/// runs on every distribution, without symbols, and without the places where it was built, so that these do not matter.
///
/// Not for musl, for which Debian's and rustup's toolchains would have to be installed beside the one that is here, and
/// whose allocator is slow; not dynamic against an old glibc, which needs another linker and does not run on Alpine. What
/// a static glibc cannot do is in `profiler/src/name_services.rs`.
pub(crate) fn build_static() -> Result<PathBuf> {
    ebpf::build()?;
    let mut flags = workspace::path_prefixes("--remap-path-prefix");
    flags.push("-Ctarget-feature=+crt-static".to_owned());
    let mut cargo = command::host_cargo();
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env(
            "CFLAGS",
            workspace::path_prefixes("-ffile-prefix-map").join(" "),
        )
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .args(["build", "--release", "--package", "profiler", "--locked"])
        .args(["--target", TARGET]);
    command::check(&mut cargo)?;
    let directory = workspace::target().join(TARGET);
    Ok(directory.join("release/profiler"))
}
