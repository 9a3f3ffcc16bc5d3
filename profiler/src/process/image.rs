//! Opening the binary of a mapping, once, and finding out how it lies in memory.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::counters::{Counters, add};
use super::files::{open_left_behind, open_mapped};
use super::kind::MappingKind;
use super::mapping::Mapping;
use super::maps::parse_maps;
use super::maps_line::{Device, MapsLine};
use super::procdir::ProcDir;
use super::slow_files::{Answer, SlowFiles};
use super::{OpenError, error::is_gone};
use crate::addr::ProcAddr;
use crate::binary::{Binary, BinaryCache, BinaryError, Placement, ReadAt};

/// Larger than any vDSO: the kernel's have two to six pages.
const MAX_VDSO: u64 = 1 << 20;

/// What all processes of a resolver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) proc_root: PathBuf,
    pub(super) binaries: BinaryCache,
    /// The vDSOs met so far: one for each kind of program that runs.
    pub(super) vdsos: Mutex<Vec<Vdso>>,
    /// Files whose file systems may not answer.
    pub(super) slow_files: SlowFiles,
    pub(super) counters: Counters,
    pub(super) warned: AtomicBool,
    /// Whether changes of processes' memory are told.
    pub(super) told: AtomicBool,
    pub(super) page_size: u64,
    /// For how long it is believed that a process is still the one that it was.
    pub(super) recheck_after: Duration,
    /// How long a failure that may pass is not tried again.
    pub(super) retry_after: Duration,
}

/// A vDSO, known by its content.
#[derive(Debug)]
pub(super) struct Vdso {
    image: Box<[u8]>,
    binary: Arc<Binary>,
    /// It is that of 64-bit programs, of which a kernel has one.
    is_wide: bool,
}

/// Which process a mapping was read from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) shared: Arc<Shared>,
    pub(super) pid: u32,
    pub(super) started: Started,
    /// The process that it was forked from, if that was told.
    pub(super) parent: Option<u32>,
}

/// When a process was started, in clock ticks since boot: what distinguishes it from others that have its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Started {
    /// As `/proc` says; `None` when it does not.
    At(Option<u64>),
    /// It was there at this time, so whoever has its id and was started later is another.
    By(u64),
}

impl Started {
    /// Whether a process that was started at this time by what `/proc` says is this one.
    pub(super) fn fits(self, start_time: Option<u64>) -> bool {
        match self {
            Self::At(time) => time == start_time,
            Self::By(limit) => start_time.is_none_or(|time| time <= limit),
        }
    }
}

impl Shared {
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// The vDSO of 64-bit programs, if it is known and of this size.
    fn wide_vdso(&self, size: u64) -> Option<Arc<Binary>> {
        let vdsos = self.vdsos.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wide = vdsos.iter().filter(|vdso| vdso.is_wide);
        let known = wide.find(|vdso| vdso.image.len() as u64 == size)?;
        Some(Arc::clone(&known.binary))
    }
}

/// Who opens the binaries of a process's mappings.
pub(super) trait Opener: fmt::Debug + Send + Sync {
    /// Opens the binary of one of this process's mappings.
    fn open(&self, mapping: &Mapping) -> Result<Image, OpenError>;

    /// The memory of the process, while it runs.
    fn memory(&self) -> Result<File, OpenError>;

    /// The page size of the system that the process runs on.
    fn page_size(&self) -> u64;

    /// How long a failure that may pass is not tried again.
    fn retry_after(&self) -> Duration;
}

/// A mapping's binary and how it lies in memory.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) binary: Arc<Binary>,
    /// `None` when no segment can have made the mapping.
    pub(super) placement: Option<Placement>,
    /// Why the binary is only what memory shows of its file; `None` when it is the file.
    pub(super) missing: Option<Arc<OpenError>>,
    /// A separate debug file, when that is all there is of the file.
    pub(super) debug_file: Option<Arc<Binary>>,
}

impl Opener for Source {
    fn open(&self, mapping: &Mapping) -> Result<Image, OpenError> {
        if !mapping.kind.has_image() {
            return Err(OpenError::NoFile);
        }
        let counters = &self.shared.counters;
        let binary = self
            .binary(mapping)
            .inspect(|_| add(&counters.opened, 1))
            .inspect_err(|_| add(&counters.not_opened, 1))?;
        let placement = Placement::find(
            &binary,
            mapping.file_range(),
            mapping.siblings(),
            self.shared.page_size,
        );
        Ok(Image {
            binary,
            placement,
            missing: None,
            debug_file: None,
        })
    }

    fn memory(&self) -> Result<File, OpenError> {
        let memory = self.directory()?.memory();
        memory.map_err(|errno| OpenError::Binary(errno.into()))
    }

    fn page_size(&self) -> u64 {
        self.shared.page_size
    }

    fn retry_after(&self) -> Duration {
        self.shared.retry_after
    }
}

impl Source {
    fn binary(&self, mapping: &Mapping) -> Result<Arc<Binary>, OpenError> {
        // An inode that is held open is not given to another file, so this is the mapped one. It even
        // answers for a process that has gone since its mappings were read.
        let (device, inode) = (mapping.device.st_dev(), mapping.inode);
        if let Some(binary) = self.shared.binaries.find_inode(device, inode) {
            return Ok(binary);
        }
        if mapping.kind == MappingKind::Vdso {
            return self.vdso_of(mapping);
        }
        if mapping.kind == MappingKind::File
            && self.may_hang(mapping.device)
            && let Some(binary) = self.copied(mapping)?
        {
            self.shared.binaries.learn_alias(&binary, device, inode);
            return Ok(binary);
        }
        let file = self
            .directory()
            .and_then(|directory| self.open_mapped(&directory, mapping))
            .or_else(|error| match error {
                OpenError::Gone | OpenError::Deleted => {
                    open_left_behind(mapping, &self.shared.proc_root, self.parent).ok_or(error)
                }
                error => Err(error),
            })?;
        let binary = self.shared.binaries.get(file, &mapping.path)?;
        self.shared.binaries.learn_alias(&binary, device, inode);
        Ok(binary)
    }

    /// Whether the file system of a device may not answer, so that nothing may be asked of it.
    pub(super) fn may_hang(&self, device: Device) -> bool {
        let proc_root = &self.shared.proc_root;
        let slow_files = &self.shared.slow_files;
        slow_files.may_hang(device, || {
            [
                proc_root.join(format!("{}/mountinfo", self.pid)),
                proc_root.join("self/mountinfo"),
            ]
        })
    }

    /// Whether the file systems of all these files may be asked about them.
    pub(super) fn may_ask(&self, lines: &[MapsLine]) -> bool {
        let mut files = lines.iter().filter(|line| line.inode != 0);
        !files.any(|line| self.may_hang(line.device))
    }

    /// The binary of a file whose file system may not answer, as a copy; `None` when it can be used where it is.
    fn copied(&self, mapping: &Mapping) -> Result<Option<Arc<Binary>>, OpenError> {
        let link = mapping.map_files_link().ok_or(OpenError::NoFile)?;
        let path = self.shared.proc_root.join(self.pid.to_string()).join(link);
        let key = (mapping.device, mapping.inode);
        let Answer::Copy(copy) = self.shared.slow_files.get(key, &path)? else {
            return Ok(None);
        };
        // Without a directory: nobody shall look for debug files beside it.
        let name = mapping.path.file_name().unwrap_or_default();
        self.shared
            .binaries
            .get(copy, Path::new(name))
            .map(Some)
            .map_err(OpenError::from)
    }

    fn open_mapped(&self, directory: &ProcDir, mapping: &Mapping) -> Result<File, OpenError> {
        let opened = open_mapped(directory, mapping);
        if opened.link_denied {
            add(&self.shared.counters.map_files_denied, 1);
        }
        opened.file
    }

    /// The process's directory, if it is still this process's.
    fn directory(&self) -> Result<ProcDir, OpenError> {
        let mut directory =
            ProcDir::open(&self.shared.proc_root, self.pid).map_err(|errno| match errno {
                errno if is_gone(errno) => OpenError::Gone,
                errno => OpenError::Binary(errno.into()),
            })?;
        if !self.started.fits(directory.start_time()) {
            return Err(OpenError::Gone);
        }
        directory.choose_view();
        Ok(directory)
    }

    /// That of a process with 64 bit need not be read again: the kernel maps the same into all of them, and to look into each
    /// program that is started for it cost more than all else about it.
    fn vdso_of(&self, mapping: &Mapping) -> Result<Arc<Binary>, OpenError> {
        if is_wide(mapping.start)
            && let Some(binary) = self.shared.wide_vdso(size(mapping.start, mapping.limit))
        {
            return Ok(binary);
        }
        self.directory()
            .and_then(|directory| self.vdso(&directory, mapping.start, mapping.limit))
            .or_else(|error| self.own_vdso(mapping).map_err(|_| error))
    }

    /// The vDSO is no file; its bytes are taken from the process's memory.
    fn vdso(
        &self,
        directory: &ProcDir,
        start: ProcAddr,
        limit: ProcAddr,
    ) -> Result<Arc<Binary>, OpenError> {
        let image = read_memory(directory, start, limit)?;
        let mut vdsos = self
            .shared
            .vdsos
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = vdsos.iter().find(|vdso| vdso.image == image) {
            return Ok(Arc::clone(&known.binary));
        }
        let binary = Arc::new(Binary::from_image(&image, "[vdso]")?);
        vdsos.push(Vdso {
            image,
            binary: Arc::clone(&binary),
            is_wide: is_wide(start),
        });
        Ok(binary)
    }

    /// The vDSO of this process for one that has given up its memory: the kernel gives all processes of a kind the same. Those of
    /// another kind (32-bit ones) have it at low addresses, and it is of another size.
    fn own_vdso(&self, mapping: &Mapping) -> Result<Arc<Binary>, OpenError> {
        let gone = |_| OpenError::Gone;
        let mut own = ProcDir::open(&self.shared.proc_root, std::process::id()).map_err(gone)?;
        let maps = parse_maps(&own.maps().map_err(gone)?);
        let alike = maps.lines.iter().find(|line| {
            MappingKind::of_name(&line.path) == MappingKind::Vdso
                && size(line.start, line.limit) == size(mapping.start, mapping.limit)
                && is_wide(line.start) == is_wide(mapping.start)
        });
        let line = alike.ok_or(OpenError::Gone)?;
        self.vdso(&own, line.start, line.limit)
    }
}

fn size(start: ProcAddr, limit: ProcAddr) -> u64 {
    limit.0.saturating_sub(start.0)
}

/// Whether only a 64-bit program can have something there.
fn is_wide(start: ProcAddr) -> bool {
    start.0 > u64::from(u32::MAX)
}

fn read_memory(
    directory: &ProcDir,
    start: ProcAddr,
    limit: ProcAddr,
) -> Result<Box<[u8]>, BinaryError> {
    let size = size(start, limit);
    if size > MAX_VDSO {
        return Err(BinaryError::Malformed("vDSO, which is too large"));
    }
    let memory = directory.memory()?;
    let mut image = vec![0; size as usize];
    let mut done = 0;
    while done < image.len() {
        match memory.read_at(start.0 + done as u64, &mut image[done..])? {
            0 => return Err(BinaryError::Truncated("vDSO")),
            count => done += count,
        }
    }
    Ok(image.into())
}
