//! What an ELF file says about itself: its build-id, its segments, and how file offsets become addresses.
//!
//! Files are opened once and the descriptor is kept, so that everything behind this module works for files
//! that have been deleted or replaced since. Names of functions are left to [`crate::symbolize`]; finding
//! the file that a process has mapped is left to [`crate::process`].
//!
//! ```no_run
//! use profiler::addr::FileOffset;
//! use profiler::binary::{AddressMapper, Binary, read_build_id};
//!
//! # fn main() -> Result<(), profiler::binary::BinaryError> {
//! let id = read_build_id("/usr/bin/true".as_ref())?;
//! println!("{}", id.map(|id| id.to_string()).unwrap_or_default());
//!
//! let binary = Binary::open("/usr/bin/true")?;
//! let mapper = AddressMapper::new(binary.segments(), 4096);
//! println!("{:?}", mapper.elf_addr(FileOffset(0x1040)));
//! # Ok(())
//! # }
//! ```

mod ahead;
mod build_id;
mod cache;
mod elf;
mod error;
mod file;
mod ids;
mod image;
mod notes;
mod open;
mod placement;
mod read_at;
mod segment;
mod symbols;
mod table;

#[cfg(test)]
pub(crate) mod elf_builder;
#[cfg(test)]
mod tests;

pub use build_id::{BuildId, ParseBuildIdError};
pub use cache::BinaryCache;
pub use error::BinaryError;
pub use file::FileId;
pub use ids::{BuildIds, build_id_of_file, build_id_of_image, read_build_id, read_build_ids};
pub use image::Binary;
pub(crate) use open::{open_regular, open_regular_at};
pub(crate) use placement::{FileRange, Placement};
pub use read_at::ReadAt;
pub use segment::{AddressMapper, Segment};
pub use symbols::{Symbol, SymbolPattern, SymbolType, SymbolVersion, find_symbols};
