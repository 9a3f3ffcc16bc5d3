//! A running process as [`Process`]. What is mapped in it is the resolver's answer.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::error::is_gone;
use super::inspect::{Origin, Piece, Process, ReadMemory, Thread, Unavailable};
use super::procdir::ProcDir;
use super::{Mapping, ProcFs, ProcessError, Resolver, Snapshot};
use crate::addr::ProcAddr;

/// A running process, with what was mapped in it when this was made.
///
/// Its memory is read as it is at each moment; nothing stops the process meanwhile.
#[derive(Debug)]
pub struct LiveProcess {
    snapshot: Arc<Snapshot>,
    memory: File,
    procfs: ProcFs,
}

impl LiveProcess {
    /// The process with this id; `None` when there is none (any more).
    ///
    /// # Errors
    ///
    /// Its mappings or its memory may not be read.
    pub fn open(resolver: &Resolver, pid: u32) -> Result<Option<Self>, ProcessError> {
        resolver.mappings(pid)?;
        let Some(snapshot) = resolver.snapshot(pid) else {
            return Ok(None);
        };
        let procfs = resolver.procfs();
        let memory = ProcDir::open(procfs.root(), pid).and_then(|mut directory| {
            directory.choose_view();
            directory.memory()
        });
        match memory {
            Ok(memory) => Ok(Some(Self {
                snapshot,
                memory,
                procfs,
            })),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(ProcessError::of(pid, errno)),
        }
    }
}

impl Process for LiveProcess {
    fn pid(&self) -> Option<u32> {
        Some(self.snapshot.pid())
    }

    fn name(&self) -> Option<OsString> {
        self.procfs.name(self.snapshot.pid())
    }

    fn mappings(&self) -> &[Arc<Mapping>] {
        self.snapshot.mappings()
    }

    fn threads(&self) -> Vec<Thread> {
        let pid = self.snapshot.pid();
        let threads = self.procfs.threads(pid).into_iter();
        threads
            .map(|tid| Thread {
                tid,
                name: self.procfs.thread_name(pid, tid),
                signal: None,
                registers: None,
            })
            .collect()
    }
}

impl ReadMemory for LiveProcess {
    fn read_piece(&self, address: ProcAddr, buffer: &mut [u8]) -> Result<Piece, Unavailable> {
        // The kernel's interface has signed offsets; nothing of a program is mapped beyond.
        if i64::try_from(address.0).is_err() {
            return Err(Unavailable::NotMapped);
        }
        match self.memory.read_at(buffer, address.0) {
            // A process that has ended has no memory.
            Ok(0) => Err(Unavailable::NotMapped),
            Ok(count) => Ok(Piece {
                count,
                origin: Origin::Process,
            }),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Err(Unavailable::NotMapped)
            }
            Err(error) => Err(Unavailable::Failed(error.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::build_id_of_image;
    use crate::process::Loaded;
    use crate::process::tests::support::{own_libc, readelf_build_id};

    /// This very process: its threads, its memory, and the build-id of a library by memory alone (MEM-1).
    #[test]
    fn own_process() {
        let resolver = Resolver::new();
        let own = LiveProcess::open(&resolver, std::process::id())
            .unwrap()
            .unwrap();
        assert!(own.threads().iter().any(|thread| thread.name.is_some()));
        let value = 0x0123_4567_89ab_cdef_u64;
        let address = ProcAddr(std::ptr::from_ref(&value) as u64);
        assert_eq!(own.read_u64(address), Ok(value));
        assert_eq!(own.read_u64(ProcAddr(8)), Err(Unavailable::NotMapped));
        assert_eq!(
            own.read_u64(ProcAddr(u64::MAX)),
            Err(Unavailable::NotMapped)
        );

        let libc = own_libc();
        let mappings = own.mappings().iter();
        let text = mappings.into_iter().find(|mapping| *mapping.path == *libc);
        let text = text.expect("the C library is loaded");
        let bias = text.load_bias().expect("the C library was loaded");
        let ids = build_id_of_image(&Loaded::new(&own, ProcAddr(bias))).unwrap();
        assert_eq!(ids.gnu.map(|id| id.to_string()), readelf_build_id(&libc));
        assert!(Arc::ptr_eq(own.mapping_at(text.start).unwrap(), text));
        assert!(own.mapping_at(ProcAddr(8)).is_none());
    }

    /// A process that is not there is none, not an error.
    #[test]
    fn no_process() {
        // Above the largest value of kernel.pid_max.
        let gone = LiveProcess::open(&Resolver::new(), 4_194_305).unwrap();
        assert!(gone.is_none());
    }
}
