//! The compiler and the linker for the BPF target: which of those on this machine work together.
//!
//! Stable Rust from rustup has no `core` for BPF. Two toolchains can do: a rustup nightly with rust-src, which
//! builds `core` itself, and Debian's `rustc-web`, for which there is a package with `core` ready built. Either
//! needs a `bpf-linker` made with the same LLVM, because the two exchange LLVM bitcode.
//! Installing what is missing is left to `setup`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::{command, workspace};

/// The target triple of the object: little-endian BPF, as on every machine the profiler supports.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// The `bpf-linker` that is built; one version, so that everybody gets the same object.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

/// The LLVM versions that this `bpf-linker` has a feature for.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// A compiler that can make BPF bitcode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BpfToolchain {
    /// The directory of `rustc` and `cargo`.
    pub(crate) bin: PathBuf,
    /// The major version of its LLVM.
    pub(crate) llvm: u32,
    /// Whether `core` has to be built from source.
    pub(crate) build_std: bool,
}

impl BpfToolchain {
    /// The first toolchain that works, looking at a nightly of rustup before Debian's.
    pub(crate) fn find() -> Result<Option<Self>> {
        for bin in nightlies_with_source() {
            let toolchain = Self::at(bin, true)?;
            // A nightly is often ahead of the LLVM that can be had as a package; then it is of no use here.
            if toolchain.linker().is_file() || toolchain.llvm_prefix().is_some() {
                return Ok(Some(toolchain));
            }
        }
        if debian_core().is_none() || !Path::new("/usr/bin/cargo").is_file() {
            return Ok(None);
        }
        Self::at(PathBuf::from("/usr/bin"), false).map(Some)
    }

    fn at(bin: PathBuf, build_std: bool) -> Result<Self> {
        let mut rustc = Command::new(bin.join("rustc"));
        command::isolate(&mut rustc);
        let version = command::read(rustc.arg("-vV"))?;
        let llvm = llvm_of(&version)
            .with_context(|| format!("{}/rustc -vV names no LLVM version", bin.display()))?;
        Ok(Self {
            bin,
            llvm,
            build_std,
        })
    }

    /// Where the linker for this toolchain is, or would be: one place per version of it and of LLVM.
    pub(crate) fn linker(&self) -> PathBuf {
        self.linker_root().join("bin/bpf-linker")
    }

    /// What `cargo install --root` gets.
    pub(crate) fn linker_root(&self) -> PathBuf {
        workspace::tools().join(format!("bpf-linker-{LINKER_VERSION}-llvm-{}", self.llvm))
    }

    /// Whether a `bpf-linker` can be built for this toolchain at all.
    pub(crate) fn has_linker(&self) -> bool {
        LINKER_LLVM.contains(&self.llvm)
    }

    /// The LLVM of the right version with its headers, if it is installed.
    pub(crate) fn llvm_prefix(&self) -> Option<PathBuf> {
        let named = env::var_os("LLVM_PREFIX").map(PathBuf::from);
        let named = named.filter(|prefix| llvm_config_says(prefix, self.llvm));
        // The places of Debian and of Fedora.
        let usual = [
            PathBuf::from(format!("/usr/lib/llvm-{}", self.llvm)),
            PathBuf::from(format!("/usr/lib64/llvm{}", self.llvm)),
        ];
        named.or_else(|| {
            usual.into_iter().find(|prefix| {
                prefix.join("bin/llvm-config").is_file() && prefix.join("include/llvm-c").is_dir()
            })
        })
    }

    /// A command of this toolchain (`cargo`, `cargo-clippy`) that sees nothing of the cargo that runs xtask.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command::isolate(&mut command);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.bin.clone()).chain(env::split_paths(&path));
        if let Ok(path) = env::join_paths(path) {
            command.env("PATH", path);
        }
        command
            .current_dir(workspace::root())
            .env("CARGO", self.bin.join("cargo"))
            .env("RUSTC", self.bin.join("rustc"))
            // Overrides a wrapper that somebody's cargo configuration names.
            .env("RUSTC_WRAPPER", "");
        if !self.build_std {
            // Debian's is a release compiler, and aya-ebpf names unstable features.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

fn llvm_of(version: &str) -> Option<u32> {
    let (_, version) = version.split_once("LLVM version: ")?;
    version.split(['.', '\n']).next()?.trim().parse().ok()
}

fn llvm_config_says(prefix: &Path, major: u32) -> bool {
    command::read(Command::new(prefix.join("bin/llvm-config")).arg("--version"))
        .is_ok_and(|version| version.starts_with(&format!("{major}.")))
}

/// The directories of the nightlies that rustup has, where rust-src is installed too.
fn nightlies_with_source() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok()) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("nightly"))
                && path.join("lib/rustlib/src/rust/library/core").is_dir()
        })
        .map(|path| path.join("bin"))
        .collect();
    // "nightly-x86_64-…" sorts behind the dated ones and is the newest.
    found.sort();
    found.reverse();
    found
}

/// The ready `core` of Debian's package for BPF.
fn debian_core() -> Option<PathBuf> {
    let directory = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
}

#[cfg(test)]
mod tests {
    use super::llvm_of;

    /// The LLVM number is the major one of the line that `rustc -vV` ends with.
    #[test]
    fn llvm_number_is_read_from_the_compilers_version() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_of(version), Some(22));
        assert_eq!(llvm_of("rustc 1.96.0\nLLVM version: 23\n"), Some(23));
        assert_eq!(llvm_of("rustc 1.96.0\n"), None);
        assert_eq!(llvm_of("LLVM version: unknown\n"), None);
    }
}
