//! What an ELF file has to offer to a symbolizer: which symbols, which debug information, which link to more.
//!
//! Reads section headers only, and judges whether it is safe to let a DWARF reader loose on the file.
//! The symbols and the debug information themselves are left to blazesym.

use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

use object::elf;
use object::read::elf::{CompressionHeader, FileHeader, SectionHeader, SectionTable};
use object::read::{FileKind, ReadCache, ReadRef};

/// What compression can gain at most: deflate turns 1 byte into no more than 1032
/// (zlib's technical details, "Maximum Compression Factor"). Real debug sections gain less than 20.
const BEST_COMPRESSION: u64 = 1032;

/// The largest `.gnu_debugdata` that is unpacked; those of Fedora's largest programs are below 4 MiB.
///
/// Nothing but unpacking it tells how large it will be, and xz packs gigabytes of zeros into a megabyte.
const LARGEST_MINI_DEBUG: u64 = 16 << 20;

/// What an ELF file contains for a symbolizer.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Contents {
    /// DWARF debug information (`.debug_info`).
    pub(super) debug_info: bool,
    /// A symbol table with local functions (`.symtab`, or one packed into `.gnu_debugdata`).
    pub(super) symbols: bool,
    /// Bytes that unpacking all compressed debug sections takes.
    pub(super) unpacked: u64,
    /// File name and checksum of a separate debug file (`.gnu_debuglink`).
    pub(super) debug_link: Option<(OsString, u32)>,
    /// The GNU build-id.
    pub(super) build_id: Option<Vec<u8>>,
    /// There are section headers; without, only what the dynamic linker needs can be found.
    pub(super) sections: bool,
    /// Addresses of the sections with code.
    pub(super) code: Vec<Range<u64>>,
    /// Those of them that have stubs for calls of functions of other files.
    pub(super) stubs: Vec<Range<u64>>,
}

impl Contents {
    /// Reads the section headers of `file`; the error says what is wrong with them.
    pub(super) fn read(file: &File) -> Result<Self, String> {
        let cache = ReadCache::new(file);
        match FileKind::parse(&cache) {
            Ok(FileKind::Elf64) => read::<elf::FileHeader64<object::Endianness>, _>(&cache),
            Ok(FileKind::Elf32) => read::<elf::FileHeader32<object::Endianness>, _>(&cache),
            Ok(_) | Err(_) => Err("not an ELF file".to_owned()),
        }
    }

    /// Whether an address lies in a section of stubs.
    pub(super) fn is_in_stubs(&self, address: u64) -> bool {
        self.stubs.iter().any(|range| range.contains(&address))
    }

    /// Whether two addresses lie in the same section with code.
    ///
    /// Without section headers nothing speaks against it.
    pub(super) fn same_section(&self, one: u64, other: u64) -> bool {
        let both = |range: &Range<u64>| range.contains(&one) && range.contains(&other);
        self.code.is_empty() || self.code.iter().any(both)
    }
}

fn read<'data, Elf, R>(data: R) -> Result<Contents, String>
where
    Elf: FileHeader,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let sections = header.sections(endian, data).map_err(text)?;
    let mut contents = Contents {
        sections: !sections.is_empty(),
        ..Contents::default()
    };
    for section in sections.iter() {
        read_section::<Elf, R>(&mut contents, endian, data, &sections, section)?;
    }
    Ok(contents)
}

fn read_section<'data, Elf, R>(
    contents: &mut Contents,
    endian: Elf::Endian,
    data: R,
    sections: &SectionTable<'data, Elf, R>,
    section: &'data Elf::SectionHeader,
) -> Result<(), String>
where
    Elf: FileHeader,
    R: ReadRef<'data>,
{
    let flags = section.sh_flags(endian);
    let size: u64 = section.sh_size(endian).into();
    if flags.contains(elf::SHF_ALLOC) && flags.contains(elf::SHF_EXECINSTR) {
        let start: u64 = section.sh_addr(endian).into();
        contents.code.push(start..start.saturating_add(size));
    }
    if section.sh_type(endian) == elf::SHT_NOTE {
        contents.build_id = contents
            .build_id
            .take()
            .or_else(|| build_id::<Elf, R>(endian, data, section));
    }
    // What a debug file has left in the program is in its section table without bytes in the file.
    if section.sh_type(endian) == elf::SHT_NOBITS || size == 0 {
        return Ok(());
    }
    let name = sections.section_name(endian, section).map_err(text)?;
    match name {
        b".debug_info" => contents.debug_info = true,
        b".symtab" => contents.symbols = true,
        b".gnu_debugdata" if size > LARGEST_MINI_DEBUG => {
            return Err(".gnu_debugdata is unreasonably large".to_owned());
        }
        b".gnu_debugdata" => contents.symbols = true,
        b".gnu_debuglink" => {
            contents.debug_link =
                debug_link::<Elf>(endian, section.data(endian, data).map_err(text)?);
        }
        b".plt" | b".plt.sec" | b".plt.got" | b".plt.bnd" => {
            let start: u64 = section.sh_addr(endian).into();
            contents.stubs.push(start..start.saturating_add(size));
        }
        _ => {}
    }
    if name.starts_with(b".debug_")
        && let Some((packed, _, packed_size)) = section.compression(endian, data).map_err(text)?
    {
        let unpacked: u64 = packed.ch_size(endian).into();
        if unpacked > packed_size.saturating_mul(BEST_COMPRESSION) {
            return Err("a compressed section lies about its size".to_owned());
        }
        contents.unpacked = contents.unpacked.saturating_add(unpacked);
    }
    Ok(())
}

fn text(error: object::read::Error) -> String {
    error.to_string()
}

fn build_id<'data, Elf, R>(
    endian: Elf::Endian,
    data: R,
    section: &'data Elf::SectionHeader,
) -> Option<Vec<u8>>
where
    Elf: FileHeader,
    R: ReadRef<'data>,
{
    let mut notes = section.notes(endian, data).ok()??;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            return Some(note.desc().to_vec());
        }
    }
    None
}

/// The content of `.gnu_debuglink`: a file name, a zero, padding to four bytes, the CRC-32 of that file
/// (gdb manual, "Debugging Information in Separate Files").
fn debug_link<Elf: FileHeader>(endian: Elf::Endian, content: &[u8]) -> Option<(OsString, u32)> {
    let end = content.iter().position(|&byte| byte == 0)?;
    let crc = content.get(end / 4 * 4 + 4..)?.first_chunk()?;
    let name = OsString::from_vec(content[..end].to_vec());
    // A name with a directory in it would lead out of the directories that are searched.
    (end > 0 && !content[..end].contains(&b'/'))
        .then(|| (name, object::Endian::read_u32(endian, *crc)))
}
