//! The `profiler` program: parses, runs, exits; everything else is the library's.

fn main() {}
