//! How messages look on standard error: lines for people, or one JSON object a line.

use std::io::Write;

use env_logger::{Builder, Target, WriteStyle};
use log::{Level, LevelFilter, Record};

use super::args::LogFormat;

/// Sets up the log: errors and warnings, more with `-v`, only errors with `-q`.
pub(super) fn init(format: LogFormat, verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Off)
        // Other crates have little to say that a user could act on; aya passes on the BPF programs' log.
        .filter_module("profiler", level)
        .filter_module("aya_log", level)
        .target(Target::Stderr)
        .write_style(WriteStyle::Never);
    match format {
        LogFormat::Text => builder.format(|out, record| {
            writeln!(out, "profiler: {}{}", prefix(record.level()), record.args())
        }),
        LogFormat::Json => builder.format(|out, record| writeln!(out, "{}", json(record))),
    };
    builder.init();
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info | Level::Debug | Level::Trace => "",
    }
}

fn json(record: &Record<'_>) -> serde_json::Value {
    serde_json::json!({
        "level": record.level().as_str().to_lowercase(),
        "message": record.args().to_string(),
    })
}
