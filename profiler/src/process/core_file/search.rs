//! Where the files of a core file's modules are now, and whether they are the ones that were mapped.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CoreError;
use super::memory::Memory;
use super::modules::Module;
use crate::binary::{Binary, BuildId, ReadAt};
use crate::process::OpenError;
use crate::process::kind::DELETED;

/// As much of a file's beginning is compared with what was dumped, when no build-ids tell.
const COMPARED: u64 = 4096;

/// Where to look for the files that were mapped.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Search {
    /// The program that the process ran.
    pub exe: Option<PathBuf>,
    /// Below which directory the process's paths lie; `None` leaves them as they are.
    pub sysroot: Option<PathBuf>,
    /// Directories with binaries and debug files by their build-ids, searched in this order: as
    /// `.build-id/ab/cdef…` and `.build-id/ab/cdef….debug` (gdb's manual, "Debugging Information in Separate
    /// Files"), `ID/executable` (the cache of debuginfod's clients), `ID/NAME` (google/pprof).
    pub debug_dirs: Vec<PathBuf>,
    /// Nothing is looked for: only what the core file itself says is wanted.
    pub core_only: bool,
}

/// The file of a module.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FileState {
    /// It is here.
    Found {
        /// The open file.
        binary: Arc<Binary>,
        /// Where it was found.
        path: PathBuf,
        /// Whether its build-id or its first page are those in the core file. Otherwise nothing speaks against it:
        /// it has not been changed since the core file was written.
        verified: bool,
    },
    /// There is no file: the whole image is in memory.
    Memory,
    /// It is not here, or another file is at its place.
    Missing(Missing),
}

/// A file that is not here, and why.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Why.
    pub why: Arc<OpenError>,
    /// A separate debug file of the same build, which can give names.
    pub debug_file: Option<Arc<Binary>>,
}

impl FileState {
    pub(super) fn missing() -> Self {
        Self::Missing(Missing {
            why: Arc::new(OpenError::Missing),
            debug_file: None,
        })
    }
}

/// Finds the files of all modules.
pub(super) fn find_all(
    memory: &Memory,
    modules: &mut [Module],
    search: &Search,
) -> Result<(), CoreError> {
    if search.core_only {
        return Ok(());
    }
    if let Some(path) = &search.exe {
        name_program(memory, modules, path)?;
    }
    for module in modules {
        if matches!(module.file, FileState::Missing(_)) {
            module.file = find(memory, module, search);
        }
    }
    Ok(())
}

/// The program that somebody named has to be the one that the process ran.
fn name_program(memory: &Memory, modules: &mut [Module], path: &Path) -> Result<(), CoreError> {
    let opened = Binary::open(path).map_err(|cause| CoreError::Program {
        path: path.to_owned(),
        cause,
    });
    let binary = Arc::new(opened?);
    // Started by a loader, the program is not the one that the kernel knew as such.
    let by_id = modules.iter().position(|module| {
        module.build_ids.gnu.is_some() && module.build_ids.gnu.as_ref() == binary.build_id()
    });
    let Some(index) = by_id.or_else(|| modules.iter().position(|module| module.is_main)) else {
        return Ok(());
    };
    let verified = match agreement(memory, &modules[index], &binary) {
        Agreement::Same => true,
        Agreement::Unknown => false,
        Agreement::Other => {
            return Err(CoreError::OtherProgram {
                path: path.to_owned(),
                found: identity(binary.build_id()),
                wanted: identity(modules[index].build_ids.gnu.as_ref()),
            });
        }
    };
    for (at, module) in modules.iter_mut().enumerate() {
        module.is_main = at == index;
    }
    modules[index].file = FileState::Found {
        binary,
        path: path.to_owned(),
        verified,
    };
    Ok(())
}

fn find(memory: &Memory, module: &Module, search: &Search) -> FileState {
    let mut why = OpenError::Missing;
    for path in candidates(module, search) {
        let Ok(binary) = Binary::open(&path) else {
            continue;
        };
        let verified = match agreement(memory, module, &binary) {
            Agreement::Same => true,
            Agreement::Unknown if path.is_absolute() && is_unchanged(memory, &binary) => false,
            Agreement::Unknown => {
                why = OpenError::Unverified(path);
                continue;
            }
            Agreement::Other => {
                why = OpenError::OtherBuild {
                    found: identity(binary.build_id()),
                    wanted: identity(module.build_ids.gnu.as_ref()),
                    path,
                };
                continue;
            }
        };
        return FileState::Found {
            binary: Arc::new(binary),
            path,
            verified,
        };
    }
    FileState::Missing(Missing {
        why: Arc::new(why),
        debug_file: debug_file(module, search),
    })
}

/// Where the file may be, likely places first.
fn candidates(module: &Module, search: &Search) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if module.path.is_absolute() {
        let name = module.path.as_os_str().as_bytes();
        // The suffix may be a part of the name.
        let names = [Some(name), name.strip_suffix(DELETED)];
        for name in names.into_iter().flatten() {
            let name = Path::new(std::ffi::OsStr::from_bytes(name));
            paths.push(match &search.sysroot {
                Some(root) => root.join(name.strip_prefix("/").unwrap_or(name)),
                None => name.to_owned(),
            });
        }
    }
    // How a program was started, when nothing else tells its name. If it lies here, its build-id shows it.
    if !module.path.is_absolute() && module.path.file_name().is_some() {
        paths.push(module.path.to_path_buf());
    }
    if let Some(id) = &module.build_ids.gnu {
        let text = id.to_string();
        for directory in &search.debug_dirs {
            paths.extend(by_build_id(directory, id, ""));
            let directory = directory.join(&text);
            paths.push(directory.join("executable"));
            paths.extend(module.path.file_name().map(|name| directory.join(name)));
        }
    }
    paths
}

/// A debug file by the module's build-id.
fn debug_file(module: &Module, search: &Search) -> Option<Arc<Binary>> {
    let id = module.build_ids.gnu.as_ref()?;
    let text = id.to_string();
    let places = search.debug_dirs.iter().flat_map(|directory| {
        let cache = directory.join(&text).join("debuginfo");
        by_build_id(directory, id, ".debug")
            .into_iter()
            .chain([cache])
    });
    places
        .filter_map(|path| Binary::open(path).ok())
        .find(|binary| binary.build_id() == Some(id))
        .map(Arc::new)
}

fn by_build_id(directory: &Path, id: &BuildId, suffix: &str) -> Option<PathBuf> {
    let text = id.to_string();
    let (first, rest) = text.split_at_checked(2)?;
    Some(directory.join(format!(".build-id/{first}/{rest}{suffix}")))
}

enum Agreement {
    Same,
    Other,
    /// The core file has nothing to compare with.
    Unknown,
}

/// Whether a file is the one that was mapped: by build-id, or by its first page where one has none. (What Go's
/// linker writes has its GNU build-id where memory does not lead to it.)
fn agreement(memory: &Memory, module: &Module, binary: &Binary) -> Agreement {
    if let (Some(wanted), Some(found)) = (&module.build_ids.gnu, binary.build_id()) {
        return if wanted == found {
            Agreement::Same
        } else {
            Agreement::Other
        };
    }
    if module.load_bias.is_none() {
        return Agreement::Unknown;
    }
    let dumped = memory.dumped_from(module.start.0, COMPARED);
    let mut first = vec![0; dumped.len()];
    let mut done = 0;
    while done < first.len() {
        match ReadAt::read_at(binary.file(), done as u64, &mut first[done..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => done += count,
        }
    }
    if dumped.is_empty() {
        Agreement::Unknown
    } else if first[..done] == dumped[..done] {
        // The kernel fills the page of a file that ends in it with zeros.
        Agreement::Same
    } else {
        Agreement::Other
    }
}

/// Whether the file has not been touched since the core file was written.
fn is_unchanged(memory: &Memory, binary: &Binary) -> bool {
    let changed = binary.file().metadata().ok().and_then(|meta| {
        let seconds = meta.ctime().checked_mul(1_000_000_000)?;
        seconds.checked_add(meta.ctime_nsec())
    });
    match (changed, memory.bytes().written_ns) {
        (Some(changed), Some(written)) => changed <= written,
        _ => false,
    }
}

fn identity(id: Option<&BuildId>) -> String {
    id.map_or_else(|| "none".to_owned(), BuildId::to_string)
}
