//! One interface to look into a process, be it running or a core file: mappings, threads, memory.
//!
//! Whoever walks a stack or reads a build-id neither knows nor asks which it has. The two are [`LiveProcess`]
//! and [`CoreFile`]; what is mapped where is told by the same [`Mapping`] for both.
//!
//! [`LiveProcess`]: super::LiveProcess
//! [`CoreFile`]: super::CoreFile

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::Mapping;
use super::registers::RegisterSet;
use crate::addr::ProcAddr;
use crate::binary::ReadAt;

/// Memory of a process, which tells where its bytes come from.
pub trait ReadMemory {
    /// Reads some bytes at an address that come from one place: at least one, at most as many as the buffer has.
    ///
    /// # Errors
    ///
    /// Why the first byte cannot be had.
    fn read_piece(&self, address: ProcAddr, buffer: &mut [u8]) -> Result<Piece, Unavailable>;

    /// Fills the buffer from an address on, as far as that goes.
    fn read(&self, address: ProcAddr, buffer: &mut [u8]) -> MemoryRead {
        let mut count = 0;
        while count < buffer.len() {
            // A range that would go round the end of the address space is cut there.
            let piece = match address.0.checked_add(count as u64) {
                Some(next) => self.read_piece(ProcAddr(next), &mut buffer[count..]),
                None => Err(Unavailable::NotMapped),
            };
            match piece {
                Ok(piece) => count += piece.count,
                Err(missing) => {
                    return MemoryRead {
                        count,
                        missing: Some(missing),
                    };
                }
            }
        }
        MemoryRead {
            count,
            missing: None,
        }
    }

    /// The eight bytes at an address, as a number of this machine's byte order.
    ///
    /// # Errors
    ///
    /// Why one of the bytes cannot be had.
    fn read_u64(&self, address: ProcAddr) -> Result<u64, Unavailable> {
        let mut bytes = [0; 8];
        match self.read(address, &mut bytes).missing {
            None => Ok(u64::from_ne_bytes(bytes)),
            Some(missing) => Err(missing),
        }
    }
}

/// A process that can be looked into.
pub trait Process: ReadMemory {
    /// Its id; `None` when nothing tells.
    fn pid(&self) -> Option<u32>;

    /// Its name (`comm`): at most 15 bytes of any kind but NUL.
    fn name(&self) -> Option<OsString>;

    /// Its executable mappings, in the order of their addresses.
    fn mappings(&self) -> &[Arc<Mapping>];

    /// Its threads; in a core file the one that the signal hit comes first.
    fn threads(&self) -> Vec<Thread>;

    /// The mapping that has an address.
    fn mapping_at(&self, address: ProcAddr) -> Option<&Arc<Mapping>> {
        let mappings = self.mappings();
        let behind = mappings.partition_point(|mapping| mapping.start <= address);
        let mapping = &mappings[behind.checked_sub(1)?];
        mapping.contains(address).then_some(mapping)
    }
}

/// A thread of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Thread {
    /// Its id; in a core file that of the process's own pid namespace.
    pub tid: u32,
    /// Its name; core files have none.
    pub name: Option<OsString>,
    /// The signal that it was stopped by, if it was by one.
    pub signal: Option<i32>,
    /// Its registers; `None` while it runs, and where the machine's are not known or not whole.
    pub registers: Option<RegisterSet>,
}

/// Bytes of memory that come from one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// How many bytes were read.
    pub count: usize,
    /// Where they come from.
    pub origin: Origin,
}

/// Where bytes of a process's memory come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// The memory of the running process.
    Process,
    /// The core file: what the process had there when it was dumped.
    Core,
    /// The file that was mapped there, which has proved to be the same that the process had.
    File,
}

/// How far a read of memory went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRead {
    /// How many bytes were read.
    pub count: usize,
    /// Why there are no more; `None` when the buffer is full.
    pub missing: Option<Unavailable>,
}

/// Why a byte of a process's memory cannot be had. None of these means that it was zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Unavailable {
    /// Nothing is mapped there.
    NotMapped,
    /// It was mapped, but is not in the core file and was in no file. Whether it ever was used cannot be told.
    NotDumped,
    /// The core file should have it, but ends before it.
    Truncated,
    /// It was in a file that is not here.
    FileMissing,
    /// It was in a file that is another one now.
    OtherFile,
    /// The mapped file ends before it.
    BeyondFile,
    /// The system failed to read it.
    Failed(io::ErrorKind),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMapped => "nothing is mapped there",
            Self::NotDumped => "the core file does not have that memory",
            Self::Truncated => "the core file is truncated before it",
            Self::FileMissing => "it is in a file that is not here",
            Self::OtherFile => "it was in a file that is another one now",
            Self::BeyondFile => "the mapped file ends before it",
            Self::Failed(kind) => return write!(f, "reading failed: {kind}"),
        })
    }
}

/// The memory of a process from one address on, to read an image from that was loaded there.
pub struct Loaded<'a, P: ?Sized> {
    process: &'a P,
    start: ProcAddr,
}

impl<'a, P: ReadMemory + ?Sized> Loaded<'a, P> {
    /// Offset 0 is `start`.
    pub fn new(process: &'a P, start: ProcAddr) -> Self {
        Self { process, start }
    }
}

impl<P: ReadMemory + ?Sized> ReadAt for Loaded<'_, P> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // Images may lie above what they are relative to, so this wraps.
        let address = ProcAddr(self.start.0.wrapping_add(offset));
        Ok(self.process.read(address, buffer).count)
    }
}

impl<P: ?Sized> fmt::Debug for Loaded<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
