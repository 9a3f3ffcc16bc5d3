//! What kind of memory a maps line speaks of, told from its name. Nothing is opened or looked up here.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the kernel appends to the name of a file that is no longer at its path.
pub(super) const DELETED: &[u8] = b" (deleted)";
/// How the kernel names memory made by `memfd_create`.
pub(super) const MEMFD: &[u8] = b"/memfd:";

/// What kind of memory a mapping is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MappingKind {
    /// A file with a name, or one that had a name.
    File,
    /// A file without a name, made by `memfd_create`; often a JIT's code, sometimes a whole library.
    Memfd,
    /// The library that the kernel maps into every process.
    Vdso,
    /// The page at a fixed address that is entered only through a fault; x86-64, and `--xp` today.
    Vsyscall,
    /// Memory that is no file's: what a JIT writes its code into.
    Anonymous,
    /// Something else of the kernel's: `[uprobes]`, `[heap]`, `[stack]`, `anon_inode:…`.
    Special,
}

impl MappingKind {
    /// The kind that goes with the name in a maps line.
    pub(super) fn of_name(path: &Path) -> Self {
        let name = path.as_os_str().as_bytes();
        match name {
            b""
            | b"//anon"
            | b"/dev/zero"
            | b"/dev/zero (deleted)"
            | b"/anon_hugepage (deleted)" => Self::Anonymous,
            b"[vdso]" => Self::Vdso,
            b"[vsyscall]" => Self::Vsyscall,
            _ if name.starts_with(b"[anon:") || name.starts_with(b"[anon_shmem:") => {
                Self::Anonymous
            }
            _ if !name.starts_with(b"/") => Self::Special,
            _ if is_system_v(name) => Self::Anonymous,
            _ if name.starts_with(MEMFD) && name.ends_with(DELETED) => Self::Memfd,
            _ => Self::File,
        }
    }

    /// One word for people and programs: `file`, `memfd`, `vdso`, `vsyscall`, `anonymous` or `special`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memfd => "memfd",
            Self::Vdso => "vdso",
            Self::Vsyscall => "vsyscall",
            Self::Anonymous => "anonymous",
            Self::Special => "special",
        }
    }

    /// Whether there is a file or an image that may be an ELF file.
    pub fn has_image(self) -> bool {
        matches!(self, Self::File | Self::Memfd | Self::Vdso)
    }
}

impl fmt::Display for MappingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// System V shared memory, named by its key: `/SYSV00000000 (deleted)`.
fn is_system_v(name: &[u8]) -> bool {
    name.strip_prefix(b"/SYSV")
        .and_then(|rest| rest.strip_suffix(DELETED))
        .is_some_and(|key| key.len() == 8 && key.iter().all(u8::is_ascii_hexdigit))
}
