//! What crosses the boundary between the BPF programs and user space: records, settings, reasons.
//!
//! Nothing here allocates, does input or output, or depends on anything, so that both sides can use it.
//! How a record gets into the ring is `profiler-ebpf`'s business, how it is read is `profiler::sampler`'s.

#![no_std]
