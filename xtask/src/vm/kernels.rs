//! Which kernels there are, and their images.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::tools::Apt;
use crate::command;

/// The oldest, the long-term ones between, and whatever is newest must be had.
const MUST: [&str; 4] = ["5.10.", "6.1.", "6.12.", NEWEST];
/// These are tried as long as the archive has them.
const EXTRA: [&str; 7] = ["6.16.", "6.17.", "6.18.", "6.19.", "7.0.", "7.1.", "7.2."];
/// Stands for the newest of all.
const NEWEST: &str = "newest";

/// Where they are from, and where they are not: older suites have no index any more.
const SUITES: [&str; 5] = [
    "bullseye",
    "bookworm-security",
    "trixie",
    "trixie-security",
    "trixie-backports",
];

/// Versions of one series that are tried until one can be fetched: the index may name files that are gone.
const TRIES: usize = 3;
/// A package below this has no kernel in it, but depends on the one that has.
const LEAST_SIZE: u64 = 1_000_000;

/// A kernel that is here.
pub(super) struct Kernel {
    /// As Debian counts it.
    pub(super) version: String,
    /// The file to boot.
    pub(super) image: PathBuf,
}

/// What could be had.
pub(super) struct Found {
    /// Oldest first.
    pub(super) kernels: Vec<Kernel>,
    /// Name and reason of what could not.
    pub(super) missing: Vec<String>,
}

/// A package of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

/// Fetches the kernels of these series, or of all.
pub(super) fn get(directory: &Path, series: &[String]) -> Result<Found> {
    let suites = SUITES.map(str::to_owned);
    let apt = Apt::new(&directory.join("apt"), &suites, true)?;
    apt.update()?;
    let mut packages = packages(&apt.available()?);
    packages.sort_by(|a, b| by_version(&a.version, &b.version));
    let newest = packages.last().context("the index has no kernels")?.clone();
    let mut found = Found {
        kernels: Vec::new(),
        missing: Vec::new(),
    };
    let all: Vec<String> = MUST.iter().chain(&EXTRA).map(ToString::to_string).collect();
    let wanted = if series.is_empty() { &all } else { series };
    for series in wanted {
        let candidates: Vec<&Package> = match series.as_str() {
            NEWEST => vec![&newest],
            series => {
                let dotted = format!("{}.", series.trim_end_matches('.'));
                packages
                    .iter()
                    .rev()
                    .filter(|package| package.version.starts_with(&dotted))
                    .take(TRIES)
                    .collect()
            }
        };
        match fetch(&apt, directory, &candidates) {
            Ok(kernel)
                if found
                    .kernels
                    .iter()
                    .any(|other| other.version == kernel.version) => {}
            Ok(kernel) => found.kernels.push(kernel),
            Err(error) if EXTRA.contains(&series.as_str()) => {
                found.missing.push(format!("Linux {series}: {error:#}"));
            }
            Err(error) => return Err(error.context(format!("Linux {series} cannot be had"))),
        }
    }
    found
        .kernels
        .sort_by(|a, b| by_version(&a.version, &b.version));
    Ok(found)
}

/// The kernels for virtual machines in the lines of an index.
fn packages(index: &str) -> Vec<Package> {
    let stanzas = index.split("\n\n");
    let kernels = stanzas.filter_map(|stanza| {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let name = field("Package")?;
        let is_kernel = ["linux-image-", "linux-binary-"].iter().any(|beginning| {
            name.strip_prefix(beginning)
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        });
        let size: u64 = field("Size")?.parse().ok()?;
        (is_kernel
            && name.contains("-cloud-amd64")
            && !name.contains("unsigned")
            && !name.contains("dbg")
            && size > LEAST_SIZE)
            .then(|| Package {
                name: name.to_owned(),
                version: field("Version").unwrap_or_default().to_owned(),
            })
    });
    kernels.collect()
}

/// By their numbers, which is enough among kernels.
fn by_version(a: &str, b: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        version
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    // Before the revision of the package, and before what makes it a candidate of a release.
    let release = |version: &str| numbers(version.split(['-', '~']).next().unwrap_or_default());
    let is_final = |version: &str| !version.contains("~rc");
    release(a)
        .cmp(&release(b))
        .then(is_final(a).cmp(&is_final(b)))
        .then(numbers(a).cmp(&numbers(b)))
}

/// The first of the packages that can be fetched, unpacked.
fn fetch(apt: &Apt, directory: &Path, candidates: &[&Package]) -> Result<Kernel> {
    let mut last = None;
    for package in candidates {
        match unpack(apt, directory, package) {
            Ok(image) => {
                return Ok(Kernel {
                    version: package.version.clone(),
                    image,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("the archive has none")))
}

fn unpack(apt: &Apt, directory: &Path, package: &Package) -> Result<PathBuf> {
    let place = directory
        .join("kernels")
        .join(package.version.replace([':', '~'], "-"));
    if let Some(image) = image_below(&place)? {
        return Ok(image);
    }
    fs::create_dir_all(&place).with_context(|| format!("could not create {}", place.display()))?;
    let name = format!("{}={}", package.name, package.version);
    command::check(apt.get(&["download"]).arg(&name).current_dir(&place))?;
    let archive = fs::read_dir(&place)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.with_context(|| format!("no package came of {name}"))?;
    command::check(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&archive)
            .arg(&place),
    )?;
    fs::remove_file(&archive)?;
    match image_below(&place)? {
        Some(image) => Ok(image),
        None => bail!("{name} has no vmlinuz"),
    }
}

/// `boot/vmlinuz-*` or, from 7.2 on, `usr/lib/modules/*/vmlinuz`.
fn image_below(place: &Path) -> Result<Option<PathBuf>> {
    if !place.is_dir() {
        return Ok(None);
    }
    let files = crate::workspace::files_below(place)?;
    let image = files.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz")
    });
    if let Some(image) = &image {
        ensure!(
            image.metadata()?.len() > LEAST_SIZE,
            "{} is no kernel",
            image.display()
        );
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an index only the kernels count that are kernels, for virtual machines.
    #[test]
    fn kernels_of_an_index() {
        let stanza =
            |name: &str, size: u64| format!("Package: {name}\nVersion: 6.1.2-1\nSize: {size}\n");
        let index = [
            stanza("linux-image-6.1.0-9-cloud-amd64", 20_000_000),
            stanza("linux-image-6.1.0-9-amd64", 90_000_000),
            stanza("linux-image-cloud-amd64", 20_000_000),
            stanza("linux-image-6.1.0-9-cloud-amd64-unsigned", 20_000_000),
            stanza("linux-image-6.1.0-9-cloud-amd64-dbg", 20_000_000),
            stanza("linux-image-6.19.4-cloud-amd64", 1400),
            stanza("linux-binary-6.19.4-cloud-amd64", 12_000_000),
            stanza("bash", 12_000_000),
        ];
        let names: Vec<String> = packages(&index.join("\n"))
            .into_iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(
            names,
            [
                "linux-image-6.1.0-9-cloud-amd64",
                "linux-binary-6.19.4-cloud-amd64"
            ]
        );
    }

    /// Versions compare by numbers, and a release candidate is older than its release.
    #[test]
    fn order_of_versions() {
        let mut versions = [
            "7.3.4-1~bpo13+1",
            "6.12.117-1",
            "6.1.180-1",
            "7.3~rc7-1~exp1",
            "7.3-1",
            "6.12.95-1",
        ];
        versions.sort_by(|a, b| by_version(a, b));
        assert_eq!(
            versions,
            [
                "6.1.180-1",
                "6.12.95-1",
                "6.12.117-1",
                "7.3~rc7-1~exp1",
                "7.3-1",
                "7.3.4-1~bpo13+1"
            ]
        );
    }
}
