//! `lint`: formatting and clippy, warnings being errors, for both sides with the toolchain of each.

use anyhow::{Context, Result, bail};

use crate::{command, ebpf, setup};

/// `cargo xtask lint`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    let mut format = command::host_cargo();
    command::check(format.args(["fmt", "--all", "--check"]))
        .context("`cargo fmt --all` puts the formatting right")?;

    let mut clippy = command::host_cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--exclude",
        "profiler-ebpf",
        "--all-targets",
        "--locked",
    ]);
    command::check(clippy.args(["--", "-D", "warnings"]))?;

    let toolchain = setup::for_building()?;
    setup::for_lint(&toolchain)?;
    // `cargo-clippy` by its path, because cargo looks for its subcommands in ~/.cargo/bin first, where rustup
    // keeps the clippy of another toolchain.
    let mut clippy = ebpf::cargo(&toolchain, "cargo-clippy", "clippy");
    command::check(clippy.args(["--release", "--", "-D", "warnings"]))
        .context("the BPF programs have warnings")
}
