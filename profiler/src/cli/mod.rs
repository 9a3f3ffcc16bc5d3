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
use rustix::io::Errno;

use args::{Args, Inspect};

use crate::config::ConfigError;
use crate::sampler::SamplerError;
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
        match remedy(&error) {
            Some(remedy) => log::error!("{error:#}; {remedy}"),
            None => log::error!("{error:#}"),
        }
        match error.downcast_ref::<ConfigError>() {
            Some(error) if error.is_usage() => ExitCode::from(WRONG_USAGE),
            _ => ExitCode::FAILURE,
        }
    })
}

/// What to do about an error that can come from anywhere and looks like it had to do with the place.
fn remedy(error: &anyhow::Error) -> Option<String> {
    let is_shortage = error.chain().any(|cause| {
        let errno = cause.downcast_ref::<Errno>().copied();
        let errno = errno.or_else(|| Errno::from_io_error(cause.downcast_ref()?));
        errno == Some(Errno::MFILE)
            || matches!(cause.downcast_ref(), Some(SamplerError::OpenFiles { .. }))
    });
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    is_shortage.then(|| {
        let limit = limit.map_or_else(|| "not limited".to_owned(), |limit| limit.to_string());
        format!("the limit of open files is {limit}: raise it with `ulimit -n`")
    })
}
