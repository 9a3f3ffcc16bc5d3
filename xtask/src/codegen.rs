//! Generates Rust for the messages in `proto/`, or checks that the committed code agrees with them.
//!
//! protox parses the files, so no protobuf compiler is needed; the result is committed, so that building the
//! profiler needs neither. What is written into the messages is the business of `profiler::pprof` and of
//! `profiler::output::push`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// One file that is generated.
struct Job {
    /// The descriptions, below `proto/`.
    protos: &'static [&'static str],
    /// What is generated, from the root of the workspace.
    generated: &'static str,
    /// The documentation of the module.
    about: &'static str,
    /// Whether packages become modules within each other; otherwise there is one, and its messages lie bare.
    nested: bool,
}

/// All that is generated, from the root of the workspace.
pub(crate) const GENERATED: [&str; 2] = [
    "profiler/src/pprof/proto.rs",
    "profiler/src/output/push/proto.rs",
];

const JOBS: &[Job] = &[
    Job {
        protos: &["profile.proto"],
        generated: GENERATED[0],
        about: "//! The messages of the pprof format, generated from `proto/profile.proto` by `cargo xtask codegen`: do not \
                edit.\n//!\n//! What to put into them is left to the rest of [`crate::pprof`].\n",
        nested: false,
    },
    Job {
        protos: &[
            "opentelemetry/proto/collector/profiles/v1development/profiles_service.proto",
            "parca/profilestore/v1alpha1/profilestore.proto",
            "push/v1/push.proto",
        ],
        generated: GENERATED[1],
        about: "//! The messages and calls of the receivers of pushes, generated from the descriptions in `proto/` by \
                `cargo xtask codegen`: do not edit.\n//!\n//! What to put into them is left to the rest of \
                [`crate::output::push`]; servers are for tests.\n",
        nested: true,
    },
];

/// Writes the generated files; with `--check`, only fails when one differs from what would be written.
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
    for job in JOBS {
        let generated = generate(&root, job)?;
        let path = root.join(job.generated);
        if check {
            compare(&path, &generated)?;
        } else {
            fs::write(&path, generated)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
    }
    Ok(())
}

fn workspace_root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The Rust source for the messages, formatted as the rest of the workspace is.
fn generate(root: &Path, job: &Job) -> anyhow::Result<String> {
    let folder = root.join("proto");
    let protos = job.protos.iter().map(|proto| folder.join(proto));
    let descriptors = protox::compile(protos, [&folder])
        .with_context(|| format!("failed to parse {}", job.protos.join(", ")))?;
    let out = tempfile::tempdir().context("failed to make a temporary directory")?;
    tonic_prost_build::configure()
        .out_dir(out.path())
        .build_transport(false)
        .server_mod_attribute(".", "#[cfg(test)]")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .context("failed to generate Rust from the descriptors")?;
    let body = if job.nested {
        packages(out.path())?.source()
    } else {
        single_package(out.path())?
    };
    let file = out.path().join("all.rs");
    fs::write(&file, body).with_context(|| format!("failed to write {}", file.display()))?;
    rustfmt(root, &file)?;
    let body = fs::read_to_string(&file)
        .with_context(|| format!("failed to read what was generated, {}", file.display()))?;
    Ok(format!("{}\n{body}", job.about))
}

/// Code of packages, by the parts of their names.
#[derive(Default)]
struct Package {
    code: String,
    within: BTreeMap<String, Package>,
}

impl Package {
    /// Modules within each other, as the generated paths expect them.
    fn source(&self) -> String {
        let mut source = self.code.clone();
        for (name, package) in &self.within {
            // Writing to a String does not fail.
            let _ = writeln!(source, "pub mod {name} {{\n{}}}", package.source());
        }
        source
    }
}

/// What was generated, a file for each package.
fn packages(out: &Path) -> anyhow::Result<Package> {
    let mut all = Package::default();
    for (name, code) in generated_files(out)? {
        let mut package = &mut all;
        for part in name.split('.') {
            package = package.within.entry(part.to_owned()).or_default();
        }
        package.code = code;
    }
    Ok(all)
}

fn single_package(out: &Path) -> anyhow::Result<String> {
    let mut files = generated_files(out)?;
    match (files.pop_first(), files.len()) {
        (Some((_, code)), 0) => Ok(code),
        _ => bail!("not one package was generated; describe it with `nested`"),
    }
}

/// The code of each package.
fn generated_files(out: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(out).context("failed to list what was generated")? {
        let path = entry.context("failed to list what was generated")?.path();
        let code = fs::read_to_string(&path)
            .with_context(|| format!("failed to read what was generated, {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default();
        files.insert(name.to_string_lossy().into_owned(), code);
    }
    Ok(files)
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
        "{} is not what proto/ generates (first difference in line {line}); run `cargo xtask codegen` and commit",
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

    /// The committed files are what the committed descriptions generate.
    #[test]
    fn committed_messages_are_current() {
        run(&["--check".to_owned()]).unwrap();
    }

    /// Packages become modules where the generated paths look for them.
    #[test]
    fn packages_are_nested() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.b.rs"), "struct B;\n").unwrap();
        fs::write(folder.path().join("a.rs"), "struct A;\n").unwrap();
        assert_eq!(
            packages(folder.path()).unwrap().source(),
            "pub mod a {\nstruct A;\npub mod b {\nstruct B;\n}\n}\n"
        );
        assert!(single_package(folder.path()).is_err());
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
