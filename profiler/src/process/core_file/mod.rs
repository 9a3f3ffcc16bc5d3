//! ELF core files: a process as it was when it was dumped, by the kernel or by gdb's `gcore`.
//!
//! Notes tell of threads, signal and mapped files, program headers of memory. What is damaged costs only
//! itself: a file that was cut off still has the threads and the memory before the cut. Nothing is read before it
//! is asked for, so that the size of a core file does not matter. Walking stacks is left to [`crate::unwind`].
//!
//! ```no_run
//! use profiler::process::{CoreFile, Process, Search};
//!
//! # fn main() -> Result<(), profiler::process::CoreError> {
//! let core = CoreFile::open("core.4711".as_ref(), &Search::default())?;
//! for thread in core.threads() {
//!     println!("{} {:?}", thread.tid, thread.registers.map(|set| set.instruction_pointer()));
//! }
//! # Ok(())
//! # }
//! ```

mod auxiliary;
mod bytes;
mod error;
mod file_list;
mod layers;
mod link_map;
mod mappings;
mod memory;
mod modules;
mod notes;
mod search;
mod signals;
mod status;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

pub use error::{CoreError, Damage};
pub use file_list::MappedRange;
pub use modules::Module;
pub use notes::CoreNote;
pub use search::{FileState, Missing, Search};
pub use signals::signal_name;
pub use status::{ProgramInfo, SignalInfo};

use super::{Mapping, Piece, Process, ReadMemory, Thread, Unavailable};
use crate::addr::{ElfAddr, FileOffset, ProcAddr};
use crate::binary::{Identity, PT_LOAD, PT_NOTE, Program};
use auxiliary::Auxiliary;
use bytes::{Bytes, Format};
use memory::{Dumped, Memory};

/// `ET_CORE` of the ELF header.
const ET_CORE: u16 = 4;

/// A core file, opened, with the files of its modules as far as they are here.
#[derive(Debug)]
pub struct CoreFile {
    identity: Identity,
    memory: Memory,
    dumped: Vec<Dumped>,
    notes: Vec<CoreNote>,
    threads: Vec<Thread>,
    program: Option<ProgramInfo>,
    signal: Option<SignalInfo>,
    files: Vec<MappedRange>,
    modules: Vec<Module>,
    mappings: Box<[Arc<Mapping>]>,
    damages: Vec<Damage>,
}

impl CoreFile {
    /// Opens the core file at a path.
    ///
    /// # Errors
    ///
    /// It is no core file, or the program that `search` names is not the one that the process ran. A core file that is
    /// damaged is none of these: see [`Self::damages`].
    pub fn open(path: &Path, search: &Search) -> Result<Self, CoreError> {
        Self::of(Bytes::open(path)?, search)
    }

    /// Takes the bytes of a core file.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_bytes(bytes: Vec<u8>, search: &Search) -> Result<Self, CoreError> {
        Self::of(Bytes::of(bytes)?, search)
    }

    fn of(bytes: Bytes, search: &Search) -> Result<Self, CoreError> {
        let identity = Identity::read(&bytes).map_err(|error| match error {
            crate::binary::BinaryError::NotElf => CoreError::NotElf,
            error => CoreError::Header(error),
        })?;
        if identity.kind != ET_CORE {
            return Err(CoreError::NotCore(kind_name(identity.kind)));
        }
        let mut damages = Vec::new();
        let (mut loads, mut regions): (Vec<Program>, Vec<Program>) = (Vec::new(), Vec::new());
        let read = identity.programs(&bytes, |program| match program.kind {
            PT_LOAD => loads.push(program),
            PT_NOTE => regions.push(program),
            _ => {}
        });
        if let Err(error) = read {
            damages.push(Damage::ProgramHeaders(error.to_string()));
        }
        if regions.is_empty() {
            damages.push(Damage::NoNotes);
        }
        let notes = notes::read(&bytes, &identity, &regions, &mut damages);
        let (memory, dumped) = Memory::new(bytes, &loads, &mut damages);
        let mut core = Self {
            identity,
            memory,
            dumped,
            notes,
            threads: Vec::new(),
            program: None,
            signal: None,
            files: Vec::new(),
            modules: Vec::new(),
            mappings: Box::default(),
            damages,
        };
        core.read_notes();
        core.find_modules(search)?;
        Ok(core)
    }

    /// Reads the notes that are known.
    fn read_notes(&mut self) {
        let format = self.format();
        let mut files = None;
        for note in &self.notes {
            let bytes = || self.memory.bytes().available(note.offset, note.size);
            if note.is(notes::NT_PRSTATUS) {
                let thread = status::thread(format, self.identity.machine, &bytes());
                let index = self.threads.len();
                let is_whole = note.offset.saturating_add(note.size) <= self.memory.bytes().size;
                if !is_whole || thread.is_none() {
                    self.damages.push(Damage::Thread { index });
                }
                self.threads.extend(thread);
            } else if note.is(notes::NT_PRPSINFO) {
                self.program = self
                    .program
                    .take()
                    .or_else(|| status::program(format, &bytes()));
            } else if note.is(notes::NT_SIGINFO) {
                self.signal = self.signal.or_else(|| status::signal(format, &bytes()));
            } else if note.is(notes::NT_FILE) && files.is_none() {
                files = Some(file_list::parse(format, &bytes(), &mut self.damages));
            }
        }
        match files {
            Some(Ok(files)) => self.files = files,
            Some(Err(damage)) => self.damages.push(damage),
            None => self.damages.push(Damage::NoFileList),
        }
    }

    fn find_modules(&mut self, search: &Search) -> Result<(), CoreError> {
        let auxiliary = self.auxiliary();
        let mut modules = if self.files.is_empty() {
            modules::of_memory(&self.memory, &self.dumped, auxiliary.page_size)
        } else {
            modules::of_files(&self.memory, &self.files, &self.dumped)
        };
        if let Some(start) = auxiliary.vdso {
            modules.retain(|module| module.start.0 != start);
            modules.extend(modules::vdso(&self.memory, &self.dumped, start));
            modules.sort_by_key(|module| module.start);
        }
        self.choose_main(&mut modules, &auxiliary);
        search::find_all(&self.memory, &mut modules, search)?;
        self.lay_files(&mut modules, auxiliary.page_size);
        self.mappings =
            mappings::of_process(&self.memory, &modules, &self.dumped, auxiliary.page_size);
        self.modules = modules;
        Ok(())
    }

    /// The main module is the one with the program headers that the kernel told the program of. Without a list of
    /// files it gives the others their names.
    fn choose_main(&self, modules: &mut [Module], auxiliary: &Auxiliary) {
        let has_headers = |module: &Module| {
            auxiliary.program_headers.is_some_and(|address| {
                module.start.0 <= address && address < module.limit.0 && !module.is_vdso
            })
        };
        let Some(main) = modules.iter().position(has_headers) else {
            return;
        };
        modules[main].is_main = true;
        if !self.files.is_empty() {
            return;
        }
        let (start, bias) = (modules[main].start, modules[main].load_bias.unwrap_or(0));
        for (bias, name) in link_map::names(&self.memory, self.format(), start, bias) {
            let named = modules
                .iter_mut()
                .find(|module| module.load_bias == Some(bias) && !module.is_vdso);
            if let Some(module) = named.filter(|_| name.is_absolute()) {
                module.path = name.into();
            }
        }
        if let Some(name) = auxiliary.executable_name {
            modules[main].path = Path::new(&link_map::text(&self.memory, name)).into();
        }
    }

    /// Lays the files under the memory, and looks whether their offsets can be right.
    fn lay_files(&mut self, modules: &mut [Module], page_size: u64) {
        for module in modules.iter_mut().filter(|module| !module.is_vdso) {
            let file = match &module.file {
                FileState::Found { binary, .. } => Ok(Arc::clone(binary)),
                FileState::Missing(missing) => Err(match *missing.why {
                    super::OpenError::OtherBuild { .. } => Unavailable::OtherFile,
                    _ => Unavailable::FileMissing,
                }),
                FileState::Memory => continue,
            };
            if let Ok(binary) = &file {
                let size = binary.id().size;
                // What is mapped begins at a page of the file, so other numbers cannot be bytes.
                let is_beyond = |range: &&mut modules::FilePartRange| {
                    range.offset != range.stated
                        && range.offset >= size
                        && range.stated < size
                        && range.stated.is_multiple_of(page_size)
                };
                let wrong = module.ranges.iter_mut().filter(is_beyond);
                if wrong.map(|range| range.offset = range.stated).count() > 0 {
                    let path = module.path.to_path_buf();
                    self.damages.push(Damage::FileOffsets { path });
                }
            }
            let index = self.memory.add_file(file);
            for range in &module.ranges {
                self.memory
                    .add_part(index, range.start, range.limit, range.offset);
            }
        }
    }

    fn auxiliary(&self) -> Auxiliary {
        let note = self.notes.iter().find(|note| note.is(notes::NT_AUXV));
        let bytes = note.map(|note| self.memory.bytes().available(note.offset, note.size));
        Auxiliary::parse(self.format(), &bytes.unwrap_or_default())
    }

    fn format(&self) -> Format {
        Format {
            endian: self.identity.endian,
            is_64: self.identity.is_64,
        }
    }
}

/// What the core file says.
impl CoreFile {
    /// The program: id, name and arguments; `None` when there is no such note.
    pub fn program(&self) -> Option<&ProgramInfo> {
        self.program.as_ref()
    }

    /// The signal that ended the process; `None` for what was dumped without one, as by gdb's `gcore`.
    pub fn signal(&self) -> Option<SignalInfo> {
        let of_thread = || {
            Some(SignalInfo {
                number: self.threads.first()?.signal?,
                code: 0,
                address: None,
            })
        };
        // The note may be there and say nothing of a signal, as when gdb wrote it.
        self.signal.or_else(of_thread)
    }

    /// The programs and libraries that were mapped, in the order of their addresses.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The module that an address lies in, with the offset in its file and the address as the file states it.
    pub fn locate(
        &self,
        address: ProcAddr,
    ) -> Option<(&Module, Option<FileOffset>, Option<ElfAddr>)> {
        modules::locate(&self.modules, address)
    }

    /// Every mapped file, programs and others, by the ranges that showed them.
    pub fn files(&self) -> &[MappedRange] {
        &self.files
    }

    /// All notes, known or not, in the order of the file.
    pub fn notes(&self) -> &[CoreNote] {
        &self.notes
    }

    /// The bytes of a note; fewer than its size if the core file ends before.
    pub fn note_bytes(&self, note: &CoreNote) -> Vec<u8> {
        self.memory.bytes().available(note.offset, note.size)
    }

    /// What is wrong with the core file.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// `e_machine`: the instruction set, numbered as in `elf.h`.
    pub fn machine(&self) -> u16 {
        self.identity.machine
    }

    /// Whether it is of the 64-bit class.
    pub fn is_64_bit(&self) -> bool {
        self.identity.is_64
    }

    /// Whether its numbers begin with their highest byte.
    pub fn is_big_endian(&self) -> bool {
        self.identity.endian == object::Endianness::Big
    }

    /// Its size in bytes, holes included.
    pub fn size(&self) -> u64 {
        self.memory.bytes().size
    }

    /// When it was last written to, in nanoseconds since 1970; `None` for bytes in memory.
    pub fn written_ns(&self) -> Option<i64> {
        self.memory.bytes().written_ns
    }
}

impl ReadMemory for CoreFile {
    fn read_piece(&self, address: ProcAddr, buffer: &mut [u8]) -> Result<Piece, Unavailable> {
        self.memory.read_piece(address, buffer)
    }
}

impl Process for CoreFile {
    fn pid(&self) -> Option<u32> {
        // A process's id is that of its first thread, which need not be the first here.
        let program = self.program.as_ref().map(|program| program.pid);
        program.or_else(|| self.threads.first().map(|thread| thread.tid))
    }

    fn name(&self) -> Option<OsString> {
        self.program.as_ref().map(|program| program.name.clone())
    }

    fn mappings(&self) -> &[Arc<Mapping>] {
        &self.mappings
    }

    fn threads(&self) -> Vec<Thread> {
        self.threads.clone()
    }
}

fn kind_name(kind: u16) -> &'static str {
    match kind {
        1 => "an object file",
        2 => "a program",
        3 => "a shared library or a position-independent program",
        _ => "an ELF file of another kind",
    }
}
