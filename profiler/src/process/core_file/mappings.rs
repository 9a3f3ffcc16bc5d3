//! The mappings of a process that was dumped, as those of a running one: lines as `/proc/PID/maps` had them, put
//! together by the same code.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::memory::{Dumped, Memory};
use super::modules::{Module, flags_at};
use super::search::FileState;
use crate::addr::{FileOffset, ProcAddr};
use crate::binary::{Binary, BinaryError, Placement};
use crate::process::image::{Image, Opener};
use crate::process::kind::MappingKind;
use crate::process::maps_line::{Device, MapsLine, Permissions};
use crate::process::{Mapping, OpenError, layout};

/// Where the kernel maps the page of its oldest interface, on x86-64 (arch/x86/include/uapi/asm/vsyscall.h).
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
/// As much of a module is kept whose file is not here: its headers and notes are in the first page or close behind.
const KEPT: u64 = 16 << 10;
/// Larger than any vDSO.
const MAX_VDSO: u64 = 1 << 20;

/// The binaries of the modules, by their number plus one, which stands for the inode number that a core file
/// does not have.
#[derive(Debug)]
struct CoreSource {
    images: Vec<Kept>,
    vdso: Option<usize>,
    page_size: u64,
}

/// A module's binary: the file, or what memory shows of it.
#[derive(Debug)]
struct Kept {
    binary: Option<Arc<Binary>>,
    missing: Option<Arc<OpenError>>,
    debug_file: Option<Arc<Binary>>,
}

/// The executable mappings of the process.
pub(super) fn of_process(
    memory: &Memory,
    modules: &[Module],
    dumped: &[Dumped],
    page_size: u64,
) -> Box<[Arc<Mapping>]> {
    let mut lines: Vec<MapsLine> = Vec::new();
    for (module, inode) in modules.iter().zip(1..) {
        add_module(module, inode, dumped, page_size, &mut lines);
    }
    let is_known = |start: u64, lines: &[MapsLine]| {
        let behind = lines.partition_point(|line| line.start.0 <= start);
        behind
            .checked_sub(1)
            .is_some_and(|index| start < lines[index].limit.0)
    };
    lines.sort_by_key(|line| line.start);
    let nameless: Vec<MapsLine> = dumped
        .iter()
        .filter(|range| range.flags & 1 != 0 && range.start < range.limit)
        .filter(|range| !is_known(range.start, &lines))
        .map(|range| {
            let name = if range.start == VSYSCALL {
                "[vsyscall]"
            } else {
                ""
            };
            let path = Arc::from(Path::new(name));
            line(range.start, range.limit, 0, range.flags, (0, &path))
        })
        .collect();
    lines.extend(nameless);
    lines.sort_by_key(|line| line.start);
    let source = Arc::new(CoreSource {
        images: modules.iter().map(|module| keep(memory, module)).collect(),
        vdso: modules.iter().position(|module| module.is_vdso),
        page_size,
    });
    let main = modules.iter().position(|module| module.is_main);
    let main = main.map(|index| (Device::default(), index as u64 + 1));
    let lines = layout::relevant(lines);
    layout::mappings(&lines, main, None, &source, &[]).into()
}

/// The lines of a module: each of its ranges, split where the permissions change.
fn add_module(
    module: &Module,
    inode: u64,
    dumped: &[Dumped],
    page_size: u64,
    lines: &mut Vec<MapsLine>,
) {
    if module.is_vdso {
        let file = (0, &module.path);
        lines.push(line(module.start.0, module.limit.0, 0, 5, file));
        return;
    }
    let path = file_path(module);
    for range in &module.ranges {
        let mut at = range.start;
        while at < range.limit {
            let (flags, limit) = flags_at(dumped, at).unwrap_or_else(|| {
                let behind = dumped.partition_point(|range| range.start <= at);
                let next = dumped.get(behind).map_or(range.limit, |next| next.start);
                (4 | u32::from(module.is_executable_at(at, page_size)), next)
            });
            let limit = limit.min(range.limit);
            let offset = range.offset.wrapping_add(at - range.start);
            lines.push(line(at, limit, offset, flags, (inode, &path)));
            at = limit;
        }
    }
}

/// The name of a module's file for its mappings; one of another shape would be taken for something of the kernel's.
fn file_path(module: &Module) -> Arc<Path> {
    let found = match &module.file {
        FileState::Found { path, .. } => path.canonicalize().ok(),
        FileState::Memory | FileState::Missing(_) => None,
    };
    match found {
        _ if module.path.is_absolute() => Arc::clone(&module.path),
        Some(path) => path.into(),
        None => Path::new("/")
            .join(format!("elf-at-{:x}", module.start))
            .into(),
    }
}

/// `flags` are those of a program header: 1 to execute, 2 to write, 4 to read.
fn line(
    start: u64,
    limit: u64,
    offset: u64,
    flags: u32,
    (inode, path): (u64, &Arc<Path>),
) -> MapsLine {
    MapsLine {
        start: ProcAddr(start),
        limit: ProcAddr(limit),
        permissions: Permissions {
            read: flags & 4 != 0,
            write: flags & 2 != 0,
            execute: flags & 1 != 0,
            shared: false,
        },
        offset: FileOffset(offset),
        device: Device::default(),
        inode,
        path: Arc::clone(path),
    }
}

fn keep(memory: &Memory, module: &Module) -> Kept {
    let from_memory = |most| {
        let image = memory.dumped_from(module.start.0, most);
        let ids = module.build_ids.clone();
        Binary::from_loaded(&image, &module.path, ids)
            .inspect_err(|error| log::debug!("{}: {error}", module.path.display()))
            .ok()
            .map(Arc::new)
    };
    let (binary, missing, debug_file) = match &module.file {
        FileState::Found { binary, .. } => (Some(Arc::clone(binary)), None, None),
        FileState::Memory => (from_memory(MAX_VDSO), None, None),
        FileState::Missing(missing) => (
            module.load_bias.and_then(|_| from_memory(KEPT)),
            Some(Arc::clone(&missing.why)),
            missing.debug_file.clone(),
        ),
    };
    Kept {
        binary,
        missing,
        debug_file,
    }
}

impl Opener for CoreSource {
    fn open(&self, mapping: &Mapping) -> Result<Image, OpenError> {
        let index = match mapping.kind {
            MappingKind::Vdso => self.vdso,
            MappingKind::File => mapping.inode.checked_sub(1).map(|index| index as usize),
            _ => None,
        };
        let kept = index
            .and_then(|index| self.images.get(index))
            .ok_or(OpenError::NoFile)?;
        let Some(binary) = &kept.binary else {
            return Err(match kept.missing.as_deref() {
                Some(OpenError::Unverified(path)) => OpenError::Unverified(path.clone()),
                Some(_) => OpenError::Missing,
                None => BinaryError::NotElf.into(),
            });
        };
        let placement = Placement::find(
            binary,
            mapping.file_range(),
            mapping.siblings(),
            self.page_size,
        );
        Ok(Image {
            binary: Arc::clone(binary),
            placement,
            missing: kept.missing.clone(),
            debug_file: kept.debug_file.clone(),
        })
    }

    /// What of it was dumped is in the images already.
    fn memory(&self) -> Result<File, OpenError> {
        Err(OpenError::Missing)
    }

    fn page_size(&self) -> u64 {
        self.page_size
    }

    /// What is not here does not come.
    fn retry_after(&self) -> Duration {
        Duration::MAX
    }
}
