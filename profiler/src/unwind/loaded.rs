//! Unwind information of a binary by what of it is loaded: of one whose file is not there, from memory, and of one without
//! section headers.
//!
//! Section headers are not loaded, but a program header leads to `.eh_frame_hdr`, and that to `.eh_frame` (Linux
//! Standard Base Core 5.0, section 10.6.2, "The .eh_frame_hdr section").

use std::io;
use std::ops::Range;

use super::{Input, Rows, Section, rows_of};
use crate::addr::ElfAddr;
use crate::binary::{Binary, ReadAt};

/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`: four bytes, relative to themselves. No linker writes another one.
const RELATIVE: u8 = 0x1b;
/// What one read fetches.
const CHUNK: u64 = 64 << 10;
/// The largest `.eh_frame` known has 60 MB.
const LARGEST: usize = 256 << 20;

/// The rows of a binary by what of it is in memory; offsets in `memory` are addresses as the file states them.
///
/// `None` when its unwind information is not in memory; a binary that has none gives rows that say so.
pub(crate) fn for_loaded(memory: &impl ReadAt, binary: &Binary) -> Option<Rows> {
    let text: Vec<Range<u64>> = binary
        .segments()
        .iter()
        .filter(|segment| segment.executable)
        .map(|segment| segment.vaddr.0..segment.vaddr.0.saturating_add(segment.file_size))
        .collect();
    let mut data = Vec::new();
    let mut address = 0;
    if let Some(index) = binary.unwind_index() {
        address = eh_frame(memory, index)?;
        data = read_entries(memory, address)?;
    }
    Some(rows_of(&Input {
        eh_frame: Section {
            address,
            data: &data,
        },
        text: &text,
        entry: Some(binary.entry().0).filter(|entry| *entry != 0),
        ..Input::default()
    }))
}

/// What the loader makes of a file, without loading it.
pub(super) struct AsLoaded<'a>(pub(super) &'a Binary);

impl ReadAt for AsLoaded<'_> {
    fn read_at(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let part = self.0.segments().iter().find_map(|segment| {
            let skipped = address.checked_sub(segment.vaddr.0)?;
            let rest = segment.file_size.checked_sub(skipped)?;
            (rest > 0).then_some((segment.offset.0.checked_add(skipped)?, rest))
        });
        let Some((offset, rest)) = part else {
            return Ok(0);
        };
        let count = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        ReadAt::read_at(self.0.file(), offset, &mut buffer[..count])
    }
}

/// Where `.eh_frame` is.
fn eh_frame(memory: &impl ReadAt, ElfAddr(index): ElfAddr) -> Option<u64> {
    let mut header = [0; 8];
    fill(memory, index, &mut header)?;
    let [1, RELATIVE, _, _, pointer @ ..] = header else {
        return None;
    };
    let distance = i64::from(i32::from_le_bytes(pointer));
    Some(index.wrapping_add(4).wrapping_add_signed(distance))
}

/// The section up to the length of zero that ends it. What lies behind is another section's.
fn read_entries(memory: &impl ReadAt, start: u64) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        while data.len() < at + 4 {
            let old = data.len();
            data.resize(old + CHUNK as usize, 0);
            let count = read_some(memory, start.wrapping_add(old as u64), &mut data[old..]);
            data.truncate(old + count);
            if count == 0 || data.len() > LARGEST {
                return None;
            }
        }
        let length = u32::from_le_bytes(*data[at..].first_chunk()?);
        // 0xffffffff announces a length of eight bytes, which no compiler writes here.
        if length == 0 || length == u32::MAX {
            data.truncate(at);
            return Some(data);
        }
        at = at.checked_add(4)?.checked_add(length as usize)?;
        if at > LARGEST {
            return None;
        }
    }
}

pub(super) fn fill(memory: &impl ReadAt, offset: u64, buffer: &mut [u8]) -> Option<()> {
    (read_some(memory, offset, buffer) == buffer.len()).then_some(())
}

fn read_some(memory: &impl ReadAt, offset: u64, buffer: &mut [u8]) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match memory.read_at(offset.wrapping_add(done as u64), &mut buffer[done..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => done += count,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unwind::for_binary;

    /// A binary's own bytes at their addresses, as after loading.
    struct Image(Vec<u8>);

    impl ReadAt for Image {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            ReadAt::read_at(self.0.as_slice(), offset, buffer)
        }
    }

    /// The rows made from memory are those made from the file (but for the PLT, which only sections tell of).
    #[test]
    fn same_rows_as_from_the_file() {
        let path = crate::process::tests::support::own_libc();
        let file = std::fs::read(&path).unwrap();
        let binary = Binary::open(path).unwrap();
        let mut image = Vec::new();
        for segment in binary.segments() {
            let start = segment.vaddr.0 as usize;
            let bytes = &file[segment.offset.0 as usize..][..segment.file_size as usize];
            image.resize(image.len().max(start + bytes.len()), 0);
            image[start..][..bytes.len()].copy_from_slice(bytes);
        }
        let expected = for_binary(&binary).unwrap();
        let rows = for_loaded(&Image(image.clone()), &binary).unwrap();
        assert!(rows.functions() > 1000 && rows.functions() == expected.functions());
        let differing = expected
            .iter()
            .filter(|(address, rule)| rows.find(*address) != *rule);
        assert!(differing.count() <= 4);

        // What is not in memory is missing, not empty.
        let index = binary.unwind_index().unwrap().0 as usize;
        image.truncate(index + 6);
        assert!(for_loaded(&Image(image), &binary).is_none());
    }

    /// Without section headers the rows are still found (but for the PLT, which only sections tell of).
    #[test]
    fn file_without_section_headers() {
        let path = crate::process::tests::support::own_libc();
        let expected = for_binary(&Binary::open(&path).unwrap()).unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        crate::binary::elf_builder::take_section_headers(&mut bytes);
        let rows = for_binary(&Binary::from_image(&bytes, "libc").unwrap()).unwrap();
        assert!(rows.functions() > 1000 && rows.functions() == expected.functions());
        let differing = expected
            .iter()
            .filter(|(address, rule)| rows.find(*address) != *rule);
        assert!(differing.count() <= 4);
    }
}
