//! `build-ebpf`: the BPF object, from source, with a toolchain of its own.
//!
//! The object ends up where `profiler/build.rs` looks for it and is never committed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::bpf_object;
use crate::bpf_toolchain::{BpfToolchain, TARGET};
use crate::{command, setup, workspace};

/// The sources whose change makes the object old; `profiler/build.rs` has the same list.
const SOURCES: &[&str] = &["profiler-ebpf", "profiler-common"];

/// Separates the arguments in `CARGO_ENCODED_RUSTFLAGS`.
const UNIT_SEPARATOR: &str = "\x1f";

/// `cargo xtask build-ebpf`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    build()?;
    Ok(())
}

/// Builds the object if anything has changed, checks it, and returns where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let toolchain = setup::for_building()?;
    let mut cargo = cargo(&toolchain, "cargo", "build");
    command::check(cargo.args(["--release", "--quiet"]))?;

    let built = target_dir().join(TARGET).join("release/profiler-ebpf");
    let bytes = fs::read(&built).with_context(|| format!("could not read {}", built.display()))?;
    let place = workspace::bpf_object();
    let programs = bpf_object::check(&bytes)
        .with_context(|| format!("{} cannot be loaded", built.display()))?;
    if is_outdated(&place, &bytes)? {
        put(&bytes, &place)?;
        println!("{}: {programs}", place.display());
    }
    Ok(place)
}

/// A cargo command on the BPF programs: `build` of cargo, or `clippy` of cargo-clippy.
pub(crate) fn cargo(toolchain: &BpfToolchain, program: &str, verb: &str) -> Command {
    let mut cargo = toolchain.command(program);
    // `asm` for another target, `core` for this one: flags by environment would also reach build scripts if
    // there were no --target.
    let mut flags = vec![
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", toolchain.linker().display()),
    ];
    // The object is the same wherever it is built.
    flags.extend(workspace::path_prefixes("--remap-path-prefix"));
    cargo
        .arg(verb)
        .args(["--package", "profiler-ebpf", "--locked", "--target", TARGET])
        .env("CARGO_TARGET_DIR", target_dir())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(UNIT_SEPARATOR))
        // BTF is made from full debug information, and bpf-linker does the whole link-time optimization.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    if toolchain.build_std {
        cargo.args(["-Z", "build-std=core"]);
    }
    cargo
}

/// Apart from the other builds: two toolchains in one directory would throw each other's work away.
fn target_dir() -> PathBuf {
    workspace::target().join("bpf-build")
}

/// Whether the object in its place is another one, or older than a source.
///
/// The second happens with a change that does not reach the code, a comment for instance. The build script of
/// the profiler goes by time, so the object has to be renewed then too.
fn is_outdated(place: &Path, bytes: &[u8]) -> Result<bool> {
    let Some(placed) = workspace::modified(place) else {
        return Ok(true);
    };
    if placed < newest_source()? {
        return Ok(true);
    }
    Ok(fs::read(place).with_context(|| format!("could not read {}", place.display()))? != bytes)
}

fn newest_source() -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for directory in SOURCES {
        for file in workspace::files_below(&workspace::root().join(directory))? {
            newest = newest.max(workspace::modified(&file).unwrap_or(newest));
        }
    }
    Ok(newest)
}

/// Writes beside and renames, so that nobody embeds half an object.
fn put(bytes: &[u8], place: &Path) -> Result<()> {
    let directory = place.parent().expect("the object lies in a directory");
    let mut beside = OsString::from(place);
    beside.push(".new");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&beside, bytes))
        .and_then(|()| fs::rename(&beside, place))
        .with_context(|| format!("could not write {}", place.display()))
}
