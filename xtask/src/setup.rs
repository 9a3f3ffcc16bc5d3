//! `setup`: finds what this machine lacks and installs it; the second time it does nothing.
//!
//! What building needs, what testing needs in addition, and what the linter needs are three lists, so that
//! running the profiler does not install what only its tests use. A probe is a file, not a package name: what is
//! there already, however it came, is used.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::bpf_toolchain::{BpfToolchain, LINKER_VERSION};
use crate::{command, packages, workspace};

/// A thing that must be there, and the Debian package that brings it.
struct Wanted {
    probe: Probe,
    package: &'static str,
}

enum Probe {
    Program(&'static str),
    Path(&'static str),
}

/// cargo links with `cc`, and bpf-linker is linked with the C++ library of LLVM.
const FOR_BUILDING: &[Wanted] = &[
    Wanted {
        probe: Probe::Program("cc"),
        package: "gcc",
    },
    Wanted {
        probe: Probe::Program("c++"),
        package: "g++",
    },
];

/// Debian's, whichever others there are.
const PYTHON: Wanted = Wanted {
    probe: Probe::Path("/usr/bin/python3"),
    package: "python3",
};

const NODE: Wanted = Wanted {
    probe: Probe::Program("node"),
    package: "nodejs",
};

/// The target programs are built with two linkers and four compilers; pprof reads the profiles, with binutils; gdb makes
/// and reads core files, and says where the variables of a Python are.
const FOR_TESTS: &[Wanted] = &[
    Wanted {
        probe: Probe::Program("gdb"),
        package: "gdb",
    },
    PYTHON,
    // The page of the service is tested by itself, and in a browser.
    NODE,
    Wanted {
        probe: Probe::Program("chromium"),
        package: "chromium",
    },
    Wanted {
        probe: Probe::Program("chromedriver"),
        package: "chromium-driver",
    },
    // Gives a copy of the profiler its capabilities.
    Wanted {
        probe: Probe::Path("/usr/sbin/setcap"),
        package: "libcap2-bin",
    },
    Wanted {
        probe: Probe::Program("gcc"),
        package: "gcc",
    },
    Wanted {
        probe: Probe::Program("g++"),
        package: "g++",
    },
    Wanted {
        probe: Probe::Program("ld.lld"),
        package: "lld",
    },
    Wanted {
        probe: Probe::Program("objdump"),
        package: "binutils",
    },
    Wanted {
        probe: Probe::Program("go"),
        package: "golang-go",
    },
    Wanted {
        probe: Probe::Path("/usr/share/gocode/src/github.com/google/pprof/go.mod"),
        package: "golang-github-google-pprof-dev",
    },
];

/// The benchmark's Python program needs Debian's Python, whose libraries tell its phases apart; the debug files
/// of libc are what makes frames in it nameable, for all profilers alike. node is one of the programs whose stacks are
/// judged.
const FOR_BENCH: &[Wanted] = &[
    PYTHON,
    Wanted {
        probe: Probe::Path("/usr/lib/debug/.build-id"),
        package: "libc6-dbg",
    },
    NODE,
];

/// `cargo xtask setup`: everything for building, testing and linting.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    let toolchain = for_building()?;
    for_tests()?;
    for_lint(&toolchain)?;
    println!("all that building and testing need is here");
    Ok(())
}

/// The toolchain for BPF with its linker, installed if need be.
pub(crate) fn for_building() -> Result<BpfToolchain> {
    install(FOR_BUILDING)?;
    let toolchain = match BpfToolchain::find()? {
        Some(toolchain) => toolchain,
        None => {
            let wanted = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
            packages::install(
                &wanted.map(String::from),
                "a Rust toolchain for BPF is needed: a rustup nightly with its source \
                 (`rustup toolchain install nightly --component rust-src`) and the LLVM of the same major version \
                 with headers, in LLVM_PREFIX; or Debian's rustc-web, cargo-web and libstd-rust-web-dev-bpf",
            )?;
            BpfToolchain::find()?.context(
                "rustc-web is installed, but its core library for BPF is not where it should be",
            )?
        }
    };
    if !toolchain.linker().is_file() {
        build_linker(&toolchain)?;
    }
    Ok(toolchain)
}

/// What the end-to-end suite and its target programs need beyond building.
pub(crate) fn for_tests() -> Result<()> {
    install(FOR_TESTS)
}

/// What the benchmark's workloads need in addition; its peers it gets itself.
pub(crate) fn for_bench() -> Result<()> {
    for_tests()?;
    install(FOR_BENCH)
}

/// clippy for the toolchain that compiles the BPF programs.
pub(crate) fn for_lint(toolchain: &BpfToolchain) -> Result<()> {
    if toolchain.bin.join("cargo-clippy").is_file() || toolchain.build_std {
        return Ok(());
    }
    packages::install(
        &["rust-web-clippy".to_owned()],
        "clippy for /usr/bin/rustc is needed",
    )
}

fn install(list: &[Wanted]) -> Result<()> {
    let missing: Vec<String> = list
        .iter()
        .filter(|wanted| !wanted.probe.is_here())
        .map(|wanted| wanted.package.to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    packages::install(
        &missing,
        &format!("Debian calls them {}", missing.join(", ")),
    )
}

/// Builds `bpf-linker` from the registry into the target directory, against the compiler's LLVM.
fn build_linker(toolchain: &BpfToolchain) -> Result<()> {
    let llvm = toolchain.llvm;
    if !toolchain.has_linker() {
        bail!(
            "{}/rustc is built on LLVM {llvm}, which bpf-linker {LINKER_VERSION} does not know: \
             raise LINKER_VERSION in xtask/src/bpf_toolchain.rs",
            toolchain.bin.display()
        );
    }
    if toolchain.llvm_prefix().is_none() {
        let advice =
            format!("LLVM {llvm} with its headers is needed; LLVM_PREFIX says where it is");
        packages::install(&[format!("llvm-{llvm}-dev")], &advice)?;
    }
    let prefix = toolchain.llvm_prefix().with_context(|| {
        format!("llvm-{llvm}-dev is installed, but /usr/lib/llvm-{llvm} is not there")
    })?;
    eprintln!("building bpf-linker {LINKER_VERSION} with LLVM {llvm} (about a minute, once)");
    let build = workspace::tools().join("build");
    // The toolchain stays the one that runs xtask; its flags and its target directory do not.
    let chosen = std::env::var_os("RUSTUP_TOOLCHAIN");
    let mut cargo = command::host_cargo();
    command::isolate(&mut cargo);
    if let Some(chosen) = chosen {
        cargo.env("RUSTUP_TOOLCHAIN", chosen);
    }
    cargo
        .env("LLVM_PREFIX", prefix)
        .env("CARGO_TARGET_DIR", &build)
        .args([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
            "--quiet",
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm}"),
        ])
        .arg("--root")
        .arg(toolchain.linker_root());
    command::check(&mut cargo)?;
    // 300 MB that nobody needs again.
    std::fs::remove_dir_all(&build).with_context(|| format!("could not remove {}", build.display()))
}

impl Probe {
    fn is_here(&self) -> bool {
        match self {
            Self::Program(name) => command::find(name).is_some(),
            Self::Path(path) => Path::new(path).exists(),
        }
    }
}
