//! Why a file cannot be used as a core file, and what is wrong with one that can.

use std::fmt;
use std::path::PathBuf;

use crate::addr::ProcAddr;
use crate::binary::BinaryError;

/// Why a file is no core file that can be looked into. The caller adds which file it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// It cannot be opened, or is no regular file.
    #[error(transparent)]
    Open(BinaryError),
    /// It is empty: the disk was full, or the limit for core files (`ulimit -c`) was reached at once.
    #[error("not a core file, it is empty")]
    Empty,
    /// It is packed.
    #[error(
        "it is compressed with {name}; unpack it first: {tool} {name_of_output}",
        name_of_output = "CORE > core"
    )]
    Compressed {
        /// What it is compressed with.
        name: &'static str,
        /// The command that unpacks it to standard output.
        tool: &'static str,
    },
    /// The bytes that begin every ELF file are not there.
    #[error("not a core file, which begins with the bytes 7f 45 4c 46")]
    NotElf,
    /// It is an ELF file of another kind.
    #[error("not a core file but {0}")]
    NotCore(&'static str),
    /// Its ELF header cannot be read.
    #[error("the core file has no usable ELF header: {0}")]
    Header(BinaryError),
    /// The program that was named belongs to another core file.
    #[error(
        "{} is not the program of this core file: its build-id is {found}, the core file is of {wanted}",
        path.display()
    )]
    OtherProgram {
        /// The program that was named.
        path: PathBuf,
        /// Its build-id, or what it has instead.
        found: String,
        /// The build-id in the core file, or what it has instead.
        wanted: String,
    },
    /// The program that was named cannot be opened.
    #[error("the program {} cannot be opened: {cause}", path.display())]
    Program {
        /// The program that was named.
        path: PathBuf,
        /// Why.
        cause: BinaryError,
    },
}

/// Something that is wrong with a core file and costs only the part that it says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends before what its program headers promise.
    Truncated {
        /// How large it is.
        size: u64,
        /// How large it should be.
        expected: u64,
    },
    /// Program headers are missing from some place on.
    ProgramHeaders(String),
    /// There are no notes: no threads, no list of files.
    NoNotes,
    /// A region of notes is damaged; the notes before are read.
    Notes(String),
    /// The registers of a thread are not whole.
    Thread {
        /// The number of the thread in the order of the file, from 0.
        index: usize,
    },
    /// There is no list of mapped files; the kernel leaves it out above 65,000 mappings.
    NoFileList,
    /// The list of mapped files contradicts itself and is not used.
    FileList(&'static str),
    /// The list of mapped files has fewer names than files.
    FileNames {
        /// How many have no name, or one that is cut.
        missing: u64,
    },
    /// Offsets in the list of mapped files cannot be in the unit that it states, and were taken as bytes.
    FileOffsets {
        /// The file whose size says so.
        path: PathBuf,
    },
    /// A range of memory is not one.
    Range(ProcAddr),
}

impl Damage {
    /// Whether something is lost by it; otherwise it only was found in another way.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::NoFileList | Self::FileOffsets { .. } => false,
            Self::Truncated { .. }
            | Self::ProgramHeaders(_)
            | Self::NoNotes
            | Self::Notes(_)
            | Self::Thread { .. }
            | Self::FileList(_)
            | Self::FileNames { .. }
            | Self::Range(_) => true,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { size, expected } => write!(
                f,
                "truncated: it has {size} of {expected} bytes (a full disk, or a limit for core files: ulimit -c)"
            ),
            Self::ProgramHeaders(cause) => write!(f, "program headers are missing: {cause}"),
            Self::NoNotes => f.write_str("it has no notes, so nothing is known of its threads"),
            Self::Notes(cause) => write!(f, "notes are missing: {cause}"),
            Self::Thread { index } => {
                write!(f, "the registers of thread number {index} are not whole")
            }
            Self::NoFileList => f.write_str("it has no list of the mapped files"),
            Self::FileList(cause) => {
                write!(f, "the list of the mapped files is not usable: {cause}")
            }
            Self::FileNames { missing } => {
                write!(f, "{missing} of the mapped files have no (whole) name")
            }
            Self::FileOffsets { path } => write!(
                f,
                "offsets of mapped files are in bytes and not in the stated unit, by the size of {}",
                path.display()
            ),
            Self::Range(start) => write!(f, "the range of memory at {start:#x} is none"),
        }
    }
}
