//! The end-to-end suite: starts real programs, profiles them with real BPF, reads the result with pprof.
//!
//! `cargo xtask test` builds what it needs and says where that is (see `xtask/src/test.rs`). The parts: [`check`] and
//! [`pprof_tools`] read profiles, `harness` starts targets and the profiler, `cases` has the tests by topic.

#[cfg(test)]
mod cases;
pub mod check;
#[cfg(test)]
mod harness;
pub mod pprof_tools;
