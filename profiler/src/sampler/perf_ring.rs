//! A perf event that counts nothing and has the kernel write down what processes map, and the ring that it writes to.
//! What the records mean is left to `side_band`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use aya_obj::generated::{
    PERF_FLAG_FD_CLOEXEC, perf_event_attr, perf_event_mmap_page, perf_event_sample_format,
    perf_sw_ids, perf_type_id,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `CLOCK_MONOTONIC` of the kernel's `linux/time.h`: the clock of `bpf_ktime_get_ns`, so that these records and the
/// samples can be put in order.
const CLOCK_MONOTONIC: i32 = 1;
/// Wake the reader when one part in so many of the ring is full.
const WAKE_AT: u32 = 4;

/// The event of one CPU with its ring.
#[derive(Debug)]
pub(super) struct PerfRing {
    event: OwnedFd,
    memory: *mut u8,
    /// Bytes of the ring, a power of two; a page with the head and the tail is in front of it.
    bytes: usize,
}

impl PerfRing {
    /// Has the kernel write down executable mappings, forks, execs and ends of all processes while they run on a CPU.
    ///
    /// # Errors
    ///
    /// What the kernel says: the rights are those of any event on a whole CPU, and `EPERM` also stands for a ring that is
    /// more locked memory than the user may have (`kernel.perf_event_mlock_kb`).
    pub(super) fn open(cpu: u32, bytes: usize) -> io::Result<Self> {
        let event = open_event(cpu, bytes)?;
        let page = rustix::param::page_size();
        // SAFETY: a new mapping at a place of the kernel's choice; nothing else can refer to it.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                page + bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &event,
                0,
            )?
        };
        Ok(Self {
            event,
            memory: memory.cast(),
            bytes,
        })
    }

    /// Appends all that the kernel has written since the last time, whole records one behind the other, and gives the
    /// room back.
    pub(super) fn take(&mut self, records: &mut Vec<u8>) {
        let (head, tail) = (self.head(), self.tail());
        let end = head.load(Ordering::Acquire);
        let begin = tail.load(Ordering::Relaxed);
        let waiting = usize::try_from(end.wrapping_sub(begin)).unwrap_or(usize::MAX);
        // The kernel never writes more than there is room for.
        let waiting = waiting.min(self.bytes);
        let at = begin as usize & (self.bytes - 1);
        let first = waiting.min(self.bytes - at);
        let ring = self.memory.wrapping_add(rustix::param::page_size());
        // SAFETY: both parts lie in the ring, which is ours until drop; the kernel does not write between the tail and the
        // head before the tail is moved.
        unsafe {
            records.extend_from_slice(std::slice::from_raw_parts(ring.add(at), first));
            records.extend_from_slice(std::slice::from_raw_parts(ring, waiting - first));
        }
        tail.store(end, Ordering::Release);
    }

    /// How far the kernel has written; it only ever rises.
    fn head(&self) -> &AtomicU64 {
        let page: *mut perf_event_mmap_page = self.memory.cast();
        // SAFETY: the first page of the mapping is this structure, aligned to a page and ours until drop; the kernel
        // writes the field as a whole.
        unsafe { AtomicU64::from_ptr(&raw mut (*page).data_head) }
    }

    /// How far it was read.
    fn tail(&self) -> &AtomicU64 {
        let page: *mut perf_event_mmap_page = self.memory.cast();
        // SAFETY: as for the head; nobody else writes the field.
        unsafe { AtomicU64::from_ptr(&raw mut (*page).data_tail) }
    }
}

impl AsFd for PerfRing {
    /// Readable when the ring fills up.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for PerfRing {
    fn drop(&mut self) {
        let bytes = rustix::param::page_size() + self.bytes;
        // SAFETY: the mapping that `open` made; nothing refers to it after this value.
        let result = unsafe { munmap(self.memory.cast(), bytes) };
        if let Err(error) = result {
            log::debug!("a ring of perf records stays in memory: {error}");
        }
    }
}

/// Whether the kernel lets all processes on a CPU be sampled by an event, every `period` of it. Nothing is sampled.
pub(super) fn try_sampling(
    cpu: u32,
    kind: perf_type_id,
    config: u64,
    period: u64,
) -> io::Result<()> {
    let mut attributes = attributes(kind, config);
    attributes.__bindgen_anon_1.sample_period = period;
    attributes.set_disabled(1);
    open(&attributes, cpu).map(drop)
}

fn open_event(cpu: u32, bytes: usize) -> io::Result<OwnedFd> {
    let dummy = perf_sw_ids::PERF_COUNT_SW_DUMMY as u64;
    let mut attributes = attributes(perf_type_id::PERF_TYPE_SOFTWARE, dummy);
    attributes.sample_type = perf_event_sample_format::PERF_SAMPLE_TID as u64
        | perf_event_sample_format::PERF_SAMPLE_TIME as u64;
    attributes.clockid = CLOCK_MONOTONIC;
    attributes.__bindgen_anon_2.wakeup_watermark = bytes as u32 / WAKE_AT;
    attributes.set_watermark(1);
    attributes.set_use_clockid(1);
    attributes.set_sample_id_all(1);
    attributes.set_exclude_kernel(1);
    attributes.set_mmap(1);
    attributes.set_mmap2(1);
    attributes.set_comm(1);
    attributes.set_comm_exec(1);
    attributes.set_task(1);
    open(&attributes, cpu)
}

fn attributes(kind: perf_type_id, config: u64) -> perf_event_attr {
    // SAFETY: plain numbers, for which 0 is a value.
    let mut attributes: perf_event_attr = unsafe { std::mem::zeroed() };
    attributes.type_ = kind as u32;
    attributes.size = size_of::<perf_event_attr>() as u32;
    attributes.config = config;
    attributes
}

/// Opens an event of all processes on one CPU.
fn open(attributes: &perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    const ANY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    // SAFETY: the kernel reads the attributes, which say how large they are, and keeps no pointer to them.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attributes),
            ANY_PROCESS,
            cpu as libc::c_int,
            NO_GROUP,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for this call, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(event as i32) })
}
