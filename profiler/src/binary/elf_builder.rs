//! ELF files made field by field for tests, so that a test shows the layout it checks.
//!
//! Long because it has a method for each part of a file that some test varies.

use rustix::fs::{Mode, OFlags};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const R: u32 = 4;
pub(crate) const RW: u32 = 6;
pub(crate) const RX: u32 = 5;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
const SHT_DYNSYM: u32 = 11;
/// Where contents begin, behind the header and the program headers.
const DATA: usize = 0x1000;

/// An ELF file to be built. The fields that tests vary are public.
#[derive(Clone)]
pub(crate) struct Elf {
    pub(crate) is_64: bool,
    pub(crate) big: bool,
    pub(crate) e_type: u16,
    pub(crate) machine: u16,
    /// Program headers counted in the first section, as when there are 65,535 or more.
    pub(crate) extended_counts: bool,
    pub(crate) section_headers: bool,
    programs: Vec<Program>,
    sections: Vec<Section>,
    data: Vec<u8>,
}

#[derive(Clone)]
struct Program {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    file_size: u64,
    mem_size: u64,
    align: u64,
}

#[derive(Clone)]
struct Section {
    kind: u32,
    offset: u64,
    size: u64,
    align: u64,
    link: u32,
}

/// A symbol to be put into a table.
#[derive(Clone, Copy)]
pub(crate) struct Sym<'a> {
    pub(crate) name: &'a str,
    /// `STT_*`
    pub(crate) kind: u8,
    /// `st_shndx`
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl<'a> Sym<'a> {
    /// An object in some section.
    pub(crate) fn object(name: &'a str, value: u64) -> Self {
        Self {
            name,
            kind: 1,
            section: 5,
            value,
            size: 8,
        }
    }
}

impl Elf {
    /// A 64-bit little-endian `ET_DYN` file.
    pub(crate) fn new() -> Self {
        Self {
            is_64: true,
            big: false,
            e_type: 3,
            machine: 62,
            extended_counts: false,
            section_headers: true,
            programs: Vec::new(),
            sections: Vec::new(),
            data: Vec::new(),
        }
    }

    /// The other classes and byte orders.
    pub(crate) fn of_class(is_64: bool, big: bool) -> Self {
        Self {
            is_64,
            big,
            ..Self::new()
        }
    }

    pub(crate) fn load(self, flags: u32, offset: u64, vaddr: u64, size: u64) -> Self {
        self.load_aligned(flags, offset, vaddr, size, 0x1000)
    }

    pub(crate) fn load_aligned(
        mut self,
        flags: u32,
        offset: u64,
        vaddr: u64,
        size: u64,
        align: u64,
    ) -> Self {
        self.programs.push(Program {
            kind: PT_LOAD,
            flags,
            offset,
            vaddr,
            file_size: size,
            mem_size: size,
            align,
        });
        self
    }

    /// Memory as a core file has it: these bytes, and nothing of what is behind them up to `mem_size`.
    pub(crate) fn dumped(mut self, flags: u32, vaddr: u64, bytes: &[u8], mem_size: u64) -> Self {
        let offset = self.append(bytes);
        self = self.load(flags, offset, vaddr, bytes.len() as u64);
        if let Some(last) = self.programs.last_mut() {
            last.mem_size = mem_size;
        }
        self
    }

    /// A number as wide as an address, in this file's byte order.
    pub(crate) fn address(&self, value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.word(&mut out, value);
        out
    }

    /// A number of so many bytes, in this file's byte order.
    pub(crate) fn number(&self, value: u64, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out, value, size);
        out
    }

    /// Gives the last segment more memory than bytes in the file.
    pub(crate) fn with_memory(mut self, size: u64) -> Self {
        self.programs.last_mut().unwrap().mem_size = size;
        self
    }

    /// A symbol table, of the dynamic loader or of the linker, and its string table.
    pub(crate) fn symbols(mut self, dynamic: bool, symbols: &[Sym<'_>]) -> Self {
        let mut strings = vec![0];
        // The first symbol is none.
        let mut table = vec![0; if self.is_64 { 24 } else { 16 }];
        for symbol in symbols {
            self.put(&mut table, strings.len() as u64, 4);
            let type_and_section = |elf: &Self, table: &mut Vec<u8>| {
                table.extend([symbol.kind | 1 << 4, 0]);
                elf.put(table, symbol.section.into(), 2);
            };
            if self.is_64 {
                type_and_section(&self, &mut table);
            }
            self.word(&mut table, symbol.value);
            self.word(&mut table, symbol.size);
            if !self.is_64 {
                type_and_section(&self, &mut table);
            }
            strings.extend_from_slice(symbol.name.as_bytes());
            strings.push(0);
        }
        self.section_of(SHT_STRTAB, &strings, 1, 0);
        // The first section is none, so this is the index of the one just made.
        let link = self.sections.len() as u32;
        let kind = if dynamic { SHT_DYNSYM } else { SHT_SYMTAB };
        self.section_of(kind, &table, 8, link);
        self
    }

    /// Contents that a `PT_NOTE` header points at; loaded at their file offset.
    pub(crate) fn note_segment(mut self, notes: &[u8], align: u64) -> Self {
        let offset = self.append(notes);
        self.note_header(offset, notes.len() as u64, align)
    }

    /// A `PT_NOTE` header alone.
    pub(crate) fn note_header(mut self, offset: u64, size: u64, align: u64) -> Self {
        self.programs.push(Program {
            kind: PT_NOTE,
            flags: R,
            offset,
            vaddr: offset,
            file_size: size,
            mem_size: size,
            align,
        });
        self
    }

    /// Contents of an `SHT_NOTE` section.
    pub(crate) fn note_section(mut self, notes: &[u8], align: u64) -> Self {
        self.section_of(SHT_NOTE, notes, align, 0);
        self
    }

    fn section_of(&mut self, kind: u32, content: &[u8], align: u64, link: u32) {
        let offset = self.append(content);
        self.sections.push(Section {
            kind,
            offset,
            size: content.len() as u64,
            align,
            link,
        });
    }

    /// The file's bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = self.header();
        for program in &self.programs {
            self.program(&mut out, program);
        }
        assert!(
            out.len() <= DATA,
            "too many program headers for this builder"
        );
        out.resize(DATA, 0);
        out.extend_from_slice(&self.data);
        if self.has_sections() {
            let counts = (self.section_count(), self.programs.len() as u32);
            let first = Section {
                kind: 0,
                offset: 0,
                size: counts.0,
                align: 0,
                link: 0,
            };
            self.section(&mut out, &first, counts.1);
            for section in &self.sections {
                self.section(&mut out, section, 0);
            }
        }
        out
    }

    /// A note in this file's byte order.
    pub(crate) fn note(&self, name: &[u8], kind: u32, desc: &[u8], align: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out, name.len() as u64, 4);
        self.put(&mut out, desc.len() as u64, 4);
        self.put(&mut out, kind.into(), 4);
        out.extend_from_slice(name);
        out.resize(out.len().next_multiple_of(align), 0);
        out.extend_from_slice(desc);
        out.resize(out.len().next_multiple_of(align), 0);
        out
    }

    fn append(&mut self, bytes: &[u8]) -> u64 {
        self.data.resize(self.data.len().next_multiple_of(16), 0);
        let offset = DATA + self.data.len();
        self.data.extend_from_slice(bytes);
        offset as u64
    }

    fn has_sections(&self) -> bool {
        self.section_headers && (self.extended_counts || !self.sections.is_empty())
    }

    fn section_count(&self) -> u64 {
        self.sections.len() as u64 + 1
    }

    fn header(&self) -> Vec<u8> {
        let mut out = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0];
        out[4] += u8::from(self.is_64);
        out[5] += u8::from(self.big);
        out.resize(16, 0);
        let (header_size, program_size, section_size) = if self.is_64 {
            (64, 56, 64)
        } else {
            (52, 32, 40)
        };
        let sections_at = if self.has_sections() {
            DATA + self.data.len()
        } else {
            0
        };
        let (mut programs, mut sections) = (self.programs.len() as u64, self.section_count());
        if self.extended_counts {
            (programs, sections) = (0xffff, 0);
        } else if sections_at == 0 {
            sections = 0;
        }
        self.put(&mut out, self.e_type.into(), 2);
        self.put(&mut out, self.machine.into(), 2);
        self.put(&mut out, 1, 4);
        self.word(&mut out, 0x1040);
        self.word(&mut out, header_size);
        self.word(&mut out, sections_at as u64);
        self.put(&mut out, 0, 4);
        for half in [
            header_size,
            program_size,
            programs,
            section_size,
            sections,
            0,
        ] {
            self.put(&mut out, half, 2);
        }
        out
    }

    fn program(&self, out: &mut Vec<u8>, program: &Program) {
        self.put(out, program.kind.into(), 4);
        if self.is_64 {
            self.put(out, program.flags.into(), 4);
        }
        let Program {
            offset,
            vaddr,
            file_size,
            mem_size,
            align,
            ..
        } = *program;
        for word in [offset, vaddr, vaddr, file_size, mem_size] {
            self.word(out, word);
        }
        if !self.is_64 {
            self.put(out, program.flags.into(), 4);
        }
        self.word(out, align);
    }

    fn section(&self, out: &mut Vec<u8>, section: &Section, info: u32) {
        self.put(out, 0, 4);
        self.put(out, section.kind.into(), 4);
        self.word(out, 0);
        self.word(out, section.offset);
        self.word(out, section.offset);
        self.word(out, section.size);
        self.put(out, section.link.into(), 4);
        self.put(out, info.into(), 4);
        self.word(out, section.align);
        self.word(out, 0);
    }

    fn word(&self, out: &mut Vec<u8>, value: u64) {
        self.put(out, value, if self.is_64 { 8 } else { 4 });
    }

    fn put(&self, out: &mut Vec<u8>, value: u64, size: usize) {
        if self.big {
            out.extend_from_slice(&value.to_be_bytes()[8 - size..]);
        } else {
            out.extend_from_slice(&value.to_le_bytes()[..size]);
        }
    }
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift).
pub(crate) struct Xorshift(pub(crate) u64);

impl Xorshift {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Changes some bytes, most of them to values that mean something, and may cut the end off.
    pub(crate) fn mutate(&mut self, bytes: &mut Vec<u8>, telling: &[u8]) {
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            bytes[at] = match self.below(3) {
                0 => self.next() as u8,
                _ => telling[self.below(telling.len())],
            };
        }
        if self.below(8) == 0 {
            bytes.truncate(1 + self.below(bytes.len()));
        }
    }
}

/// Takes its section headers from a little-endian 64-bit file, as `sstrip` does: `e_shoff`, and `e_shnum` with `e_shstrndx`.
pub(crate) fn take_section_headers(file: &mut [u8]) {
    file[0x28..0x30].fill(0);
    file[0x3c..0x40].fill(0);
}

/// Makes a FIFO that nobody writes to.
pub(crate) fn make_fifo(path: &std::path::Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(rustix::fs::open(path, OFlags::PATH, Mode::empty()).is_ok());
}
