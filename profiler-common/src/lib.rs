//! What the BPF programs and user space both know: records, settings, counters, unwind rows, and how one frame
//! is unwound.
//!
//! Nothing here allocates, does input or output, or depends on anything, so that both sides can use it.
//! How a record gets into the ring is `profiler-ebpf`'s business, how it is read is `profiler::sampler`'s.

#![no_std]

mod counter;
mod event;
mod mapping;
mod rows;
mod rule;
mod sample;
mod settings;
mod step;
mod stop;
#[cfg(feature = "user")]
mod user;

pub use counter::Counter;
pub use event::{EventRecord, RecordKind};
pub use mapping::{MappingRun, ProcessRun};
pub use rows::{
    CHUNK_ROWS, MAX_PAGE_ROWS, MAX_RULES, PAGE_SHIFT, Page, Row, SEARCH_STEPS,
    all_ones_if_not_above, find_row,
};
pub use rule::{Cfa, LeafRegister, Rule, SavedFp};
pub use sample::{
    COMM_LEN, COPY_REGISTERS, EXACT_FRAME, MAX_COPY_WORDS, MAX_KERNEL_FRAMES, MAX_USER_FRAMES,
    MORE_PAGES, PAGE_WORDS, RED_ZONE, SampleHeader, Scratch,
};
pub use settings::{Layout, MAX_CGROUPS, NameWords, Part, Settings, WAKE_PAUSE_NS};
pub use step::{Memory, Registers, step};
pub use stop::Stop;
