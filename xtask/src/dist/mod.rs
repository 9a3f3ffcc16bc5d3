//! `dist`: what is handed out, in `target/dist`: a tarball that runs after unpacking, a Debian package, and their checksums.
//!
//! Both hold the same files and the same program. Every time in them is that of the last commit (or `SOURCE_DATE_EPOCH`),
//! so that the same commit gives the same bytes.

mod check;
mod deb;
mod licences;
mod tarball;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, extras, profiler, workspace};

const USAGE: &str = "usage: cargo xtask dist [--check]
  --check   unpack both, and see that they run and are the same when made again";

/// What goes into both packages.
pub(super) struct Contents {
    /// Places below the prefix, what is there, and its mode.
    files: Vec<(PathBuf, Vec<u8>, u32)>,
    /// Seconds since 1970 of every file.
    time: u64,
    version: String,
}

/// `cargo xtask dist [--check]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_checked = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("unknown arguments `{}`\n{USAGE}", arguments.join(" ")),
    };
    let contents = Contents::gather()?;
    let directory = workspace::target().join("dist");
    let made = make(&contents, &directory)?;
    for file in &made {
        let bytes = fs::metadata(file)?.len();
        println!("{} ({} KiB)", file.display(), bytes >> 10);
    }
    if is_checked {
        check::all(&contents, &made)?;
    }
    Ok(())
}

/// Writes the packages and their checksums into an empty directory.
fn make(contents: &Contents, directory: &Path) -> Result<Vec<PathBuf>> {
    empty(directory)?;
    let made = vec![
        tarball::write(contents, directory)?,
        deb::write(contents, directory)?,
    ];
    let mut sums = Command::new("sha256sum");
    sums.current_dir(directory).args(
        made.iter()
            .map(|file| file.file_name().expect("it is a file")),
    );
    let sums = command::read(&mut sums)?;
    write(&directory.join("SHA256SUMS"), sums.as_bytes(), 0o644)?;
    Ok(made)
}

impl Contents {
    fn gather() -> Result<Self> {
        let program = profiler::build_static()?;
        let mut files = vec![(PathBuf::from("bin/profiler"), read(&program)?, 0o755)];
        for (place, text) in extras::generate(&program)? {
            files.push((place, text.into_bytes(), 0o644));
        }
        let root = workspace::root();
        for (source, place) in [
            (
                "packaging/profiler.service",
                "lib/systemd/system/profiler.service",
            ),
            ("packaging/serve.toml", "share/doc/profiler/serve.toml"),
            ("README.md", "share/doc/profiler/README.md"),
            ("CHANGELOG.md", "share/doc/profiler/CHANGELOG.md"),
            ("LICENSE", "share/doc/profiler/LICENSE"),
        ] {
            files.push((PathBuf::from(place), read(&root.join(source))?, 0o644));
        }
        let licences = licences::of_dependencies()?.into_bytes();
        let place = PathBuf::from("share/doc/profiler/THIRD-PARTY");
        files.push((place, licences, 0o644));
        let version = command::read(Command::new(&program).arg("--version"))?;
        let version = version.split_whitespace().nth(1);
        Ok(Self {
            files,
            time: time()?,
            version: version.context("the program tells no version")?.to_owned(),
        })
    }

    /// A file by its place.
    fn file(&self, place: &str) -> Result<&[u8]> {
        let mut files = self.files.iter();
        let found = files.find(|(name, _, _)| name == Path::new(place));
        let (_, bytes, _) = found.with_context(|| format!("there is no {place}"))?;
        Ok(bytes)
    }
}

/// What every time in the packages is: <https://reproducible-builds.org/docs/source-date-epoch/>.
fn time() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => command::read(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(workspace::root()),
        )
        .context("SOURCE_DATE_EPOCH is not set, and the time of the last commit is not known")?,
    };
    let text = text.trim();
    text.parse()
        .with_context(|| format!("`{text}` is no time in seconds since 1970"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("could not read {}", path.display()))
}

/// Writes a file with exactly this mode, whatever the umask is, and the directories that lead to it.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, bytes)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    written().with_context(|| format!("could not write {}", path.display()))
}

fn empty(directory: &Path) -> Result<()> {
    let emptied = || -> std::io::Result<()> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)
    };
    emptied().with_context(|| format!("could not empty {}", directory.display()))
}

/// `gzip -n -9`: no name and no time in the file.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
