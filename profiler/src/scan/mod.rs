//! Where a symbol is in running processes: all of them or some, now and as they start.
//!
//! A [`Scan`] reads what each process has mapped, finds the binaries among that, looks each of them through once however
//! many processes have it, and turns what it finds into addresses of each process. [`Scan::hits`] is an iterator over all
//! of it, [`Scan::run`] calls observers, and [`Follow`] goes on with processes that start later.
//!
//! What cannot be read costs only itself and is kept in [`Scan::problems`]. That processes end meanwhile, that kernel
//! threads have no memory and that most mapped files are no binaries is no problem.
//!
//! Mappings and files are left to [`crate::process`], symbol tables to [`crate::binary`].
//!
//! ```no_run
//! use profiler::binary::SymbolPattern;
//! use profiler::process::Resolver;
//! use profiler::scan::{Query, Scan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let query = Query::new(SymbolPattern::exact("_PyRuntime")?);
//! let mut scan = Scan::new(Resolver::new(), query);
//! for hit in scan.hits()? {
//!     println!("{} {:x?} {}", hit.pid, hit.address, hit.path.display());
//! }
//! for (pid, problems) in scan.problems() {
//!     println!("{pid}: {problems:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod follow;
mod newcomers;
mod observe;
mod place;
mod sweep;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::addr::ProcAddr;
use crate::binary::{BinaryError, BuildId, Symbol, SymbolPattern};
use crate::process::{OpenError, ProcessError};

pub use follow::Follow;
pub use newcomers::Watching;
pub use observe::{Failure, Observer, Outcome};
pub use sweep::{Hits, Scan, ScanStats};

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Query {
    /// The names.
    pub symbols: SymbolPattern,
    /// The files, by their names or their paths; all when there is none.
    pub path: Option<PathPattern>,
    /// The processes; all but the one that asks when there are none.
    pub pids: Vec<u32>,
}

/// Which files are looked into.
#[derive(Clone, Debug)]
pub struct PathPattern {
    glob: globset::GlobMatcher,
    whole: bool,
}

/// A symbol in a process.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Hit {
    /// The process.
    pub pid: u32,
    /// When it was started, in clock ticks since boot; `None` when `/proc` did not tell.
    pub start_time: Option<u64>,
    /// The file, as the process knows it; `[vdso]` for the library of the kernel.
    pub path: Arc<Path>,
    /// The file's GNU build-id.
    pub build_id: Option<BuildId>,
    /// What the file says of the symbol.
    pub symbol: Arc<Symbol>,
    /// Where it is in the process; `None` for what has no address ([`Symbol::address`]).
    pub address: Option<ProcAddr>,
}

/// Why a process or one of its files could not be looked through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Its mappings cannot be read.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is no such process, although it was named.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// A file that it runs cannot be opened.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<OpenError>,
    },
    /// The symbols of a file cannot be read, or not all of them. Of the processes that have the file, this is told of the
    /// first.
    #[error("failed to read the symbols of {}", path.display())]
    Symbols {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BinaryError,
    },
}

impl Query {
    /// These symbols, in all files of all processes.
    pub fn new(symbols: SymbolPattern) -> Self {
        Self {
            symbols,
            path: None,
            pids: Vec::new(),
        }
    }
}

impl PathPattern {
    /// A shell pattern: `*` and `?` stand for anything but a slash, `**` for any number of directories, `[…]` for one of
    /// some letters, `{a,b}` for one or the other. Without a slash it is compared with the file's name, else with the whole
    /// path.
    ///
    /// # Errors
    ///
    /// It is no such pattern.
    pub fn new(pattern: &str) -> Result<Self, globset::Error> {
        let glob = globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()?;
        Ok(Self {
            glob: glob.compile_matcher(),
            whole: pattern.contains('/'),
        })
    }

    /// Whether a file is meant.
    pub fn is_match(&self, path: &Path) -> bool {
        if self.whole {
            self.glob.is_match(path)
        } else {
            path.file_name()
                .is_some_and(|name| self.glob.is_match(name))
        }
    }
}
