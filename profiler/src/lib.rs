//! A CPU profiler that samples with eBPF and writes pprof.
//!
//! The line that every sample walks, left to right:
//!
//! ```text
//! sampler ──▶ process ──▶ aggregate ──▶ symbolize ──▶ pprof ──▶ output
//! decode      locate      count         name          build     write
//! ```
//!
//! Two of the steps are useful by themselves and are this crate's public interface for other programs:
//! [`process`] turns a process id and an address into a mapping (and does so for core files), and [`binary`] knows
//! what an ELF file says about itself (its build-id, its symbols, and how file offsets relate to the addresses it was
//! linked at).
//! [`scan`] joins both the other way round: it finds where a symbol is in every running process.
//! The other modules serve the `profiler` program ([`serve`] and [`unwind`] are public for the sake of fuzzing).

pub mod addr;
mod aggregate;
pub mod binary;
mod caller;
mod cgroup;
pub mod cli;
mod config;
mod doctor;
mod labels;
mod launch;
mod name_services;
mod output;
mod pipeline;
pub mod pprof;
mod privileges;
pub mod process;
mod resident;
mod sampler;
pub mod scan;
pub mod serve;
mod summary;
pub mod symbolize;
pub mod unwind;
