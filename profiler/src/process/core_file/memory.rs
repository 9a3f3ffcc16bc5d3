//! The memory of a process that was dumped: what the core file has, and what the mapped files have underneath.

use std::sync::Arc;

use super::bytes::Bytes;
use super::error::Damage;
use super::layers::Layers;
use crate::addr::ProcAddr;
use crate::binary::{Binary, Program, ReadAt};
use crate::process::{Origin, Piece, ReadMemory, Unavailable};

/// A range of memory as a program header of the core file describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dumped {
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) flags: u32,
    /// How many bytes the core file has of it.
    pub(super) size: u64,
}

/// What the core file has at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    /// The byte at the address plus this, wrapping.
    Core(u64),
    /// It was mapped, and not dumped.
    NotDumped,
}

/// Part of a mapped file at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FilePart {
    /// Which of the files.
    file: usize,
    /// What turns an address into an offset, wrapping.
    delta: u64,
}

/// Memory in two layers: what was dumped lies over the files.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: Bytes,
    dumped: Layers<Content>,
    parts: Layers<FilePart>,
    files: Vec<Result<Arc<Binary>, Unavailable>>,
}

impl Memory {
    /// What the `PT_LOAD` headers say, and the ranges in the order of their addresses.
    pub(super) fn new(
        bytes: Bytes,
        loads: &[Program],
        damages: &mut Vec<Damage>,
    ) -> (Self, Vec<Dumped>) {
        let mut dumped = Layers::default();
        let mut ranges = Vec::with_capacity(loads.len());
        let mut expected = 0;
        for load in loads {
            let start = load.vaddr;
            let sizes = load.file_size.max(load.mem_size);
            let (Some(limit), Some(end)) = (
                start.checked_add(sizes),
                load.offset.checked_add(load.file_size),
            ) else {
                damages.push(Damage::Range(ProcAddr(start)));
                continue;
            };
            let filled = start + load.file_size;
            dumped.insert(
                start,
                filled,
                Content::Core(load.offset.wrapping_sub(start)),
            );
            dumped.insert(filled, limit, Content::NotDumped);
            expected = expected.max(end);
            ranges.push(Dumped {
                start,
                limit,
                flags: load.flags,
                size: load.file_size,
            });
        }
        ranges.sort_by_key(|range| range.start);
        if expected > bytes.size {
            damages.push(Damage::Truncated {
                size: bytes.size,
                expected,
            });
        }
        let memory = Self {
            bytes,
            dumped,
            parts: Layers::default(),
            files: Vec::new(),
        };
        (memory, ranges)
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// One more file; its number is for [`Self::add_part`].
    pub(super) fn add_file(&mut self, file: Result<Arc<Binary>, Unavailable>) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    /// A file lies in a range of memory, from an offset of its on.
    pub(super) fn add_part(&mut self, file: usize, start: u64, limit: u64, offset: u64) {
        let delta = offset.wrapping_sub(start);
        self.parts.insert(start, limit, FilePart { file, delta });
    }

    /// How many bytes the core file has from an address on, at most `most`.
    pub(super) fn dumped_from(&self, start: u64, most: u64) -> Vec<u8> {
        match self.dumped.at(start) {
            Some((limit, Content::Core(delta))) => self
                .bytes
                .available(start.wrapping_add(delta), most.min(limit - start)),
            Some((_, Content::NotDumped)) | None => Vec::new(),
        }
    }

    fn read_file(&self, address: u64, buffer: &mut [u8]) -> Option<Result<Piece, Unavailable>> {
        let (limit, FilePart { file, delta }) = self.parts.at(address)?;
        let binary = match self.files.get(file)? {
            Ok(binary) => binary,
            Err(missing) => return Some(Err(*missing)),
        };
        // What was dumped lies over it.
        let limit = limit.min(self.dumped_start(address).unwrap_or(limit));
        let buffer = upto(buffer, address, limit);
        Some(
            match ReadAt::read_at(binary.file(), address.wrapping_add(delta), buffer) {
                Ok(0) => Err(Unavailable::BeyondFile),
                Ok(count) => Ok(Piece {
                    count,
                    origin: Origin::File,
                }),
                Err(error) => Err(Unavailable::Failed(error.kind())),
            },
        )
    }

    /// Where the core file's next bytes begin behind an address at which it has none.
    fn dumped_start(&self, mut address: u64) -> Option<u64> {
        loop {
            address = self.dumped.next_start(address)?;
            if matches!(self.dumped.at(address), Some((_, Content::Core(_)))) {
                return Some(address);
            }
        }
    }
}

impl ReadMemory for Memory {
    fn read_piece(&self, address: ProcAddr, buffer: &mut [u8]) -> Result<Piece, Unavailable> {
        let address = address.0;
        let dumped = self.dumped.at(address);
        if let Some((limit, Content::Core(delta))) = dumped {
            let buffer = upto(buffer, address, limit);
            return match self.bytes.read_at(address.wrapping_add(delta), buffer) {
                Ok(0) => Err(Unavailable::Truncated),
                Ok(count) => Ok(Piece {
                    count,
                    origin: Origin::Core,
                }),
                Err(error) => Err(Unavailable::Failed(error.kind())),
            };
        }
        self.read_file(address, buffer)
            .unwrap_or(Err(if dumped.is_some() {
                Unavailable::NotDumped
            } else {
                Unavailable::NotMapped
            }))
    }
}

/// The part of a buffer that a range beginning at `address` can fill.
fn upto(buffer: &mut [u8], address: u64, limit: u64) -> &mut [u8] {
    let most = usize::try_from(limit - address).unwrap_or(usize::MAX);
    let size = buffer.len().min(most);
    &mut buffer[..size]
}
