//! The end-to-end suite: starts real programs, profiles them with real BPF, reads the result with pprof.

pub mod check;
pub mod pprof_tools;
