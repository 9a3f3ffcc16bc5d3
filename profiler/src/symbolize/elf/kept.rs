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
        if !kept.reader.has_failed() && self.make_room(kept.bytes) {
            self.kept.push(kept);
        }
        answers
    }

    /// The reader of `binary`, if it may still be asked.
    fn take(&mut self, binary: &Arc<Binary>, detail: Detail) -> Option<Kept> {
        let same = |kept: &Kept| std::ptr::eq(kept.binary.as_ptr(), Arc::as_ptr(binary));
        let kept = self.kept.remove(self.kept.iter().position(same)?);
        (kept.reader.detail == detail && kept.is_current(binary)).then_some(kept)
    }

    /// Makes room for a reader that takes `bytes`, if that is possible at the cost of those that were not asked lately: where
    /// not all find room, those that have it keep it, or each would push out the next.
    fn make_room(&mut self, bytes: u64) -> bool {
        let Some(room) = self.most_bytes.checked_sub(bytes) else {
            return false;
        };
        while self.kept.iter().map(|kept| kept.bytes).sum::<u64>() > room {
            let oldest = self.kept.first();
            if oldest.is_none_or(|oldest| self.turn - oldest.used <= 1) {
                return false;
            }
            self.kept.remove(0);
        }
        self.most_bytes > 0
    }
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
    use super::*;

    /// Those that were not asked lately make room, oldest first and no more than have to; the others do not.
    #[test]
    fn room() {
        let binary = Arc::new(Binary::open("/proc/self/exe").unwrap());
        let kept = |bytes, used| Kept {
            binary: Arc::downgrade(&binary),
            file: None,
            reader: open(&binary, Detail::Functions, &Options::default()).unwrap(),
            bytes,
            since: 0,
            used,
        };
        let mut readers = Readers {
            kept: vec![kept(3, 6), kept(2, 7), kept(4, 8), kept(1, 9)],
            most_bytes: 15,
            turn: 9,
        };
        let mut left = |bytes| {
            let found_room = readers.make_room(bytes);
            let left: Vec<u64> = readers.kept.iter().map(|kept| kept.bytes).collect();
            (found_room, left)
        };
        assert_eq!(left(5), (true, vec![3, 2, 4, 1]));
        assert_eq!(left(6), (true, vec![2, 4, 1]));
        assert_eq!(left(16), (false, vec![2, 4, 1]));
        assert_eq!(left(10), (true, vec![4, 1]));
        assert_eq!(left(11), (false, vec![4, 1]));
    }
}
