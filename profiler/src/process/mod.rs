//! Processes: what is mapped where, from which file, and who that file is.
//!
//! A [`Resolver`] turns a process id and an address into a [`Mapping`]. It reads `/proc/PID/maps` once per
//! process, lazily, and opens a mapped file when an address in it is first asked for, so that the file can
//! still be read when the process has gone and its name means something else. It follows the process in
//! time as far as it is told: see [`Resolver::invalidate`], [`Resolver::invalidate_addr`] and
//! [`Resolver::replace`]; whoever tells it everything asks for times ([`Resolver::follow_events`]).
//!
//! Names of functions are left to [`crate::symbolize`], the content of the files to [`crate::binary`], and
//! learning of new mappings, exec and exit to whoever samples.
//!
//! ```no_run
//! use profiler::addr::ProcAddr;
//! use profiler::process::Resolver;
//!
//! let resolver = Resolver::new();
//! if let Some(mapping) = resolver.lookup(4242, ProcAddr(0x7f00_0000_1234)) {
//!     println!("{} {:?}", mapping.path.display(), mapping.build_id());
//! }
//! ```

mod access;
mod address_space;
mod auxv;
mod core_file;
mod counters;
mod error;
mod family;
mod files;
mod image;
mod inspect;
mod join;
mod kind;
mod layout;
mod lifetime;
mod live;
mod main_binary;
mod mapping;
mod maps;
mod maps_line;
mod memory_image;
mod name;
mod namespace;
mod parts;
mod perf_map;
mod procdir;
mod procfs;
mod registers;
mod resolver;
mod slot;
mod slow_files;
mod snapshot;
mod state;
mod text_copy;
mod timeline;
mod told;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use access::Access;
pub use address_space::AddressSpace;
pub use core_file::{
    CoreError, CoreFile, CoreNote, Damage, FileState, MappedRange, Missing, Module, ProgramInfo,
    Search, SignalInfo, signal_name,
};
pub use counters::{ResolverStats, Warning};
pub use error::{OpenError, ProcessError};
pub use files::openable_path;
pub use inspect::{Loaded, MemoryRead, Origin, Piece, Process, ReadMemory, Thread, Unavailable};
pub use kind::MappingKind;
pub use live::LiveProcess;
pub use mapping::{Mapping, ProfileRange};
pub use maps::{Maps, parse_maps};
pub use maps_line::{Device, MapsLine, Permissions};
pub use procfs::ProcFs;
pub use registers::RegisterSet;
pub use resolver::Resolver;
pub use snapshot::Snapshot;
