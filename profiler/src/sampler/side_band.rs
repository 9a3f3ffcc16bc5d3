//! What the kernel writes down beside the samples about the memory of processes: executable mappings, forks, execs and
//! ends, of each CPU, put in order by their time.
//!
//! There is no record for memory that is given back; whoever keeps what is mapped replaces it when something else is
//! mapped there. What is mapped is told by the time a process can run it, because the kernel writes the record before
//! the system call returns.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll;

use super::bytes::{u16_at, u32_at, u64_at};
use super::perf_ring::PerfRing;
use crate::addr::{FileOffset, ProcAddr};

/// Bytes of the ring of one CPU: two hundred programs started, and it has to be read. What a user may lock without further
/// rights (`kernel.perf_event_mlock_kb`) is twice as much.
const RING_BYTES: usize = 256 << 10;

/// The kind of a record: `enum perf_event_type` of the kernel's `linux/perf_event.h`.
const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = 10;
/// `PERF_RECORD_MISC_COMM_EXEC`: the name has changed because of an exec.
const COMM_IS_EXEC: u16 = 1 << 13;
/// Bytes of a record's header: kind, flags, size.
const HEADER: usize = 8;
/// Bytes at a record's end: process, thread and time.
const TRAILER: usize = 16;

/// Something that has changed the memory of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MemoryEvent {
    /// The process.
    pub(crate) pid: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// What has happened.
    pub(crate) change: MemoryChange,
}

/// What has happened to the memory of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MemoryChange {
    /// Something executable was mapped, or what was mapped has become executable.
    Mapped(NewMapping),
    /// It was made as a copy of its parent's.
    Copied {
        /// The parent.
        parent: u32,
    },
    /// It was given up for that of another program.
    Executed,
    /// It has a new thread, which shares the memory.
    ThreadBegun,
    /// A thread has ended, and with the last one the memory is given up.
    ThreadEnded {
        /// It was the process's first, which mostly is the last as well.
        is_first: bool,
    },
    /// The kernel had no room for so many records, of whatever process.
    Lost(u64),
}

/// An executable range as the kernel has mapped it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NewMapping {
    /// The first address.
    pub(crate) start: ProcAddr,
    /// The first address behind the range.
    pub(crate) limit: ProcAddr,
    /// Where in the file the range begins.
    pub(crate) offset: FileOffset,
    /// Major and minor number of the device that the file is on.
    pub(crate) device: (u32, u32),
    /// Inode number of the file; 0 for memory that is no file's.
    pub(crate) inode: u64,
    /// What may be done besides executing it: read, write.
    pub(crate) access: (bool, bool),
    /// Writes are seen by others.
    pub(crate) shared: bool,
    /// The name, as in `/proc/PID/maps` but for newlines, which are themselves.
    pub(crate) path: Vec<u8>,
}

/// The rings of all CPUs.
#[derive(Debug)]
pub(super) struct SideBand {
    /// By CPU.
    rings: BTreeMap<u32, PerfRing>,
    ready: OwnedFd,
    bytes: Vec<u8>,
    /// Records of CPUs that have gone.
    left: Vec<u8>,
    /// Records that were lost.
    lost: u64,
}

impl SideBand {
    /// Begins to write down on these CPUs.
    pub(super) fn open(cpus: &[u32]) -> io::Result<Self> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut side_band = Self {
            rings: BTreeMap::new(),
            ready,
            bytes: Vec::new(),
            left: Vec::new(),
            lost: 0,
        };
        cpus.iter().try_for_each(|cpu| side_band.add(*cpu))?;
        Ok(side_band)
    }

    /// Begins to write down on another CPU.
    pub(super) fn add(&mut self, cpu: u32) -> io::Result<()> {
        let ring = PerfRing::open(cpu, RING_BYTES)?;
        // By its edge, because the event of a CPU that is taken off reports its end for ever.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.ready, &ring, epoll::EventData::new_u64(0), flags)?;
        self.rings.insert(cpu, ring);
        Ok(())
    }

    /// Gives up the ring of a CPU that has gone; what it has is taken with the rest.
    pub(super) fn remove(&mut self, cpu: u32) {
        if let Some(mut ring) = self.rings.remove(&cpu) {
            ring.take(&mut self.left);
        }
    }

    /// What was written down since the last time about the processes that are `wanted`, in the order of time.
    pub(super) fn take(&mut self, wanted: impl Fn(u32) -> bool) -> Vec<MemoryEvent> {
        self.forget_readiness();
        let mut events = Vec::new();
        decode_all(&std::mem::take(&mut self.left), &wanted, &mut events);
        for ring in self.rings.values_mut() {
            self.bytes.clear();
            ring.take(&mut self.bytes);
            decode_all(&self.bytes, &wanted, &mut events);
        }
        for event in &events {
            if let MemoryChange::Lost(count) = event.change {
                self.lost += count;
            }
        }
        events.sort_by_key(|event| event.time_ns);
        events
    }

    /// How many records the kernel had no room for.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// What is reported by its edge is reported until it was asked for.
    fn forget_readiness(&self) {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 16];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // Fails only when interrupted; then it wakes the reader once more.
        while epoll::wait(&self.ready, &mut events[..], Some(&at_once))
            .is_ok_and(|count| count == events.len())
        {}
    }
}

impl AsFd for SideBand {
    /// Readable when a ring fills up.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// Decodes records that lie one behind the other; what makes no sense is skipped, by its own account of its size.
fn decode_all(mut bytes: &[u8], wanted: impl Fn(u32) -> bool, events: &mut Vec<MemoryEvent>) {
    while let Some(size) = u16_at(bytes, 6).map(usize::from) {
        let Some((record, rest)) = bytes
            .split_at_checked(size)
            .filter(|_| size >= HEADER + TRAILER)
        else {
            log::debug!("a perf record says that it has {size} bytes");
            return;
        };
        bytes = rest;
        events.extend(decode(record, &wanted));
    }
}

fn decode(record: &[u8], wanted: impl Fn(u32) -> bool) -> Option<MemoryEvent> {
    let body = &record[HEADER..record.len() - TRAILER];
    let time_ns = u64_at(record, record.len() - 8)?;
    let pid = u32_at(body, 0)?;
    let (pid, change) = match u32_at(record, 0)? {
        LOST => (0, MemoryChange::Lost(u64_at(body, 8)?)),
        MMAP2 if wanted(pid) => (pid, MemoryChange::Mapped(new_mapping(body)?)),
        COMM if u16_at(record, 4)? & COMM_IS_EXEC != 0 && wanted(pid) => {
            (pid, MemoryChange::Executed)
        }
        FORK => {
            let parent = u32_at(body, 4)?;
            if !wanted(pid) && !wanted(parent) {
                return None;
            }
            match pid == parent {
                true => (pid, MemoryChange::ThreadBegun),
                false => (pid, MemoryChange::Copied { parent }),
            }
        }
        EXIT if wanted(pid) => {
            let is_first = u32_at(body, 8)? == pid;
            (pid, MemoryChange::ThreadEnded { is_first })
        }
        _ => return None,
    };
    Some(MemoryEvent {
        pid,
        time_ns,
        change,
    })
}

/// The body of an `MMAP2` record. Bit 14 of its flags, which says that there is a build-id in place of device and inode, is
/// not to be believed: nobody asked for that, and some kernels set it because somebody else did.
fn new_mapping(body: &[u8]) -> Option<NewMapping> {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const SHARED: u32 = 1;
    let (start, length) = (u64_at(body, 8)?, u64_at(body, 16)?);
    let protection = u32_at(body, 56)?;
    let path = body.get(64..)?;
    let end = path
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(path.len());
    Some(NewMapping {
        start: ProcAddr(start),
        limit: ProcAddr(start.checked_add(length)?),
        offset: FileOffset(u64_at(body, 24)?),
        device: (u32_at(body, 32)?, u32_at(body, 36)?),
        inode: u64_at(body, 40)?,
        access: (protection & READ != 0, protection & WRITE != 0),
        shared: u32_at(body, 60)? & SHARED != 0,
        path: path[..end].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 77;

    fn record(kind: u32, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut record = kind.to_ne_bytes().to_vec();
        record.extend(flags.to_ne_bytes());
        let size = HEADER + body.len() + TRAILER;
        record.extend(u16::try_from(size).unwrap().to_ne_bytes());
        record.extend(body);
        record.extend([41u32, 42].map(u32::to_ne_bytes).concat());
        record.extend(TIME.to_ne_bytes());
        record
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn mapping(path: &[u8]) -> Vec<u8> {
        let mut body = words(&[41, 42]);
        for word in [0x40_0000, 0x1000, 0x2000] {
            body.extend(u64::to_ne_bytes(word));
        }
        body.extend(words(&[8, 2]));
        body.extend([9u64, 1].map(u64::to_ne_bytes).concat());
        body.extend(words(&[5, 2]));
        body.extend(path);
        record(MMAP2, 0, &body)
    }

    fn decoded(bytes: &[u8]) -> Vec<MemoryEvent> {
        let mut events = Vec::new();
        decode_all(bytes, |pid| pid == 41, &mut events);
        events
    }

    /// Every kind of record arrives with its process and its time; what is about others or is no news does not.
    #[test]
    fn kinds_of_records() {
        let cases = [
            (
                record(FORK, 0, &words(&[40, 41, 40, 42, 0, 0])),
                Some((40, MemoryChange::Copied { parent: 41 })),
            ),
            (
                record(FORK, 0, &words(&[41, 41, 43, 42, 0, 0])),
                Some((41, MemoryChange::ThreadBegun)),
            ),
            (record(FORK, 0, &words(&[50, 51, 50, 51, 0, 0])), None),
            (
                record(COMM, COMM_IS_EXEC, &words(&[41, 42, 0, 0])),
                Some((41, MemoryChange::Executed)),
            ),
            (record(COMM, 0, &words(&[41, 42, 0, 0])), None),
            (
                record(EXIT, 0, &words(&[41, 1, 42, 1, 0, 0])),
                Some((41, MemoryChange::ThreadEnded { is_first: false })),
            ),
            (
                record(EXIT, 0, &words(&[41, 1, 41, 1, 0, 0])),
                Some((41, MemoryChange::ThreadEnded { is_first: true })),
            ),
            (record(EXIT, 0, &words(&[50, 1, 50, 1, 0, 0])), None),
            (
                record(LOST, 0, &words(&[1, 0, 7, 0])),
                Some((0, MemoryChange::Lost(7))),
            ),
            (record(99, 0, &words(&[41, 42])), None),
        ];
        for (bytes, expected) in cases {
            let expected = expected.map(|(pid, change)| MemoryEvent {
                pid,
                time_ns: TIME,
                change,
            });
            assert_eq!(decoded(&bytes), Vec::from_iter(expected), "{bytes:?}");
        }
    }

    /// All that a mapping says arrives, and its name ends at the first zero.
    #[test]
    fn fields_of_a_mapping() {
        let events = decoded(&mapping(b"/lib/a b\n.so\0\0\0\0"));
        let expected = NewMapping {
            start: ProcAddr(0x40_0000),
            limit: ProcAddr(0x40_1000),
            offset: FileOffset(0x2000),
            device: (8, 2),
            inode: 9,
            access: (true, false),
            shared: false,
            path: b"/lib/a b\n.so".to_vec(),
        };
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].change, MemoryChange::Mapped(expected));
    }

    /// Records that are cut off or say too small a size end the reading without harm; those before them count.
    #[test]
    fn damaged_records() {
        let whole = mapping(b"/lib/a.so\0");
        for length in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes.extend_from_slice(&whole[..length]);
            assert_eq!(decoded(&bytes).len(), 1, "{length}");
        }
        for size in 0..whole.len() as u16 {
            let mut bytes = whole.clone();
            bytes[6..8].copy_from_slice(&size.to_ne_bytes());
            assert!(decoded(&bytes).len() <= 1, "{size}");
        }
    }
}
