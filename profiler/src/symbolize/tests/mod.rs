//! Names of real programs that the machine's compilers build, compared with what binutils say about them.

mod debug_files;
mod hostile;
mod kept;
mod kernel;
#[cfg(feature = "slow-tests")]
mod large;
mod names;
mod perf_map;
mod programs;
mod workshop;
