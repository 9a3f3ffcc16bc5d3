//! Readers that are kept from one call to the next: opening a file, unpacking its debug information and parsing the units
//! that are busy costs far more than naming some addresses more.
//!
//! A kept reader has files mapped. It goes when nobody else holds its binary any more, so that a file system is not kept
//! busy by it, and it is asked again only when neither file has changed, as what was cut off a mapped file ends the process
//! with SIGBUS. What a debug file shares with others (dwz) is not looked after; package managers replace such files as a
//! whole.

use std::sync::{Arc, Weak};

use rustix::fs::{fstat, stat};

use super::super::{Detail, Named, Options};
use super::{Reader, open};
use crate::addr::ElfAddr;
use crate::binary::{Binary, FileId};
use crate::resident::Resident;

/// Turns after which a binary is looked at anew: a debug file may have come since.
const GOOD_FOR: u32 = 240;

/// Turns for which a reader is kept that nobody asks.
const UNUSED_FOR: u32 = 3;

/// Readers of binaries, those that were asked last at the end. The default keeps none.
#[derive(Default)]
pub(crate) struct Readers {
    kept: Vec<Kept>,
    most_bytes: u64,
    turn: u32,
}

struct Kept {
    binary: Weak<Binary>,
    /// Its file, as it was when the reader opened it.
    file: Option<FileId>,
    reader: Reader,
    /// By how much the process has grown while it was asked.
    bytes: u64,
    since: u32,
    used: u32,
}

impl Readers {
    /// Keeps readers that take up to `most_bytes`, mapped pages of files included.
    pub(crate) fn keeping(most_bytes: u64) -> Self {
        Self {
            most_bytes,
            ..Self::default()
        }
    }

    /// Another turn begins, in which each file is asked once: lets go of what has had its time.
    pub(crate) fn next_turn(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        self.kept.retain(|kept| {
            kept.binary.strong_count() > 0
                && turn - kept.used <= UNUSED_FOR
                && turn - kept.since < GOOD_FOR
        });
    }

    /// The names of the functions of `binary` that contain `addresses`, in their order.
    pub(in crate::symbolize) fn name(
        &mut self,
        binary: &Arc<Binary>,
        detail: Detail,
        options: &Options,
        addresses: &[ElfAddr],
    ) -> Vec<Named> {
        let resident = Resident::new();
        let before = resident.bytes();
        let mut kept = match self.take(binary, detail) {
            Some(kept) => kept,
            None => match open(binary, detail, options) {
                Ok(reader) => Kept {
                    binary: Arc::downgrade(binary),
                    file: file_of(binary),
                    reader,
                    bytes: 0,
                    since: self.turn,
                    used: self.turn,
                },
                Err(miss) => return vec![Err(miss); addresses.len()],
            },
        };
        let answers = kept.reader.name_all(addresses);
        kept.used = self.turn;
        kept.bytes += resident.bytes().saturating_sub(before);
        // One that takes most of the room would come at the price of all others.
        if kept.bytes < self.most_bytes / 2 && !kept.reader.has_failed() {
            self.kept.push(kept);
            self.bound();
        }
        answers
    }

    /// The reader of `binary`, if it may still be asked.
    fn take(&mut self, binary: &Arc<Binary>, detail: Detail) -> Option<Kept> {
        let same = |kept: &Kept| std::ptr::eq(kept.binary.as_ptr(), Arc::as_ptr(binary));
        let kept = self.kept.remove(self.kept.iter().position(same)?);
        (kept.reader.detail == detail && kept.is_current(binary)).then_some(kept)
    }

    /// Lets go of those that were asked longest ago, until the others take no more than they may.
    fn bound(&mut self) {
        let bytes = self.kept.iter().map(|kept| kept.bytes);
        self.kept.drain(..too_many(bytes, self.most_bytes));
    }
}

/// How many have to go, the first ones first, until the others take no more than `most`.
fn too_many(bytes: impl Iterator<Item = u64> + Clone, most: u64) -> usize {
    let mut sum: u64 = bytes.clone().sum();
    let must_go = |bytes: &u64| {
        let is_too_much = sum > most;
        sum -= bytes;
        is_too_much
    };
    bytes.take_while(must_go).count()
}

impl Kept {
    /// Whether the files are still what they were when they were opened.
    fn is_current(&self, binary: &Binary) -> bool {
        let mut debug_file = self.reader.debug_file.iter();
        self.file.is_some()
            && self.file == file_of(binary)
            && debug_file.all(|(path, id)| stat(path).is_ok_and(|now| FileId::from(&now) == *id))
    }
}

fn file_of(binary: &Binary) -> Option<FileId> {
    let now = fstat(binary.file()).ok()?;
    Some(FileId::from(&now))
}

#[cfg(test)]
mod tests {
    use super::too_many;

    /// Those that were asked longest ago go, and no more of them than have to.
    #[test]
    fn no_more_go_than_have_to() {
        let cases: [(&[u64], u64, usize); 6] = [
            (&[], 0, 0),
            (&[0, 0], 0, 0),
            (&[5, 4, 3], 12, 0),
            (&[5, 4, 3], 11, 1),
            (&[5, 4, 3], 6, 2),
            (&[5, 4, 3], 2, 3),
        ];
        for (bytes, most, expected) in cases {
            let found = too_many(bytes.iter().copied(), most);
            assert_eq!(found, expected, "{bytes:?} within {most}");
        }
    }
}
