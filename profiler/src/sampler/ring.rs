//! Bytes from the ring to [`Event`]s; checks every length.

use std::num::NonZeroU64;

use profiler_common::{
    COMM_LEN, EXACT_FRAME, EventRecord, LeafRegister, Memory, RED_ZONE, RecordKind, Registers,
    SampleHeader, Stop,
};

use super::bytes::{u16_at, u32_at, u64_at};
use super::side_band::MemoryEvent;
use crate::addr::{CodeAddr, ProcAddr};

/// Bound of one reading of the ring: at 10,000 Hz on 64 CPUs a tenth of a second.
pub(super) const MOST_RECORDS_AT_ONCE: usize = 64_000;

/// Records that are put in order together, beyond what each CPU does by itself.
pub(super) const BATCH: usize = 1024;

/// What the kernel side tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A target was interrupted by the sampling timer.
    Sample(Sample),
    /// The same for a process or library that has no unwind tables yet.
    StackCopy(StackCopy),
    /// The stack of the last sample of the same thread once more, as a copy.
    WalkCheck(StackCopy),
    /// A target has a new child, which is a target as well.
    Fork {
        /// The process that forked.
        parent: u32,
        /// Its child.
        child: u32,
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        time_ns: u64,
    },
    /// A target runs another program from now on.
    Exec {
        /// The process.
        pid: u32,
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        time_ns: u64,
    },
    /// A thread of a target has ended.
    Exit {
        /// The process.
        pid: u32,
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        time_ns: u64,
    },
    /// The memory of a target has changed.
    Memory(MemoryEvent),
}

impl Event {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) fn time_ns(&self) -> u64 {
        match self {
            Self::Sample(sample) => sample.time_ns,
            Self::StackCopy(copy) | Self::WalkCheck(copy) => copy.sample.time_ns,
            Self::Fork { time_ns, .. }
            | Self::Exec { time_ns, .. }
            | Self::Exit { time_ns, .. } => *time_ns,
            Self::Memory(event) => event.time_ns,
        }
    }
}

/// One sample.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    /// Process id.
    pub(crate) pid: u32,
    /// Thread id.
    pub(crate) tid: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// Name of the thread, padded with zeros.
    pub(crate) comm: [u8; COMM_LEN],
    /// Name of the process, padded with zeros; nothing but zeros when the kernel could not tell.
    pub(crate) name: [u8; COMM_LEN],
    /// Process id in the initial pid namespace.
    pub(crate) host_pid: u32,
    /// The CPU that was interrupted.
    pub(crate) cpu: u32,
    /// Whether the kernel was interrupted, and not the program.
    pub(crate) in_kernel: bool,
    /// Id of the control group of version 2, if that was asked for.
    pub(crate) cgroup: Option<NonZeroU64>,
    /// User frames, innermost first.
    pub(crate) user: Vec<CodeAddr>,
    /// Kernel frames in the same order; none when the task ran in user mode.
    pub(crate) kernel: Vec<CodeAddr>,
    /// Why the walk of the user stack ended.
    pub(crate) stop: Stop,
}

#[cfg(test)]
impl Sample {
    /// One without a stack, of a thread whose name and that of its process are not known.
    pub(crate) fn of_thread(pid: u32, tid: u32) -> Self {
        Self {
            pid,
            tid,
            time_ns: 0,
            comm: [0; COMM_LEN],
            name: [0; COMM_LEN],
            host_pid: pid,
            cpu: 0,
            in_kernel: false,
            cgroup: None,
            user: Vec::new(),
            kernel: Vec::new(),
            stop: Stop::NoTable,
        }
    }
}

/// A sample whose user stack is yet to be walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StackCopy {
    /// All but the user frames; `stop` is why there are none.
    pub(crate) sample: Sample,
    /// The user's registers.
    pub(crate) registers: Registers,
    /// More of them, for the innermost frame.
    pub(crate) leaf: [u64; LeafRegister::COUNT],
    /// The words of the stack from the red zone on, as far as they could be copied.
    pub(crate) stack: Vec<u64>,
}

impl Memory for &StackCopy {
    fn read_u64(&mut self, address: u64) -> Option<u64> {
        let first = (self.registers.sp & !7).wrapping_sub(RED_ZONE);
        let offset = address.wrapping_sub(first);
        let word = offset.is_multiple_of(8).then_some(offset / 8)?;
        self.stack.get(usize::try_from(word).ok()?).copied()
    }

    fn leaf(&mut self, register: LeafRegister, sp: u64) -> Option<u64> {
        (sp == self.registers.sp).then(|| self.leaf[register.index()])
    }
}

/// Decodes one record, or says that it is not one.
pub(super) fn decode(bytes: &[u8]) -> Option<Event> {
    match RecordKind::from_u32(u32_at(bytes, 0)?)? {
        RecordKind::Sample => {
            let (mut sample, words) = decode_sample(bytes)?;
            sample.user = words.map(user_frame).collect();
            Some(Event::Sample(sample))
        }
        RecordKind::StackCopy => decode_copy(bytes).map(Event::StackCopy),
        RecordKind::WalkCheck => decode_copy(bytes).map(Event::WalkCheck),
        kind => decode_event(kind, bytes),
    }
}

fn decode_copy(bytes: &[u8]) -> Option<StackCopy> {
    let (sample, mut words) = decode_sample(bytes)?;
    let registers = Registers::interrupted(words.next()?, words.next()?, words.next()?);
    let mut leaf = [0; LeafRegister::COUNT];
    for register in &mut leaf {
        *register = words.next()?;
    }
    Some(StackCopy {
        sample,
        registers,
        leaf,
        stack: words.collect(),
    })
}

/// A sample without its user frames, and the words that stand for them.
fn decode_sample(bytes: &[u8]) -> Option<(Sample, impl Iterator<Item = u64>)> {
    use std::mem::offset_of;
    let user_words = u16_at(bytes, offset_of!(SampleHeader, user_frames))?;
    let kernel_words = u16_at(bytes, offset_of!(SampleHeader, kernel_frames))?;
    let all = bytes.get(size_of::<SampleHeader>()..)?;
    let user_bytes = usize::from(user_words) * 8;
    let user = all.get(..user_bytes)?;
    let kernel = all.get(user_bytes..user_bytes + usize::from(kernel_words) * 8)?;
    let task_name = |at: usize| bytes.get(at..at + COMM_LEN)?.try_into().ok();
    let sample = Sample {
        pid: u32_at(bytes, offset_of!(SampleHeader, pid))?,
        tid: u32_at(bytes, offset_of!(SampleHeader, tid))?,
        time_ns: u64_at(bytes, offset_of!(SampleHeader, time_ns))?,
        comm: task_name(offset_of!(SampleHeader, comm))?,
        name: task_name(offset_of!(SampleHeader, name))?,
        host_pid: u32_at(bytes, offset_of!(SampleHeader, host_pid))?,
        cpu: u32_at(bytes, offset_of!(SampleHeader, cpu))?,
        in_kernel: u32_at(bytes, offset_of!(SampleHeader, in_kernel))? != 0,
        cgroup: NonZeroU64::new(u64_at(bytes, offset_of!(SampleHeader, cgroup))?),
        user: Vec::new(),
        kernel: words(kernel).enumerate().map(kernel_frame).collect(),
        stop: Stop::from_u32(u32_at(bytes, offset_of!(SampleHeader, stop))?)?,
    };
    Some((sample, words(user)))
}

/// How many there are is known at once, so that what is collected from them is moved only once.
fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> + '_ {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word))
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

/// A frame of the kernel's walk of itself: the interrupted instruction first, then return addresses.
fn kernel_frame((depth, address): (usize, u64)) -> CodeAddr {
    match depth {
        0 => CodeAddr::Exact(ProcAddr(address)),
        _ => CodeAddr::Return(ProcAddr(address)),
    }
}

fn decode_event(kind: RecordKind, bytes: &[u8]) -> Option<Event> {
    use std::mem::offset_of;
    let pid = u32_at(bytes, offset_of!(EventRecord, pid))?;
    let other = u32_at(bytes, offset_of!(EventRecord, other))?;
    let time_ns = u64_at(bytes, offset_of!(EventRecord, time_ns))?;
    match kind {
        RecordKind::Sample | RecordKind::StackCopy | RecordKind::WalkCheck => None,
        RecordKind::Fork => Some(Event::Fork {
            parent: pid,
            child: other,
            time_ns,
        }),
        RecordKind::Exec => Some(Event::Exec { pid, time_ns }),
        RecordKind::Exit => Some(Event::Exit { pid, time_ns }),
    }
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
        record.extend(*b"program\0\0\0\0\0\0\0\0\0");
        record.extend(4711u64.to_ne_bytes());
        record.extend(1041u32.to_ne_bytes());
        record.extend(1u32.to_ne_bytes());
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
        assert_eq!((sample.pid, sample.tid, sample.time_ns), (41, 42, 77));
        assert_eq!(&sample.comm[..7], b"worker\0");
        assert_eq!(&sample.name[..8], b"program\0");
        assert_eq!((sample.host_pid, sample.cpu), (1041, 3));
        assert_eq!(sample.cgroup.map(NonZeroU64::get), Some(4711));
        assert!(sample.in_kernel);
        assert_eq!(sample.stop, Stop::TooDeep);
        assert_eq!(
            sample.user,
            [
                CodeAddr::Exact(ProcAddr(0x10)),
                CodeAddr::Return(ProcAddr(0x20))
            ]
        );
        assert_eq!(
            sample.kernel,
            [
                CodeAddr::Exact(ProcAddr(0xffff_ffff_8000_0000)),
                CodeAddr::Return(ProcAddr(0xffff_ffff_8000_1000)),
            ]
        );
    }

    /// A copy has registers and stack, and is read by address like the stack itself, but not beyond its ends.
    #[test]
    fn copied_stacks() {
        let words = [
            0x401000,
            0x7ffc_0090,
            0x7ffc_0098,
            0,
            1,
            2,
            3,
            4,
            5,
            10,
            11,
            11,
            22,
        ];
        let mut record = sample_record(&words, &[]);
        record[..4].copy_from_slice(&(RecordKind::StackCopy as u32).to_ne_bytes());
        let Some(Event::StackCopy(copy)) = decode(&record) else {
            panic!("not a copy: {record:?}");
        };
        assert_eq!(
            copy.registers,
            Registers::interrupted(0x401000, 0x7ffc_0090, 0x7ffc_0098)
        );
        let mut memory = &copy;
        let cases = [
            (0x7ffc_0010, Some(11)),
            (0x7ffc_0018, Some(22)),
            (0x7ffc_0020, None),
            (0x7ffc_0008, None),
            (0x7ffc_0014, None),
        ];
        for (address, expected) in cases {
            assert_eq!(memory.read_u64(address), expected, "{address:#x}");
        }
        // Other registers are those of the innermost frame, by their number in DWARF.
        for number in [0, 5, 10, 11] {
            let register = LeafRegister::from_dwarf(number).unwrap();
            assert_eq!(memory.leaf(register, 0x7ffc_0090), Some(number));
            assert_eq!(memory.leaf(register, 0x7ffc_00a0), None);
        }
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
                    time_ns: 1,
                },
            ),
            (3, Event::Exec { pid: 5, time_ns: 1 }),
            (4, Event::Exit { pid: 5, time_ns: 1 }),
        ];
        for (kind, expected) in cases {
            assert_eq!(decode(&event(kind)), Some(expected));
        }
    }
}
