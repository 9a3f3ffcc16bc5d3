//! The command line: what can be typed, what is said, and how the program exits.
//!
//! Only this module and `main` print. What is done is the pipeline's business.

mod args;
mod build_id;
mod core_file;
mod core_report;
mod doctor;
mod generate;
mod inputs;
mod log_format;
mod maps;
mod record;
mod report;
mod serve;
mod serve_values;
mod signals;
mod status;
mod symbols;
mod unwind_info;
mod values;

use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;

use args::{Args, Inspect};

use crate::config::ConfigError;
use crate::{name_services, symbolize};

/// What was typed makes no sense; clap exits with the same.
const WRONG_USAGE: u8 = 2;
/// A profile was written, but it has no samples.
const NO_SAMPLES: u8 = 3;

/// Parses the command line, does what it says, and tells how that went.
pub fn main() -> ExitCode {
    name_services::use_built_in();
    let args = Args::parse();
    symbolize::silence_caught_panics();
    match &args.inspect {
        Some(Inspect::Serve(serve)) => serve.init_log(),
        _ => {
            let level = log_format::level(LevelFilter::Warn, args.verbose, args.quiet);
            log_format::init(args.log_format, level);
        }
    }
    let result = match (args.generate, &args.inspect) {
        (Some(what), _) => generate::generate(what).map(|()| ExitCode::SUCCESS),
        (None, Some(Inspect::BuildId(args))) => build_id::run(args),
        (None, Some(Inspect::Core(args))) => core_file::run(args),
        (None, Some(Inspect::Doctor(args))) => doctor::run(args),
        (None, Some(Inspect::Maps(args))) => maps::run(args),
        (None, Some(Inspect::Serve(args))) => serve::run(args),
        (None, Some(Inspect::Symbols(args))) => symbols::run(args),
        (None, Some(Inspect::UnwindInfo { file, rows })) => {
            unwind_info::print(file, *rows).map(|()| ExitCode::SUCCESS)
        }
        (None, None) => record::record(&args),
    };
    result.unwrap_or_else(|error| {
        log::error!("{error:#}");
        match error.downcast_ref::<ConfigError>() {
            Some(error) if error.is_usage() => ExitCode::from(WRONG_USAGE),
            _ => ExitCode::FAILURE,
        }
    })
}
