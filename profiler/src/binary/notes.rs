//! Walking ELF notes: name, type and descriptor, one after the other, with padding between.
//!
//! The `object` crate's iterator wants the whole region in memory and refuses what real files have:
//! zeros behind the last note, and alignments other than 4 and 8. Which note means what is left to `ids`.

use object::Endianness;
use object::endian::Endian;

use super::read_at::read_exact;
use super::{BinaryError, ReadAt};

/// `namesz`, `descsz` and `type`, four bytes each in both ELF classes.
const HEADER_SIZE: u64 = 12;
/// Longer than the owner's name of any note that is looked for here; a longer name is read up to here.
const NAME_SIZE: usize = 16;

/// One note, its descriptor not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    name: [u8; NAME_SIZE],
    name_size: u64,
    pub(crate) kind: u32,
    pub(crate) desc_offset: u64,
    pub(crate) desc_size: u64,
}

impl Note {
    /// Whether the owner's name is exactly this; the final NUL that the specification asks for is given too.
    pub(crate) fn has_name(&self, name: &[u8]) -> bool {
        self.name_size == name.len() as u64 && self.name.get(..name.len()) == Some(name)
    }

    /// The owner's name without its final NUL; cut off if it is longer than any known one.
    pub(crate) fn name(&self) -> &[u8] {
        let known = self.name_size.min(NAME_SIZE as u64) as usize;
        let name = &self.name[..known];
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// The notes of one region of `source`, in order; ends at the first error.
pub(crate) struct Notes<'a, R: ?Sized> {
    source: &'a R,
    endian: Endianness,
    align: u64,
    /// Relative to `start`, because padding is: a region need not be aligned in its file.
    position: u64,
    start: u64,
    size: u64,
}

impl<'a, R: ReadAt + ?Sized> Notes<'a, R> {
    /// `align` is the region's `p_align` or `sh_addralign`. Everything but 8 means 4: notes are only ever
    /// padded to one of these, but linkers write 0, 1 or 2 as well.
    pub(crate) fn new(
        source: &'a R,
        endian: Endianness,
        start: u64,
        size: u64,
        align: u64,
    ) -> Self {
        Self {
            source,
            endian,
            align: if align == 8 { 8 } else { 4 },
            position: 0,
            start,
            size,
        }
    }

    fn read_next(&mut self) -> Result<Option<Note>, BinaryError> {
        if self.size.saturating_sub(self.position) < HEADER_SIZE {
            return Ok(None);
        }
        let mut header = [0; HEADER_SIZE as usize];
        self.read(self.position, &mut header)?;
        if header == [0; HEADER_SIZE as usize] {
            // Padding behind the last note.
            return Ok(None);
        }
        let word = |index: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&header[index * 4..][..4]);
            self.endian.read_u32(bytes)
        };
        let (name_size, desc_size, kind) = (u64::from(word(0)), u64::from(word(1)), word(2));
        let name_start = self.position + HEADER_SIZE;
        let desc_start = (name_start + name_size).next_multiple_of(self.align);
        let end = desc_start + desc_size;
        if end > self.size {
            return Err(BinaryError::Truncated("note"));
        }
        let mut name = [0; NAME_SIZE];
        let known = name_size.min(NAME_SIZE as u64) as usize;
        self.read(name_start, &mut name[..known])?;
        self.position = end.next_multiple_of(self.align);
        Ok(Some(Note {
            name,
            name_size,
            kind,
            desc_offset: self.start.wrapping_add(desc_start),
            desc_size,
        }))
    }

    fn read(&self, position: u64, buffer: &mut [u8]) -> Result<(), BinaryError> {
        let offset = self
            .start
            .checked_add(position)
            .ok_or(BinaryError::Truncated("note"))?;
        read_exact(self.source, offset, buffer, "note")
    }
}

impl<R: ReadAt + ?Sized> Iterator for Notes<'_, R> {
    type Item = Result<Note, BinaryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.size = 0;
        }
        next
    }
}
