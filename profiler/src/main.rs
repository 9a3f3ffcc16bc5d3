//! The `profiler` program: parses, runs, exits; everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    profiler::cli::main()
}
