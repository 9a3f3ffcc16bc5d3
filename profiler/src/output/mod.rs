//! Moves finished bytes to where they belong, and nothing else; the only place that opens result files.
//!
//! What the bytes mean is left to [`crate::pprof`].

mod file;
pub(crate) mod http;
pub(crate) mod push;
pub(crate) mod store;
mod window;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

pub(crate) use file::{Owner, ProfileFile};
pub(crate) use window::Window;

/// Why a profile cannot go where it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Binary data would garble the terminal.
    #[error(
        "standard output is a terminal and a profile is binary; redirect it, or name a file: -o cpu.pb.gz"
    )]
    Terminal,
    /// The directory of the file does not exist.
    #[error("there is no directory {} for the profile; make it: mkdir -p {}", .0.display(), .0.display())]
    NoDirectory(PathBuf),
    /// The destination is a directory.
    #[error("{} is a directory; name a file in it: -o {}/cpu.pb.gz", .0.display(), .0.display())]
    IsDirectory(PathBuf),
    /// No file can be made in the directory.
    #[error("no file can be written in {}: {cause}; choose another place: -o FILE", directory.display())]
    NotWritable {
        /// Where the file should go.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Writing failed on the way.
    #[error("the profile could not be written to {}: {cause}{}", path.display(), hint(cause))]
    Write {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Where a profile goes; checked before sampling begins.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file that appears whole or not at all.
    File(ProfileFile),
}

impl Destination {
    /// Checks that `path` can be written; `-` is standard output.
    pub(crate) fn open(path: &Path, owner: Option<Owner>) -> Result<Self, OutputError> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                return Err(OutputError::Terminal);
            }
            return Ok(Self::Stdout);
        }
        ProfileFile::prepare(path, owner).map(Self::File)
    }

    /// Writes the profile.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        match self {
            Self::Stdout => write_stdout(bytes).map_err(|cause| OutputError::Write {
                path: PathBuf::from("standard output"),
                cause,
            }),
            Self::File(file) => file.write(bytes),
        }
    }
}

/// Writes something for later reading to a new file among the temporary ones, and tells which.
pub(crate) fn keep(prefix: &str, suffix: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .tempfile()?;
    file.write_all(bytes)?;
    Ok(file.keep()?.1)
}

fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space there, or choose another place: -o FILE"
        }
        io::ErrorKind::BrokenPipe => "; the reader of the pipe has gone",
        _ => "",
    }
}
