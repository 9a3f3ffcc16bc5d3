//! Starting other programs: errors that name the command, and an environment that does not leak.
//!
//! `cargo xtask` is itself run by cargo, which hands its own settings down as environment variables. An inner
//! cargo of the same toolchain may keep most of them; one of another toolchain must see none, or it compiles
//! with the wrong compiler, flags or target directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Settings of cargo that are about reaching registries or printing, not about what is compiled and how.
const HARMLESS: &[&str] = &[
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_TERM_",
    "CARGO_BUILD_JOBS",
];

/// Prefixes of what steers a build.
const STEERING: &[&str] = &["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "MAKEFLAGS"];

/// Single variables that steer a build or the programs it starts.
const STEERING_NAMES: &[&str] = &[
    "LD_LIBRARY_PATH",
    "LLVM_PREFIX",
    "MFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// What cargo tells a program about the package it belongs to.
const ABOUT_XTASK: &[&str] = &[
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_",
];

/// The cargo that runs this task, in the workspace's root and its own target directory.
pub(crate) fn host_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_xtask(&mut command);
    command
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target());
    command
}

/// Takes away what `cargo run` added to the environment for xtask alone.
pub(crate) fn forget_xtask(command: &mut Command) {
    for name in names_with(|name| ABOUT_XTASK.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    let Some(paths) = env::var_os("LD_LIBRARY_PATH") else {
        return;
    };
    let kept: Vec<PathBuf> = env::split_paths(&paths)
        .filter(|path| !is_cargos_library_path(path))
        .collect();
    match env::join_paths(kept) {
        Ok(paths) if !paths.is_empty() => command.env("LD_LIBRARY_PATH", paths),
        _ => command.env_remove("LD_LIBRARY_PATH"),
    };
}

/// Takes away everything that could steer a build by another toolchain than the one that runs xtask.
pub(crate) fn isolate(command: &mut Command) {
    for name in names_with(steers_a_build) {
        command.env_remove(name);
    }
}

/// Runs a command and fails unless it ended with status 0.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote to stdout, as text.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("could not start {}", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} ended with {}: {}",
            shown(command),
            output.status,
            stderr.trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not text", shown(command)))
}

/// The program and its arguments as one line to read, not to paste.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The first directory of `PATH` that holds `program`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// The same command as root: unchanged when this is root, through sudo otherwise, saying so.
///
/// `environment` names what has to get past sudo, which drops the rest.
pub(crate) fn as_root(program: &OsStr, environment: &[(&str, OsString)]) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        return Ok(command);
    }
    if find("sudo").is_none() {
        bail!(
            "{} needs root, and there is no sudo",
            program.to_string_lossy()
        );
    }
    eprintln!("running {} through sudo", program.to_string_lossy());
    let mut command = Command::new("sudo");
    if !environment.is_empty() {
        command.arg("env");
    }
    for (name, value) in environment {
        let mut assignment = OsString::from(name);
        assignment.push("=");
        assignment.push(value);
        command.arg(assignment);
    }
    command.arg(program);
    Ok(command)
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn names_with(wanted: impl Fn(&str) -> bool) -> Vec<OsString> {
    env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(&wanted))
        .collect()
}

fn steers_a_build(name: &str) -> bool {
    let steering =
        STEERING.iter().any(|prefix| name.starts_with(prefix)) || STEERING_NAMES.contains(&name);
    steering && !HARMLESS.iter().any(|prefix| name.starts_with(prefix))
}

/// `cargo run` puts the directories of build output and of the toolchain's libraries in front.
fn is_cargos_library_path(path: &Path) -> bool {
    path.starts_with(workspace::target())
        || path.components().any(|part| part.as_os_str() == "rustlib")
        || path.join("rustlib").is_dir()
}

#[cfg(test)]
mod tests {
    use super::steers_a_build;

    /// What chooses a compiler, its flags or its output is taken away; what reaches registries stays.
    #[test]
    fn only_settings_of_the_build_are_dropped() {
        for name in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MAKEFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
        ] {
            assert!(steers_a_build(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "CARGO_TERM_COLOR",
            "RUSTUP_HOME",
            "RUST_BACKTRACE",
            "PATH",
        ] {
            assert!(!steers_a_build(name), "{name}");
        }
    }
}
