//! Records into the ring; what did not fit is counted.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use profiler_common::{Counter, EventRecord, SampleHeader, Scratch, WAKE_PAUSE_NS};

use crate::maps::{self, constant};

/// `EAGAIN`, what `bpf_ringbuf_output` says when the ring is full (kernel/bpf/ringbuf.c).
const EAGAIN: i32 = 11;

/// Adds one to a counter of this CPU.
pub(crate) fn count(counter: Counter) {
    if let Some(value) = maps::COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the element is this CPU's own, and the programs that run here do not interrupt each other
        // between load and store of the same counter.
        unsafe { *value += 1 };
    }
}

/// Sends the scratch's header and its first `frames` frames.
#[inline(always)]
pub(crate) fn sample(scratch: *const Scratch, frames: usize, wake: bool) {
    match output(scratch, frames, wake) {
        Ok(()) => {}
        Err(error) if error == -EAGAIN => count(Counter::SamplesRingFull),
        Err(_) => count(Counter::SamplesOutputFailed),
    }
}

/// Sends a copy of a stack whose sample has been sent. Nothing is counted when there is no room: nothing is missing then.
#[inline(always)]
pub(crate) fn copy_of_walked(scratch: *const Scratch, words: usize) {
    let _ = output(scratch, words, false);
}

/// Sends the scratch's header and so many words behind it; more than there are is not possible, and not sent.
#[inline(always)]
fn output(scratch: *const Scratch, words: usize, wake: bool) -> Result<(), i32> {
    let bytes = size_of::<SampleHeader>() + words * size_of::<u64>();
    if bytes > size_of::<Scratch>() {
        return Ok(());
    }
    // SAFETY: the scratch is at least `bytes` long, as was just checked.
    let record = unsafe { core::slice::from_raw_parts(scratch.cast::<u8>(), bytes) };
    maps::RECORDS.output::<[u8]>(record, wakeup(wake))
}

/// Sends the record of a process event. It never wakes the reader: what it tells matters for the samples
/// behind it, and they are read in the same go.
pub(crate) fn event(record: &EventRecord) {
    if maps::RECORDS
        .output::<EventRecord>(record, BPF_RB_NO_WAKEUP.into())
        .is_err()
    {
        count(Counter::EventsLost);
    }
}

/// Says in the log that a child could not be entered into the table, and counts it.
pub(crate) fn child_not_followed(ctx: &impl aya_ebpf::EbpfContext, child: u32, error: i32) {
    count(Counter::ChildrenNotFollowed);
    debug!(ctx, "process {} is not followed: error {}", child, error);
}

/// Whether so much waits in the ring that the reader shall not let it wait longer.
#[inline(always)]
fn ring_fills_up() -> bool {
    maps::RECORDS.query(BPF_RB_AVAIL_DATA.into()) > constant!(SETTINGS.wakeup_bytes)
}

/// Whether what is large may go into the ring, without a danger that samples are lost.
#[inline(always)]
pub(crate) fn has_room_for_copies() -> bool {
    maps::RECORDS.query(BPF_RB_AVAIL_DATA.into()) <= 2 * constant!(SETTINGS.wakeup_bytes)
}

/// Whether the reader may be woken for a process that it does not know. Where programs are started by the thousand, it looks
/// by itself a moment after it was woken, and learns of all at once.
#[inline(always)]
pub(crate) fn may_wake() -> bool {
    // SAFETY: the helper takes nothing and has no precondition.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(woken) = maps::WOKEN.get_ptr_mut(0) else {
        return true;
    };
    // SAFETY: points to the map's only element. Other CPUs write it too; whatever of theirs is read is a time.
    let before = unsafe { woken.read_volatile() };
    let is_due = now.wrapping_sub(before) >= WAKE_PAUSE_NS;
    if is_due {
        // SAFETY: as above.
        unsafe { woken.write_volatile(now) };
    }
    is_due
}

/// A wake-up costs an interrupt to the reader's CPU and a switch to it, more than the sample itself; the reader
/// looks by itself often enough unless the ring fills quickly.
fn wakeup(wake: bool) -> u64 {
    if wake || ring_fills_up() {
        BPF_RB_FORCE_WAKEUP.into()
    } else {
        BPF_RB_NO_WAKEUP.into()
    }
}
