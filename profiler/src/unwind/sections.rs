//! The sections of a binary that unwinding needs, read from its open file. What they mean is left to `cfi`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::elf::{ELFCOMPRESS_ZLIB, FileHeader64, SHT_NOBITS, SectionHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, elf};

use super::go_table::{self, GoTable};
use super::loaded::{AsLoaded, fill};
use super::{ENDBR64, Framed, Input, Plt, Section, UnwindError, start_files};
use crate::binary::Binary;

/// What deflate gains at most (zlib's technical details, "Maximum Compression Factor").
const BEST_COMPRESSION: u64 = 1032;

/// A larger `.init` is none that a linker has put together.
const LARGEST_INIT: u64 = 4096;

/// Sections as they were read, and what else is needed to make rows.
#[derive(Debug, Default)]
pub(super) struct Sections {
    eh_frame: Loaded,
    debug_frame: Loaded,
    go: GoTable,
    text_address: u64,
    data_address: u64,
    text: Vec<Range<u64>>,
    entry: Option<u64>,
    plts: Vec<Plt>,
    framed: Vec<Framed>,
    keeps_frame_pointers: bool,
    unreadable: u32,
    has_headers: bool,
    /// The first entry of `.init_array`.
    first_init: Option<u64>,
}

/// A section's address and content, unpacked.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) address: u64,
    pub(super) data: Vec<u8>,
}

impl Sections {
    /// Reads the section headers and the sections that are needed; nothing is mapped, so that a file that is
    /// truncated meanwhile gives an error and not a signal.
    pub(super) fn read(binary: &Binary) -> Result<Self, UnwindError> {
        if binary.machine() != elf::EM_X86_64.0 || !binary.is_64_bit() {
            return Err(UnwindError::Machine(binary.machine()));
        }
        let file = binary.file();
        let file_len = file.metadata()?.len();
        let mut sections = Self {
            text: text(binary, file_len),
            entry: Some(binary.entry().0).filter(|entry| *entry != 0),
            ..Self::default()
        };
        sections.read_headers(file)?;
        sections.find_start_files(binary);
        Ok(sections)
    }

    /// Whether the file says where its sections are.
    pub(super) fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// What rows are made from.
    pub(super) fn input(&self) -> Input<'_> {
        let section = |loaded: &'_ Loaded| loaded.address;
        Input {
            eh_frame: Section {
                address: section(&self.eh_frame),
                data: &self.eh_frame.data,
            },
            debug_frame: Section {
                address: section(&self.debug_frame),
                data: &self.debug_frame.data,
            },
            go_functions: Section {
                address: section(&self.go.functions),
                data: &self.go.functions.data,
            },
            go_text: self.go.text,
            text_address: self.text_address,
            data_address: self.data_address,
            text: &self.text,
            entry: self.entry,
            plts: &self.plts,
            framed: &self.framed,
            keeps_frame_pointers: self.keeps_frame_pointers,
            unreadable: self.unreadable,
        }
    }

    fn read_headers(&mut self, file: &File) -> Result<(), UnwindError> {
        let cache = ReadCache::new(Positioned { file, position: 0 });
        let data = &cache;
        let header = FileHeader64::<Endianness>::parse(data)
            .map_err(|_| UnwindError::Malformed("ELF header"))?;
        let endian = header
            .endian()
            .map_err(|_| UnwindError::Malformed("ELF byte order"))?;
        let sections = header
            .sections(endian, data)
            .map_err(|_| UnwindError::Malformed("section headers"))?;
        self.has_headers = !sections.is_empty();
        let mut debug_frame = None;
        for section in sections.iter() {
            let name = sections.section_name(endian, section).unwrap_or_default();
            if section.sh_type(endian) == SHT_NOBITS {
                continue;
            }
            match name {
                b".eh_frame" => self.eh_frame = self.load(file, endian, section, data),
                b".debug_frame" => debug_frame = Some(section),
                b".text" => self.text_address = section.sh_addr(endian),
                b".got" => self.data_address = section.sh_addr(endian),
                b".init" | b".fini" if section.sh_size(endian) <= LARGEST_INIT => {
                    let address = section.sh_addr(endian);
                    let code = read_section(file, endian, section, data);
                    self.framed
                        .extend(code.and_then(|code| Framed::new(address, &code)));
                }
                b".init_array" => {
                    let mut first = [0; 8];
                    let offset = section.sh_offset(endian);
                    let is_read = file.read_exact_at(&mut first, offset).is_ok();
                    self.first_init = is_read.then(|| u64::from_le_bytes(first));
                }
                b".plt" | b".plt.sec" | b".plt.got" => self.add_plt(file, endian, section, name),
                _ => {}
            }
        }
        if let Some(table) = go_table::find(file, endian, &sections, data) {
            self.keeps_frame_pointers = true;
            self.go = table;
        }
        // What Go's compiler writes says nothing about rbp, which its code keeps as a frame pointer: the rows would
        // lead to frames from where no way leads on.
        if let Some(section) = debug_frame.filter(|_| !self.keeps_frame_pointers) {
            self.debug_frame = self.load(file, endian, section, data);
        }
        Ok(())
    }

    /// Looks whether what comes before the first function that is run is what gcc puts there.
    fn find_start_files(&mut self, binary: &Binary) {
        let Some((start, size)) = self.first_init.and_then(start_files::place) else {
            return;
        };
        let mut code = vec![0; size];
        if fill(&AsLoaded(binary), start, &mut code).is_some() {
            self.framed.extend(start_files::recognize(start, &code));
        }
    }

    fn load<'data, R: ReadRef<'data>>(
        &mut self,
        file: &File,
        endian: Endianness,
        section: &SectionHeader64<Endianness>,
        data: R,
    ) -> Loaded {
        let address = section.sh_addr(endian);
        match read_section(file, endian, section, data) {
            Some(data) => Loaded { address, data },
            None => {
                self.unreadable += 1;
                Loaded::default()
            }
        }
    }

    fn add_plt(
        &mut self,
        file: &File,
        endian: Endianness,
        section: &SectionHeader64<Endianness>,
        name: &[u8],
    ) {
        let start = section.sh_addr(endian);
        let Some(end) = start.checked_add(section.sh_size(endian)) else {
            return;
        };
        self.plts.push(if name == b".plt" {
            let mut entry = [0; ENDBR64.len()];
            // The second entry: the first is another kind of code.
            let offset = section.sh_offset(endian).saturating_add(16);
            let tracked = file.read_exact_at(&mut entry, offset).is_ok() && entry == ENDBR64;
            // endbr64 (4) push (5), or jmp (6) push (5).
            let threshold = if tracked { 9 } else { 11 };
            Plt::Lazy {
                range: start..end,
                threshold,
            }
        } else {
            Plt::Jumps(start..end)
        });
    }
}

/// Executable ranges, as addresses that the file states. Only bytes that the file has can be code.
fn text(binary: &Binary, file_len: u64) -> Vec<Range<u64>> {
    let executable = binary
        .segments()
        .iter()
        .filter(|segment| segment.executable);
    let range = executable.filter_map(|segment| {
        let in_file = file_len
            .saturating_sub(segment.offset.0)
            .min(segment.file_size);
        let start = segment.vaddr.0;
        Some(start..start.checked_add(in_file)?)
    });
    range.collect()
}

/// The content of a section, unpacked; `None` if it cannot be read or is packed in an unknown way.
pub(super) fn read_section<'data, R: ReadRef<'data>>(
    file: &File,
    endian: Endianness,
    section: &SectionHeader64<Endianness>,
    data: R,
) -> Option<Vec<u8>> {
    let Some((header, offset, size)) = section.compression(endian, data).ok()? else {
        return read_range(file, section.sh_offset(endian), section.sh_size(endian));
    };
    let packed = read_range(file, offset, size)?;
    let unpacked = header.ch_size.get(endian);
    if header.ch_type.get(endian) != ELFCOMPRESS_ZLIB
        || unpacked > size.checked_mul(BEST_COMPRESSION)?
    {
        return None;
    }
    let mut content = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(packed.as_slice()).take(unpacked);
    decoder.read_to_end(&mut content).ok()?;
    (content.len() as u64 == unpacked).then_some(content)
}

fn read_range(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    let end = offset.checked_add(size)?;
    // A size that a file claims but does not have takes no memory.
    if end > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

/// A position of its own in a file that others read at the same time.
struct Positioned<'a> {
    file: &'a File,
    position: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Positioned<'_> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let (base, delta) = match target {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(delta) => (self.file.metadata()?.len(), delta),
            SeekFrom::Current(delta) => (self.position, delta),
        };
        let position = base.checked_add_signed(delta);
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
