//! The BPF programs of the profiler.

#![no_std]
#![no_main]
