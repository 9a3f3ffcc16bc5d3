//! A range of a process's memory, and the binary that is mapped there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;
use super::files::map_files_link;
use super::image::Image;
use super::kind::{DELETED, MappingKind};
use super::maps_line::{Device, MapsLine, Permissions};
use super::name::memfd_name;
use super::parts::Parts;
use crate::addr::{ElfAddr, FileOffset, ProcAddr};
use crate::binary::{Binary, BuildId, FileRange, Placement};

/// A range of a process's memory: of its executable memory, or a line of its [`AddressSpace`](super::AddressSpace).
///
/// The binary behind it is opened when it is first asked for, and held open from then on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Mapping {
    /// The first address.
    pub start: ProcAddr,
    /// The first address behind the range.
    pub limit: ProcAddr,
    /// Where in the file the range begins: the maps column, which for a segment is `p_offset` rounded down
    /// to a page.
    pub offset: FileOffset,
    /// What may be done with the memory, by the first line that the range was put together of.
    pub permissions: Permissions,
    /// The device of the file as the maps line names it.
    pub device: Device,
    /// The inode number of the file; 0 for memory that is no file's.
    pub inode: u64,
    /// What kind of memory it is.
    pub kind: MappingKind,
    /// The file's path in the process's view, without ` (deleted)` and with newlines as they are; for other
    /// kinds the name that the kernel shows. Any bytes but NUL, so not always UTF-8.
    pub path: Arc<Path>,
    /// The file was deleted, or replaced by another at its path.
    pub deleted: bool,
    /// The file is the process's main binary.
    pub is_main: bool,
    pub(super) parts: Parts,
}

/// Where a mapping lies in memory and in its file, as a pprof mapping states it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProfileRange {
    /// `Mapping.memory_start`
    pub start: ProcAddr,
    /// `Mapping.memory_limit`
    pub limit: ProcAddr,
    /// `Mapping.file_offset`
    pub offset: FileOffset,
}

impl Mapping {
    /// The binary that is mapped here, opened at the first call; `None` when there is none or it cannot be
    /// opened. A failure that may pass is tried again a second later at the earliest.
    pub fn binary(&self) -> Option<&Arc<Binary>> {
        let image = self.image().filter(|image| image.missing.is_none())?;
        Some(&image.binary)
    }

    /// The binary or, of a core file's binary that is not here, what memory shows of it.
    pub(crate) fn image_binary(&self) -> Option<&Arc<Binary>> {
        Some(&self.image()?.binary)
    }

    /// Where to look for names: the binary or, of a core file's binary that is not here, its debug file.
    pub(crate) fn symbol_source(&self) -> Option<&Arc<Binary>> {
        let image = self.image()?;
        match image.missing {
            None => Some(&image.binary),
            Some(_) => image.debug_file.as_ref(),
        }
    }

    /// Why there is no binary, once it was asked for.
    pub fn binary_error(&self) -> Option<Arc<OpenError>> {
        match self.parts.image.get() {
            Some(Ok(image)) => image.missing.clone(),
            Some(Err(error)) => Some(Arc::clone(error)),
            None => self.parts.last_failure(),
        }
    }

    /// The GNU build-id of the mapped file, not of what is at its path now.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.image()?.binary.build_id()
    }

    /// Whether an address lies in the range.
    pub fn contains(&self, address: ProcAddr) -> bool {
        self.start <= address && address < self.limit
    }

    /// Which byte of the file an address shows, if the range has it.
    pub fn file_offset(&self, address: ProcAddr) -> Option<FileOffset> {
        self.contains(address)
            .then(|| FileOffset((address.0 - self.start.0).wrapping_add(self.offset.0)))
    }

    /// The address as the binary states it, which is what symbol tables and debug information speak of.
    ///
    /// It goes through the segment that the mapping came from, which the file offset alone does not tell
    /// when two segments share a page of the file. `None` for an address outside the range or in a part of
    /// its pages that is not the segment's, and when there is no binary or no segment of it fits.
    pub fn elf_addr(&self, address: ProcAddr) -> Option<ElfAddr> {
        if !self.contains(address) {
            return None;
        }
        let image = self.image()?;
        let placement = image.placement.as_ref()?;
        placement.elf_addr(
            image.binary.segments(),
            address,
            self.parts.source.page_size(),
        )
    }

    /// What is to be added, wrapping, to an address as the binary states it to get one of the process.
    pub fn load_bias(&self) -> Option<u64> {
        Some(self.image()?.placement.as_ref()?.load_bias)
    }

    /// Like [`Self::load_bias`], for a binary that another range of the same file has opened.
    pub(crate) fn load_bias_of(&self, binary: &Binary) -> Option<u64> {
        let page_size = self.parts.source.page_size();
        let placement = Placement::find(binary, self.file_range(), self.siblings(), page_size)?;
        Some(placement.load_bias)
    }

    /// The range that a pprof mapping has to state: the whole executable segment as it was loaded, of which
    /// this mapping may be a part. It contains the mapping, and it is the same for all parts.
    ///
    /// Without a binary, or with one that no loader mapped, it is the mapping itself.
    pub fn profile_range(&self) -> ProfileRange {
        let own = ProfileRange {
            start: self.start,
            limit: self.limit,
            offset: self.offset,
        };
        let placement = self.image().and_then(|image| image.placement);
        let Some(placement) = placement else {
            return own;
        };
        let page_size = self.parts.source.page_size();
        let (start, offset) = placement.segment_start(page_size);
        let limit = self
            .siblings()
            .iter()
            .filter(|range| range.executable && placement.covers(range, page_size))
            .map(|range| range.limit)
            .fold(self.limit, Ord::max);
        // A file that was not linked for pages of this size has its segments where no loader can put them.
        if start > self.start {
            return own;
        }
        ProfileRange {
            start,
            limit,
            offset,
        }
    }

    /// The link to the mapped file, relative to the process's directory in `/proc`; `None` when there is no
    /// file.
    pub fn map_files_link(&self) -> Option<PathBuf> {
        let (start, limit) = self.parts.link;
        matches!(self.kind, MappingKind::File | MappingKind::Memfd)
            .then(|| map_files_link(start, limit))
    }

    /// The name to show: for a memfd what its creator called it, else the path.
    pub fn name(&self) -> &OsStr {
        match self.kind {
            MappingKind::Memfd => memfd_name(&self.path).map(OsStr::from_bytes),
            _ => None,
        }
        .unwrap_or(self.path.as_os_str())
    }

    /// Whether both show the same byte of the same file at an address.
    pub(super) fn shows_same_as(&self, other: &Self, address: ProcAddr) -> bool {
        (self.device, self.inode, self.kind) == (other.device, other.inode, other.kind)
            && self.file_offset(address) == other.file_offset(address)
    }

    pub(super) fn file_range(&self) -> FileRange {
        FileRange {
            start: self.start,
            limit: self.limit,
            offset: self.offset,
            executable: self.permissions.execute,
        }
    }

    /// The file as a line of the maps file has it, in a range that `map_files` knows; `None` when there is none.
    pub(super) fn file_line(&self) -> Option<MapsLine> {
        self.map_files_link()?;
        let (start, limit) = self.parts.link;
        let mut path = self.path.as_os_str().to_owned();
        if self.deleted || self.kind == MappingKind::Memfd {
            path.push(OsStr::from_bytes(DELETED));
        }
        Some(MapsLine {
            start,
            limit,
            permissions: self.permissions,
            offset: self.offset,
            device: self.device,
            inode: self.inode,
            path: PathBuf::from(path).into(),
        })
    }

    pub(super) fn siblings(&self) -> &[FileRange] {
        &self.parts.siblings
    }

    /// Whether the answer to [`Self::binary`] is there already.
    pub(super) fn is_settled(&self) -> bool {
        self.parts.image.get().is_some()
    }

    pub(super) fn image(&self) -> Option<&Image> {
        match self.parts.image.get() {
            Some(image) => image.as_ref().ok(),
            None => self.parts.open(self),
        }
    }
}
