//! The notes of a core file, all of them, whoever owns them. What the known ones say is left to others.

use super::bytes::Bytes;
use super::error::Damage;
use crate::binary::{Identity, Notes, Program};

/// Kinds of notes of the owner `CORE` (include/uapi/linux/elf.h).
pub(super) const NT_PRSTATUS: u32 = 1;
pub(super) const NT_PRPSINFO: u32 = 3;
pub(super) const NT_AUXV: u32 = 6;
pub(super) const NT_SIGINFO: u32 = 0x5349_4749;
pub(super) const NT_FILE: u32 = 0x4649_4c45;

/// More notes than a core file of the largest programs has, which have four for each thread.
const MAX_NOTES: usize = 1 << 20;

/// A note of a core file. Its bytes are read with [`CoreFile::note_bytes`](super::CoreFile::note_bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CoreNote {
    /// Who gives the numbers of kinds: `CORE`, `LINUX`, `GDB`.
    pub owner: Box<[u8]>,
    /// What kind of note it is; the numbers belong to the owner.
    pub kind: u32,
    /// Where its bytes are in the core file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl CoreNote {
    pub(super) fn is(&self, kind: u32) -> bool {
        self.kind == kind && *self.owner == *b"CORE"
    }
}

/// The notes of all these regions.
pub(super) fn read(
    bytes: &Bytes,
    identity: &Identity,
    regions: &[Program],
    damages: &mut Vec<Damage>,
) -> Vec<CoreNote> {
    let mut notes = Vec::new();
    for region in regions {
        let found = Notes::new(
            bytes,
            identity.endian,
            region.offset,
            region.file_size,
            region.align,
        );
        for note in found {
            match note {
                Ok(note) if notes.len() < MAX_NOTES => notes.push(CoreNote {
                    owner: note.name().into(),
                    kind: note.kind,
                    offset: note.desc_offset,
                    size: note.desc_size,
                }),
                Ok(_) => return notes,
                Err(error) => damages.push(Damage::Notes(error.to_string())),
            }
        }
    }
    notes
}
