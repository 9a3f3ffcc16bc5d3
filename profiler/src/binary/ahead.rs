//! Reading ahead: what is read in small pieces from one place is fetched in one call. What is read is left to others.

use std::cell::RefCell;
use std::io;

use super::ReadAt;

/// One page: the headers and notes of nearly all files lie in the first one.
const SIZE: usize = 4096;

/// A source of which the page last asked for is kept.
///
/// ELF headers and notes are read in pieces of some ten bytes; for thousands of files the calls cost more than the bytes.
pub(super) struct Ahead<'a, R: ?Sized> {
    source: &'a R,
    page: RefCell<Page>,
}

struct Page {
    start: u64,
    size: usize,
    bytes: [u8; SIZE],
}

impl<'a, R: ReadAt + ?Sized> Ahead<'a, R> {
    pub(super) fn new(source: &'a R) -> Self {
        Self {
            source,
            page: RefCell::new(Page {
                start: 0,
                size: 0,
                bytes: [0; SIZE],
            }),
        }
    }
}

impl<R: ReadAt + ?Sized> ReadAt for Ahead<'_, R> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() >= SIZE {
            return self.source.read_at(offset, buffer);
        }
        let mut page = self.page.borrow_mut();
        let known = page.behind(offset).len();
        if known == 0 {
            page.size = 0;
            page.size = self.source.read_at(offset, &mut page.bytes)?;
            page.start = offset;
        }
        let bytes = page.behind(offset);
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
}

impl Page {
    /// What is known from an offset on.
    fn behind(&self, offset: u64) -> &[u8] {
        offset
            .checked_sub(self.start)
            .and_then(|skipped| usize::try_from(skipped).ok())
            .and_then(|skipped| self.bytes[..self.size].get(skipped..))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every piece, in any order, within a page, across two and at the end, is that of the source.
    #[test]
    fn pieces_are_those_of_the_source() {
        let source: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        let ahead = Ahead::new(source.as_slice());
        for offset in [0, 16, 4090, 4, 9_990, 5_000, 10_000, 20_000, u64::MAX] {
            for size in [1, 12, 64, 5_000] {
                let mut expected = vec![0; size];
                let count = source.as_slice().read_at(offset, &mut expected).unwrap();
                let (mut read, mut done) = (vec![0; size], 0);
                while done < count {
                    let more = ahead.read_at(offset + done as u64, &mut read[done..]);
                    done += more.unwrap();
                }
                assert_eq!(read, expected, "{size} bytes at {offset}");
                assert_eq!(
                    ahead
                        .read_at(offset.saturating_add(20_000), &mut read)
                        .unwrap(),
                    0
                );
            }
        }
    }
}
