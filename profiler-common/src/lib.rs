//! What crosses the boundary between the BPF programs and user space: records, settings, counters.
//!
//! Nothing here allocates, does input or output, or depends on anything, so that both sides can use it.
//! How a record gets into the ring is `profiler-ebpf`'s business, how it is read is `profiler::sampler`'s.

#![no_std]

mod counter;
mod event;
mod sample;
mod settings;
#[cfg(feature = "user")]
mod user;

pub use counter::Counter;
pub use event::{EventRecord, RecordKind};
pub use sample::{COMM_LEN, MAX_KERNEL_FRAMES, MAX_USER_FRAMES, SampleHeader, Scratch, StackEnd};
pub use settings::Settings;
