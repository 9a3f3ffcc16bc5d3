//! Whom to ask for the names of frames, and all of them at once. What was found before is remembered by [`super::name_memory`],
//! and who asks is [`super::naming_thread`].

use std::path::Path;
use std::sync::Arc;

use crate::addr::{ElfAddr, ProcAddr};
use crate::aggregate::{Frame, Place};
use crate::process::{MappingKind, ProcFs};
use crate::symbolize::{Detail, Miss, Named, Options, Readers, Source, Symbolizer};

/// How names are looked for when naming one binary may add so many bytes to the memory of the process.
pub(crate) fn naming_options(memory_limit: u64) -> Options {
    Options {
        memory_limit,
        ..Options::default()
    }
}

/// The names of each group, in its order.
pub(super) fn ask(
    readers: &mut Readers,
    groups: &[Group],
    detail: Detail,
    options: &Options,
) -> Vec<Vec<Named>> {
    let names = groups.iter().map(|group| {
        let symbolizer = Symbolizer::new(group.detail(detail), options.clone());
        symbolizer.symbolize_by(readers, &group.source, &group.addresses)
    });
    names.collect()
}

/// Addresses of one source.
pub(super) struct Group {
    pub(super) source: Source,
    /// Where the frames are that have them.
    pub(super) positions: Vec<usize>,
    pub(super) addresses: Vec<ElfAddr>,
}

impl Group {
    /// What has no file is named in any case: whoever reads the profile has nothing to name it by.
    fn detail(&self, asked: Detail) -> Detail {
        let has_file = match &self.source {
            Source::Binary(binary) => binary.path() != Path::new("[vdso]"),
            Source::Kernel | Source::PerfMap(_) => false,
        };
        if asked == Detail::None && !has_file {
            Detail::Functions
        } else {
            asked
        }
    }
}

/// What makes two sources the same.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum SourceKey {
    Kernel,
    PerfMap(u32),
    /// By address of the shared binary, which its group keeps alive.
    Binary(usize),
}

/// Whom to ask for the name of a frame, and by which address; or why nobody can be asked.
pub(super) fn question(
    frame: &Frame,
    places: &[&Place],
) -> Result<(SourceKey, Source, ElfAddr), Miss> {
    let index = frame
        .mapping
        .ok_or_else(|| Miss::Unreadable("the address is in no mapping".to_owned()))?;
    let (pid, mapping) = match places[index.position()] {
        Place::Kernel => return Ok((SourceKey::Kernel, Source::Kernel, ElfAddr(frame.address))),
        Place::User { pid, mapping } => (*pid, mapping),
    };
    if let Some(binary) = mapping.symbol_source() {
        let address = mapping
            .elf_addr(ProcAddr(frame.address))
            .ok_or(Miss::NoSymbol)?;
        let key = SourceKey::Binary(Arc::as_ptr(binary) as usize);
        return Ok((key, Source::Binary(Arc::clone(binary)), address));
    }
    match mapping.kind {
        MappingKind::Anonymous | MappingKind::Memfd => Ok((
            SourceKey::PerfMap(pid),
            Source::PerfMap(ProcFs::new().perf_map(pid)),
            ElfAddr(frame.address),
        )),
        MappingKind::File | MappingKind::Vdso => Err(Miss::Unreadable(
            mapping
                .binary_error()
                .map_or_else(|| "not opened".to_owned(), |error| error.to_string()),
        )),
        _ => Err(Miss::NoSymbol),
    }
}
