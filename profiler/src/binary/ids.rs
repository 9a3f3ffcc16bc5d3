//! Finding the build-ids of a file or an image: which notes count, and where to look for them.
//!
//! Program headers first: they are what a running image still has, and `strip` may take the section headers.
//! Then note sections: Go's own linker writes the GNU note where no program header points.

use std::path::Path;

use super::ahead::Ahead;
use super::elf::{Headers, NoteRegion};
use super::notes::{Note, Notes};
use super::read_at::read_exact;
use super::{BinaryError, BuildId, ReadAt, open_regular};

/// `NT_GNU_BUILD_ID` of owner `GNU` (include/elf/common.h of binutils).
const NT_GNU_BUILD_ID: u32 = 3;
/// The action id and content id that the Go linker writes, of owner `Go` (cmd/internal/buildid of Go).
const NT_GO_BUILD_ID: u32 = 4;
/// Real ids have 8 to 64 bytes, Go's about 80. A larger one is not worth the memory.
const MAX_ID_SIZE: u64 = 4096;
/// More notes than any real region has; the probe notes of large programs come to thousands.
const MAX_NOTES: usize = 1 << 16;

/// The ids that a binary's notes hold.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BuildIds {
    /// The GNU build-id: what pprof, perf and debuginfod identify a binary by.
    pub gnu: Option<BuildId>,
    /// The Go build id, the text that `go tool buildid` prints; no other tool asks for it.
    pub go: Option<Box<[u8]>>,
}

/// Where the bytes of an ELF image lie in its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// At their file offsets.
    File,
    /// Where loading put them, relative to the ELF header.
    Loaded,
}

/// The GNU build-id of the file at `path`; `None` when the file has none.
///
/// # Errors
///
/// The file cannot be read, is not a regular file (which is noticed without opening it), is not an ELF
/// file, or is cut short before an id was found.
pub fn read_build_id(path: &Path) -> Result<Option<BuildId>, BinaryError> {
    read_build_ids(path).map(|ids| ids.gnu)
}

/// The GNU build-id and the Go build id of the file at `path`.
///
/// # Errors
///
/// As [`read_build_id`].
pub fn read_build_ids(path: &Path) -> Result<BuildIds, BinaryError> {
    let (file, _) = open_regular(path)?;
    build_id_of_file(&Ahead::new(&file))
}

/// The build-ids of an ELF file.
///
/// # Errors
///
/// As [`read_build_id`]. A damaged note is an error only if no GNU build-id is found elsewhere in the file.
pub fn build_id_of_file(source: &(impl ReadAt + ?Sized)) -> Result<BuildIds, BinaryError> {
    ids_of_file(source, &Headers::read(source)?)
}

/// The build-ids of an image that has been loaded: the vDSO, or a program seen through its memory.
///
/// Offset 0 of `source` is the image's ELF header. Only program headers are looked at; section headers are
/// not part of what is loaded.
///
/// # Errors
///
/// As [`build_id_of_file`].
pub fn build_id_of_image(source: &(impl ReadAt + ?Sized)) -> Result<BuildIds, BinaryError> {
    let headers = Headers::read(source)?;
    let mut ids = BuildIds::default();
    collect(source, &headers, &headers.notes, Layout::Loaded, &mut ids)?;
    Ok(ids)
}

/// Like [`build_id_of_file`], for somebody who has read the headers already.
pub(super) fn ids_of_file(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
) -> Result<BuildIds, BinaryError> {
    let mut ids = BuildIds::default();
    let segments = collect(source, headers, &headers.notes, Layout::File, &mut ids);
    if ids.gnu.is_some() {
        return Ok(ids);
    }
    let sections = headers
        .note_sections(source)
        .and_then(|notes| collect(source, headers, &notes, Layout::File, &mut ids));
    if ids.gnu.is_none() {
        segments.and(sections)?;
    }
    Ok(ids)
}

/// Looks through all regions, the damaged ones as far as they go, and reports the first damage.
fn collect(
    source: &(impl ReadAt + ?Sized),
    headers: &Headers,
    regions: &[NoteRegion],
    layout: Layout,
    ids: &mut BuildIds,
) -> Result<(), BinaryError> {
    let start = headers.segments.first().map_or(0, super::Segment::delta);
    let mut result = Ok(());
    for region in regions {
        let offset = match layout {
            Layout::File => region.offset,
            Layout::Loaded => region.vaddr.wrapping_sub(start),
        };
        let notes = Notes::new(source, headers.endian, offset, region.size, region.align);
        let found = notes
            .take(MAX_NOTES)
            .try_for_each(|note| take_id(source, &note?, ids));
        result = result.and(found);
    }
    result
}

/// Keeps the first id of each kind.
fn take_id(
    source: &(impl ReadAt + ?Sized),
    note: &Note,
    ids: &mut BuildIds,
) -> Result<(), BinaryError> {
    // Type numbers belong to their owner: 3 is a probe for `stapsdt` and a process state for `CORE`.
    if ids.gnu.is_none() && note.kind == NT_GNU_BUILD_ID && note.has_name(b"GNU\0") {
        ids.gnu = BuildId::from_bytes(&descriptor(source, note)?);
    } else if ids.go.is_none() && note.kind == NT_GO_BUILD_ID && note.has_name(b"Go\0\0") {
        ids.go = Some(descriptor(source, note)?.into());
    }
    Ok(())
}

fn descriptor(source: &(impl ReadAt + ?Sized), note: &Note) -> Result<Vec<u8>, BinaryError> {
    if note.desc_size > MAX_ID_SIZE {
        return Err(BinaryError::Malformed("build-id, which is too long"));
    }
    let mut bytes = vec![0; note.desc_size as usize];
    read_exact(source, note.desc_offset, &mut bytes, "note")?;
    Ok(bytes)
}
