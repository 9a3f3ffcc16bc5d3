//! ELF headers of both classes and both byte orders, read one piece at a time from any source.
//!
//! The structures are the `object` crate's. Reading them is done here because the source need not be a
//! file that could be mapped: a process's memory and a core file come the same way, and no count or size
//! that a file claims may decide how much memory is taken. Notes are left to `notes`.

use object::elf::{
    ET_DYN, FileHeader32, FileHeader64, PF_X, PN_XNUM, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE,
    SHT_NOTE,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, elf};

use super::read_at::read_exact;
use super::table::{Table, read_struct, read_table};
use super::{BinaryError, ReadAt, Segment};
use crate::addr::{ElfAddr, FileOffset};

/// More loadable segments than any tool writes. What lies beyond is ignored, so that hostile files cannot
/// make the search for a mapping's segment expensive.
const MAX_SEGMENTS: usize = 128;

/// A region of a file or an image that holds notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoteRegion {
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) size: u64,
    pub(super) align: u64,
}

/// A range of bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A section header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// `sh_type`
    pub(super) kind: u32,
    /// `sh_link`: the index of another section, whose meaning depends on the type.
    pub(super) link: u32,
    pub(super) vaddr: u64,
    pub(super) region: Region,
    pub(super) align: u64,
}

/// What the ELF header and the program headers say.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    pub(super) endian: Endianness,
    /// 64-bit class.
    pub(super) is_64: bool,
    /// `ET_DYN`: a shared library or a position-independent program, loaded wherever there is room.
    pub(super) is_dyn: bool,
    /// Names a program interpreter, that is: is started through a dynamic loader.
    pub(super) has_interpreter: bool,
    pub(super) machine: u16,
    pub(super) entry: ElfAddr,
    pub(super) segments: Vec<Segment>,
    pub(super) notes: Vec<NoteRegion>,
    /// What the dynamic loader reads (`PT_DYNAMIC`).
    pub(super) dynamic: Option<Region>,
    sections: Table,
}

impl Headers {
    pub(super) fn read(source: &(impl ReadAt + ?Sized)) -> Result<Self, BinaryError> {
        let mut ident = [0; 16];
        match read_exact(source, 0, &mut ident[..4], "ELF header") {
            Err(BinaryError::Truncated(_)) => return Err(BinaryError::NotElf),
            result => result?,
        }
        if ident[..4] != elf::ELFMAG {
            return Err(BinaryError::NotElf);
        }
        read_exact(source, 0, &mut ident, "ELF header")?;
        let endian = match ident[5] {
            1 => Endianness::Little,
            2 => Endianness::Big,
            _ => return Err(BinaryError::Malformed("ELF byte order")),
        };
        match ident[4] {
            1 => read_class::<FileHeader32<Endianness>>(source, endian),
            2 => read_class::<FileHeader64<Endianness>>(source, endian),
            _ => Err(BinaryError::Malformed("ELF class")),
        }
    }

    /// The note sections, which some linkers make where no program header points (Go's, for its build-id).
    pub(super) fn note_sections(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<Vec<NoteRegion>, BinaryError> {
        let mut notes = Vec::new();
        self.sections(source, |section| {
            if section.kind == SHT_NOTE.0 {
                notes.push(NoteRegion {
                    offset: section.region.offset,
                    vaddr: section.vaddr,
                    size: section.region.size,
                    align: section.align,
                });
            }
        })?;
        Ok(notes)
    }

    /// Shows each section header in turn; the first one is no section.
    pub(super) fn sections(
        &self,
        source: &(impl ReadAt + ?Sized),
        visit: impl FnMut(Section),
    ) -> Result<(), BinaryError> {
        if self.is_64 {
            sections::<FileHeader64<Endianness>>(source, self.endian, self.sections, visit)
        } else {
            sections::<FileHeader32<Endianness>>(source, self.endian, self.sections, visit)
        }
    }

    /// The section header with this index, which another section names.
    pub(super) fn section(
        &self,
        source: &(impl ReadAt + ?Sized),
        index: u32,
    ) -> Result<Section, BinaryError> {
        const WHAT: &str = "section headers";
        let index = u64::from(index);
        let size = if self.is_64 {
            size_of::<<FileHeader64<Endianness> as FileHeader>::SectionHeader>()
        } else {
            size_of::<<FileHeader32<Endianness> as FileHeader>::SectionHeader>()
        };
        let table = Table {
            offset: (index * size as u64)
                .checked_add(self.sections.offset)
                .filter(|_| index < self.sections.count)
                .ok_or(BinaryError::Malformed(WHAT))?,
            count: 1,
        };
        let mut found = None;
        let take = |section| found = Some(section);
        if self.is_64 {
            sections::<FileHeader64<Endianness>>(source, self.endian, table, take)?;
        } else {
            sections::<FileHeader32<Endianness>>(source, self.endian, table, take)?;
        }
        found.ok_or(BinaryError::Malformed(WHAT))
    }
}

fn read_class<Elf: FileHeader<Endian = Endianness>>(
    source: &(impl ReadAt + ?Sized),
    endian: Endianness,
) -> Result<Headers, BinaryError> {
    let header: Elf = read_struct(source, 0, "ELF header")?;
    let (programs, sections) = tables(source, &header, endian)?;
    let mut headers = Headers {
        endian,
        is_64: header.is_type_64(),
        is_dyn: header.e_type(endian) == ET_DYN,
        has_interpreter: false,
        machine: header.e_machine(endian).0,
        entry: ElfAddr(header.e_entry(endian).into()),
        segments: Vec::new(),
        notes: Vec::new(),
        dynamic: None,
        sections,
    };
    read_table::<Elf::ProgramHeader>(source, programs, "program headers", |program| match program
        .p_type(endian)
    {
        PT_LOAD if headers.segments.len() < MAX_SEGMENTS => {
            headers.segments.push(segment(program, endian));
        }
        PT_NOTE => headers.notes.push(NoteRegion {
            offset: program.p_offset(endian).into(),
            vaddr: program.p_vaddr(endian).into(),
            size: program.p_filesz(endian).into(),
            align: program.p_align(endian).into(),
        }),
        PT_DYNAMIC => {
            headers.dynamic = Some(Region {
                offset: program.p_offset(endian).into(),
                size: program.p_filesz(endian).into(),
            });
        }
        PT_INTERP => headers.has_interpreter = true,
        _ => {}
    })?;
    Ok(headers)
}

fn segment<P: ProgramHeader<Endian = Endianness>>(program: &P, endian: Endianness) -> Segment {
    Segment {
        offset: FileOffset(program.p_offset(endian).into()),
        vaddr: ElfAddr(program.p_vaddr(endian).into()),
        file_size: program.p_filesz(endian).into(),
        mem_size: program.p_memsz(endian).into(),
        align: program.p_align(endian).into(),
        executable: program.p_flags(endian).0 & PF_X.0 != 0,
    }
}

/// The program header table and the section header table.
///
/// Counts that do not fit their 16 bits stand in the first section header (System V gABI, "ELF Header",
/// `e_phnum` and `e_shnum`).
fn tables<Elf: FileHeader<Endian = Endianness>>(
    source: &(impl ReadAt + ?Sized),
    header: &Elf,
    endian: Endianness,
) -> Result<(Table, Table), BinaryError> {
    let mut programs = Table {
        offset: header.e_phoff(endian).into(),
        count: header.e_phnum(endian).into(),
    };
    let mut sections = Table {
        offset: header.e_shoff(endian).into(),
        count: header.e_shnum(endian).into(),
    };
    if sections.offset == 0 {
        sections.count = 0;
    } else if sections.count == 0 || programs.count == u64::from(PN_XNUM) {
        let first: Elf::SectionHeader = read_struct(source, sections.offset, "section headers")?;
        if programs.count == u64::from(PN_XNUM) {
            programs.count = first.sh_info(endian).into();
        }
        if sections.count == 0 {
            sections.count = first.sh_size(endian).into();
        }
    }
    if programs.count > 0
        && usize::from(header.e_phentsize(endian)) != size_of::<Elf::ProgramHeader>()
    {
        return Err(BinaryError::Malformed("size of program headers"));
    }
    if sections.count > 0
        && usize::from(header.e_shentsize(endian)) != size_of::<Elf::SectionHeader>()
    {
        // Sections are not needed to run a program, so strange ones do not make it unreadable.
        sections.count = 0;
    }
    Ok((programs, sections))
}

fn sections<Elf: FileHeader<Endian = Endianness>>(
    source: &(impl ReadAt + ?Sized),
    endian: Endianness,
    table: Table,
    mut visit: impl FnMut(Section),
) -> Result<(), BinaryError> {
    read_table::<Elf::SectionHeader>(source, table, "section headers", |section| {
        visit(Section {
            kind: section.sh_type(endian).0,
            link: section.sh_link(endian),
            vaddr: section.sh_addr(endian).into(),
            region: Region {
                offset: section.sh_offset(endian).into(),
                size: section.sh_size(endian).into(),
            },
            align: section.sh_addralign(endian).into(),
        });
    })
}
