//! Generates `profiler/src/pprof/proto.rs` from `proto/profile.proto`, or checks that the two agree.
//!
//! protox parses the file, so no protobuf compiler is needed; the result is committed, so that building the
//! profiler needs neither. What is written into the messages is `profiler::pprof`'s business.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Where the format is described, from the root of the workspace.
const PROTO: &str = "proto/profile.proto";
/// What is generated from it.
const GENERATED: &str = "profiler/src/pprof/proto.rs";

/// Writes the generated file; with `--check`, only fails when it differs from what would be written.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!(
            "codegen takes no argument but --check, got: {}",
            args.join(" ")
        ),
    };
    let root = workspace_root();
    let generated = generate(&root)?;
    let path = root.join(GENERATED);
    if check {
        return compare(&path, &generated);
    }
    fs::write(&path, generated).with_context(|| format!("failed to write {}", path.display()))
}

fn workspace_root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The Rust source for the messages, formatted as the rest of the workspace is.
fn generate(root: &Path) -> anyhow::Result<String> {
    let proto = root.join(PROTO);
    let folder = proto.parent().expect("a path of two parts has a parent");
    let descriptors = protox::compile([&proto], [folder])
        .with_context(|| format!("failed to parse {}", proto.display()))?;
    let out = tempfile::tempdir().context("failed to make a temporary directory")?;
    prost_build::Config::new()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .context("failed to generate Rust from the descriptors")?;
    let file = out.path().join("perftools.profiles.rs");
    rustfmt(root, &file)?;
    let body = fs::read_to_string(&file)
        .with_context(|| format!("failed to read what was generated, {}", file.display()))?;
    Ok(format!(
        "//! The messages of the pprof format, generated from `{PROTO}` by `cargo xtask codegen`: do not edit.\n\
         //!\n//! What to put into them is left to the rest of [`crate::pprof`].\n\n{body}"
    ))
}

/// `rustfmt` is part of the toolchain that `cargo xtask lint` needs as well; without it the check of the
/// format would find fault with the generated file.
fn rustfmt(root: &Path, file: &Path) -> anyhow::Result<()> {
    let status = Command::new("rustfmt")
        .arg("--config-path")
        .arg(root)
        .args(["--edition", "2024"])
        .arg(file)
        .status()
        .context("failed to run rustfmt; `rustup component add rustfmt` installs it")?;
    if !status.success() {
        bail!("rustfmt refused the generated {}: {status}", file.display());
    }
    Ok(())
}

fn compare(path: &Path, generated: &str) -> anyhow::Result<()> {
    let committed =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let Some(line) = first_difference(&committed, generated) else {
        return Ok(());
    };
    bail!(
        "{} is not what {PROTO} generates (first difference in line {line}); run `cargo xtask codegen` and commit",
        path.display()
    );
}

/// The number of the first line in which the two differ.
fn first_difference(left: &str, right: &str) -> Option<usize> {
    if left == right {
        return None;
    }
    let common = left
        .lines()
        .zip(right.lines())
        .take_while(|(a, b)| a == b)
        .count();
    Some(common + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed, a missing and a surplus line are found, and equal texts have no difference.
    #[test]
    fn differences_are_found_by_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a\nb\n", "a\n"), Some(2));
    }

    /// The committed file is what the committed description generates.
    #[test]
    fn committed_messages_are_current() {
        run(&["--check".to_owned()]).unwrap();
    }

    /// A file that was edited by hand is refused, with the command that mends it.
    #[test]
    fn edited_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proto.rs");
        fs::write(&path, "edited\n").unwrap();
        let error = compare(&path, "generated\n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        assert!(error.contains("cargo xtask codegen"), "{error}");
    }
}
