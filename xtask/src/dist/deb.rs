//! The Debian package, made by `dpkg-deb`: the same files where Debian has them, and scripts that tell systemd.
//!
//! cargo-deb would do the same from a table in `Cargo.toml`, after five minutes of compiling it; what it does beyond
//! `dpkg-deb` (the libraries that a program depends on) a static program does not need.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Contents, empty, gzip, read, write as write_file};
use crate::{command, workspace};

/// The revision of the package, behind the version of what is packed.
const REVISION: &str = "1";

/// Where what is below the prefix of the tarball goes; the first that fits. `None`: it goes nowhere.
const PLACES: &[(&str, Option<&str>)] = &[
    (
        "share/zsh/site-functions/",
        Some("usr/share/zsh/vendor-completions/"),
    ),
    ("share/doc/profiler/LICENSE", None),
    (
        "share/doc/profiler/serve.toml",
        Some("etc/profiler/serve.toml"),
    ),
    (
        "share/doc/profiler/CHANGELOG.md",
        Some("usr/share/doc/profiler/changelog"),
    ),
    ("", Some("usr/")),
];

/// Scripts of the package, which are in `packaging/deb`.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// `profiler_VERSION-REVISION_amd64.deb`.
pub(super) fn write(contents: &Contents, directory: &Path) -> Result<PathBuf> {
    ensure!(
        command::find("dpkg-deb").is_some(),
        "dpkg-deb is needed for the Debian package: install dpkg"
    );
    let stage = directory.join("stage");
    empty(&stage)?;
    let size = write_tree(contents, &stage)?;
    write_control(contents, &stage, size)?;
    command::check(
        Command::new("find")
            .arg(&stage)
            .args(["-type", "d", "-exec", "chmod", "755", "{}", "+"]),
    )?;
    let version = version(contents);
    let package = directory.join(format!("profiler_{version}_amd64.deb"));
    command::check(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&stage)
            .arg(&package)
            .env("SOURCE_DATE_EPOCH", contents.time.to_string())
            .stdout(std::process::Stdio::null()),
    )?;
    std::fs::remove_dir_all(&stage)?;
    Ok(package)
}

fn version(contents: &Contents) -> String {
    format!("{}-{REVISION}", contents.version)
}

/// Writes what is installed, and returns how many bytes that is.
fn write_tree(contents: &Contents, stage: &Path) -> Result<usize> {
    let mut files: Vec<(String, Vec<u8>, u32)> = Vec::new();
    for (place, bytes, mode) in &contents.files {
        if let Some(place) = placed(&place.to_string_lossy()) {
            files.push((place, bytes.clone(), *mode));
        }
    }
    let doc = |name: &str| format!("usr/share/doc/profiler/{name}");
    files.push((doc("copyright"), copyright(contents)?, 0o644));
    let changelog = changelog(contents)?.into_bytes();
    files.push((doc("changelog.Debian"), changelog, 0o644));
    let overrides = "usr/share/lintian/overrides/profiler".to_owned();
    files.push((overrides, source("lintian-overrides")?, 0o644));
    let mut size = 0;
    for (mut place, mut bytes, mode) in files {
        // Debian's policy, 12.1 and 12.3: man pages and long documents are packed.
        let is_long = ["changelog", "changelog.Debian", "THIRD-PARTY"];
        if place.contains("/man/") || is_long.iter().any(|name| place == doc(name)) {
            bytes = gzip(&bytes)?;
            place.push_str(".gz");
        }
        size += bytes.len();
        write_file(&stage.join(place), &bytes, mode)?;
    }
    Ok(size)
}

fn placed(place: &str) -> Option<String> {
    let (from, to) = PLACES.iter().find(|(from, _)| place.starts_with(from))?;
    Some(place.replacen(from, (*to)?, 1))
}

/// What dpkg knows of the package.
fn write_control(contents: &Contents, stage: &Path, size: usize) -> Result<()> {
    let control = String::from_utf8(source("control")?).context("control is not text")?;
    let control = control
        .replace("@VERSION@", &version(contents))
        .replace("@SIZE@", &size.div_ceil(1024).to_string());
    let place = stage.join("DEBIAN");
    write_file(&place.join("control"), control.as_bytes(), 0o644)?;
    write_file(
        &place.join("conffiles"),
        b"/etc/profiler/serve.toml\n",
        0o644,
    )?;
    for script in SCRIPTS {
        write_file(&place.join(script), &source(script)?, 0o755)?;
    }
    let mut listed = Command::new("sh");
    listed
        .args(["-c", "find * -path DEBIAN -prune -o -path 'etc' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum"])
        .current_dir(stage);
    let sums = command::read(&mut listed)?;
    write_file(&place.join("md5sums"), sums.as_bytes(), 0o644)
}

/// The licence in Debian's form, a dot for each empty line.
fn copyright(contents: &Contents) -> Result<Vec<u8>> {
    let mut text = source("copyright.head")?;
    let licence = String::from_utf8_lossy(contents.file("share/doc/profiler/LICENSE")?);
    let body = licence
        .lines()
        .skip_while(|line| !line.starts_with("Permission"));
    text.extend(b"\nLicense: Expat\n");
    for line in body {
        let line = if line.is_empty() { "." } else { line };
        text.extend(format!(" {line}\n").bytes());
    }
    Ok(text)
}

/// The changes of the package itself, in Debian's form.
fn changelog(contents: &Contents) -> Result<String> {
    let control = String::from_utf8(source("control")?).context("control is not text")?;
    let mut lines = control.lines();
    let maintainer = lines.find_map(|line| line.strip_prefix("Maintainer: "));
    let date = command::read(Command::new("date").env("LC_ALL", "C").args([
        "-u",
        "-R",
        "-d",
        &format!("@{}", contents.time),
    ]))?;
    let mut text = format!(
        "profiler ({}) unstable; urgency=medium\n\n",
        version(contents)
    );
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "  * See changelog.gz.\n\n -- {}  {}\n",
        maintainer.context("control names no maintainer")?,
        date.trim()
    );
    Ok(text)
}

fn source(name: &str) -> Result<Vec<u8>> {
    read(&workspace::root().join("packaging/deb").join(name))
}

#[cfg(test)]
mod tests {
    use super::placed;

    /// Files go where Debian has them, and the licence is in Debian's own form instead.
    #[test]
    fn places_in_debian() {
        let cases = [
            ("bin/profiler", Some("usr/bin/profiler")),
            (
                "lib/systemd/system/x.service",
                Some("usr/lib/systemd/system/x.service"),
            ),
            (
                "share/zsh/site-functions/_profiler",
                Some("usr/share/zsh/vendor-completions/_profiler"),
            ),
            (
                "share/doc/profiler/serve.toml",
                Some("etc/profiler/serve.toml"),
            ),
            ("share/doc/profiler/LICENSE", None),
        ];
        for (place, wanted) in cases {
            assert_eq!(placed(place).as_deref(), wanted, "{place}");
        }
    }
}
