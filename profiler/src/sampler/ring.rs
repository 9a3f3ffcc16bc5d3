//! Bytes from the ring to [`Event`]s; checks every length.

use profiler_common::{COMM_LEN, EXACT_FRAME, EventRecord, RecordKind, SampleHeader, Stop};

use crate::addr::{CodeAddr, ProcAddr};

/// Bound of one reading of the ring: at 10,000 Hz on 64 CPUs a tenth of a second.
pub(super) const MOST_RECORDS_AT_ONCE: usize = 64_000;

/// What the BPF programs tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event<'a> {
    /// A target was interrupted by the sampling timer.
    Sample(Sample<'a>),
    /// A target has a new child, which is a target as well.
    Fork {
        /// The process that forked.
        parent: u32,
        /// Its child.
        child: u32,
    },
    /// A target runs another program from now on.
    Exec {
        /// The process.
        pid: u32,
    },
    /// A thread of a target has ended.
    Exit {
        /// The process.
        pid: u32,
        /// The thread; equal to `pid` for the first one.
        tid: u32,
    },
}

/// One sample, its frames still in the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample<'a> {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The CPU that was interrupted.
    pub cpu: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Name of the thread, padded with zeros.
    pub comm: [u8; COMM_LEN],
    /// User frames, innermost first.
    user: Addresses<'a>,
    /// Kernel frames in the same order; none when the task ran in user mode.
    kernel: Addresses<'a>,
    /// Why the walk of the user stack ended.
    pub stop: Stop,
}

impl Sample<'_> {
    /// The user's frames, innermost first.
    pub(crate) fn user(&self) -> impl Iterator<Item = CodeAddr> + '_ {
        self.user.iter().map(user_frame)
    }

    /// The kernel's frames in the same order: the interrupted instruction, then return addresses.
    pub(crate) fn kernel(&self) -> impl Iterator<Item = CodeAddr> + '_ {
        self.kernel
            .iter()
            .enumerate()
            .map(|(depth, address)| match depth {
                0 => CodeAddr::Exact(ProcAddr(address)),
                _ => CodeAddr::Return(ProcAddr(address)),
            })
    }

    /// Whether there is a user stack.
    pub(crate) fn has_user_stack(&self) -> bool {
        !self.user.0.is_empty()
    }
}

/// A frame of the walk in BPF, which marks those that are no return addresses. The highest addresses are the
/// kernel's and the vsyscall page's, where the mark is part of the address.
fn user_frame(word: u64) -> CodeAddr {
    const HIGHEST: u64 = 0xffff << 48;
    match word & HIGHEST {
        EXACT_FRAME => CodeAddr::Exact(ProcAddr(word & !EXACT_FRAME)),
        0 => CodeAddr::Return(ProcAddr(word)),
        _ => CodeAddr::Exact(ProcAddr(word)),
    }
}

/// Words as they stand in the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Addresses<'a>(&'a [u8]);

impl<'a> Addresses<'a> {
    fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.0.chunks_exact(8).filter_map(|word| u64_at(word, 0))
    }
}

/// Decodes one record, or says that it is not one.
pub(super) fn decode(bytes: &[u8]) -> Option<Event<'_>> {
    match RecordKind::from_u32(u32_at(bytes, 0)?)? {
        RecordKind::Sample => decode_sample(bytes).map(Event::Sample),
        kind => decode_event(kind, bytes),
    }
}

fn decode_sample(bytes: &[u8]) -> Option<Sample<'_>> {
    use std::mem::offset_of;
    let user_frames = u16_at(bytes, offset_of!(SampleHeader, user_frames))?;
    let kernel_frames = u16_at(bytes, offset_of!(SampleHeader, kernel_frames))?;
    let frames = bytes.get(size_of::<SampleHeader>()..)?;
    let user_bytes = usize::from(user_frames) * 8;
    let all_bytes = user_bytes + usize::from(kernel_frames) * 8;
    let comm_at = offset_of!(SampleHeader, comm);
    Some(Sample {
        pid: u32_at(bytes, offset_of!(SampleHeader, pid))?,
        tid: u32_at(bytes, offset_of!(SampleHeader, tid))?,
        cpu: u32_at(bytes, offset_of!(SampleHeader, cpu))?,
        time_ns: u64_at(bytes, offset_of!(SampleHeader, time_ns))?,
        comm: bytes.get(comm_at..comm_at + COMM_LEN)?.try_into().ok()?,
        user: Addresses(frames.get(..user_bytes)?),
        kernel: Addresses(frames.get(user_bytes..all_bytes)?),
        stop: Stop::from_u32(u32_at(bytes, offset_of!(SampleHeader, stop))?)?,
    })
}

fn decode_event(kind: RecordKind, bytes: &[u8]) -> Option<Event<'_>> {
    use std::mem::offset_of;
    let pid = u32_at(bytes, offset_of!(EventRecord, pid))?;
    let other = u32_at(bytes, offset_of!(EventRecord, other))?;
    match kind {
        RecordKind::Sample => None,
        RecordKind::Fork => Some(Event::Fork {
            parent: pid,
            child: other,
        }),
        RecordKind::Exec => Some(Event::Exec { pid }),
        RecordKind::Exit => Some(Event::Exit { pid, tid: other }),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_record(user: &[u64], kernel: &[u64]) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(1u32.to_ne_bytes());
        record.extend(3u32.to_ne_bytes());
        record.extend(77u64.to_ne_bytes());
        record.extend(41u32.to_ne_bytes());
        record.extend(42u32.to_ne_bytes());
        record.extend(u16::try_from(user.len()).unwrap().to_ne_bytes());
        record.extend(u16::try_from(kernel.len()).unwrap().to_ne_bytes());
        record.extend((Stop::TooDeep as u32).to_ne_bytes());
        record.extend(*b"worker\0\0\0\0\0\0\0\0\0\0");
        for address in user.iter().chain(kernel) {
            record.extend(address.to_ne_bytes());
        }
        record
    }

    /// Every field of a sample arrives, and the two stacks stay apart.
    #[test]
    fn sample_fields_and_stacks() {
        let record = sample_record(
            &[0x10 | EXACT_FRAME, 0x20],
            &[0xffff_ffff_8000_0000, 0xffff_ffff_8000_1000],
        );
        let Some(Event::Sample(sample)) = decode(&record) else {
            panic!("not a sample: {record:?}");
        };
        assert_eq!((sample.pid, sample.tid, sample.cpu), (41, 42, 3));
        assert_eq!(sample.time_ns, 77);
        assert_eq!(&sample.comm[..7], b"worker\0");
        assert_eq!(sample.stop, Stop::TooDeep);
        assert_eq!(
            sample.user().collect::<Vec<_>>(),
            [
                CodeAddr::Exact(ProcAddr(0x10)),
                CodeAddr::Return(ProcAddr(0x20))
            ]
        );
        assert_eq!(
            sample.kernel().collect::<Vec<_>>(),
            [
                CodeAddr::Exact(ProcAddr(0xffff_ffff_8000_0000)),
                CodeAddr::Return(ProcAddr(0xffff_ffff_8000_1000)),
            ]
        );
    }

    /// A record cut at any byte is refused, not read beyond its end.
    #[test]
    fn cut_records_are_refused() {
        let record = sample_record(&[0x10, 0x20], &[0x30]);
        for length in 0..record.len() {
            assert_eq!(decode(&record[..length]), None, "cut after {length} bytes");
        }
        assert!(decode(&record).is_some());
    }

    /// A kind of record that this version does not know is refused.
    #[test]
    fn unknown_kinds_are_refused() {
        let mut record = sample_record(&[], &[]);
        record[..4].copy_from_slice(&99u32.to_ne_bytes());
        assert_eq!(decode(&record), None);
    }

    /// Process events carry both process ids.
    #[test]
    fn process_events() {
        let event = |kind: u32| {
            let mut record = Vec::new();
            record.extend(kind.to_ne_bytes());
            record.extend(5u32.to_ne_bytes());
            record.extend(1u64.to_ne_bytes());
            record.extend(6u32.to_ne_bytes());
            record.extend(0u32.to_ne_bytes());
            record
        };
        let cases = [
            (
                2,
                Event::Fork {
                    parent: 5,
                    child: 6,
                },
            ),
            (3, Event::Exec { pid: 5 }),
            (4, Event::Exit { pid: 5, tid: 6 }),
        ];
        for (kind, expected) in cases {
            assert_eq!(decode(&event(kind)), Some(expected));
        }
    }
}
