//! All that a process has mapped, executable or not, as it is now. What of it samples can be in is left to `snapshot`.

use std::sync::Arc;

use super::error::is_gone;
use super::layout;
use super::main_binary::main_file;
use super::mapping::Mapping;
use super::procdir::ProcDir;
use super::state::{read_maps, unreadable};
use super::{ProcessError, Resolver};
use crate::addr::ProcAddr;

/// All that a process had mapped at one time: each line of its maps file as a [`Mapping`] of its own.
///
/// Nothing is joined or left out, so this is also where the data of a library is, which a
/// [`Snapshot`](super::Snapshot) leaves out. Files are opened when they are asked for, and shared with other processes.
#[derive(Debug)]
pub struct AddressSpace {
    pid: u32,
    start_time: Option<u64>,
    mappings: Vec<Arc<Mapping>>,
}

impl Resolver {
    /// All that a process has mapped, read at each call; `None` when there is no such process. Kernel threads and zombies
    /// have nothing mapped.
    ///
    /// # Errors
    ///
    /// The maps file cannot be read: rights or descriptors are missing.
    pub fn address_space(&self, pid: u32) -> Result<Option<AddressSpace>, ProcessError> {
        let shared = &self.shared;
        let read = ProcDir::open(&shared.proc_root, pid).and_then(|mut directory| {
            let (source, maps) = read_maps(shared, pid, None, &mut directory)?;
            let auxv = directory.auxv().unwrap_or_default();
            let may_ask = source.may_ask(&maps.lines);
            let main = main_file(&directory, may_ask, &maps.lines, &auxv);
            Ok(AddressSpace {
                pid,
                start_time: directory.start_time(),
                mappings: layout::lines(&maps.lines, main, may_ask.then_some(&directory), &source),
            })
        });
        match read {
            Ok(space) => Ok(Some(space)),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(unreadable(shared, pid, errno)),
        }
    }
}

impl AddressSpace {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When the process was started, in clock ticks since boot; `None` when `/proc` did not tell.
    pub fn start_time(&self) -> Option<u64> {
        self.start_time
    }

    /// Each line of the maps file, in the order of the addresses.
    pub fn mappings(&self) -> &[Arc<Mapping>] {
        &self.mappings
    }

    /// The line that has an address.
    pub fn find(&self, address: ProcAddr) -> Option<&Arc<Mapping>> {
        let behind = self
            .mappings
            .partition_point(|mapping| mapping.start <= address);
        let mapping = &self.mappings[behind.checked_sub(1)?];
        mapping.contains(address).then_some(mapping)
    }
}
