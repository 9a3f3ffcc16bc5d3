//! How messages look on standard error: lines for people, or one JSON object a line.

use std::io::Write;

use env_logger::{Builder, Target, WriteStyle};
use log::{Level, LevelFilter, Record};

use super::args::LogFormat;

/// How much is said: errors and warnings (`usual`), more with `-v`, only errors with `-q`.
pub(super) fn level(usual: LevelFilter, verbose: u8, quiet: bool) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => usual,
        (false, 1) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    }
}

/// Sets up the log.
pub(super) fn init(format: LogFormat, level: LevelFilter) {
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Off)
        // Other crates have little to say that a user could act on; aya passes on the BPF programs' log.
        .filter_module("profiler", level)
        .filter_module("aya_log", level)
        .target(Target::Stderr)
        .write_style(WriteStyle::Never);
    match format {
        LogFormat::Text if stderr_is_the_journal() => builder.format(|out, record| {
            write!(
                out,
                "{}",
                for_journal(record.level(), &record.args().to_string())
            )
        }),
        LogFormat::Text => builder.format(|out, record| {
            writeln!(out, "profiler: {}{}", prefix(record.level()), record.args())
        }),
        LogFormat::Json => builder.format(|out, record| writeln!(out, "{}", json(record))),
    };
    builder.init();
}

/// Whether journald reads standard error: `JOURNAL_STREAM` names the device and the inode of the stream that it made, which
/// a program that was started with another one inherits all the same (systemd.exec(5)).
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(rustix::stdio::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines as journald takes them, each with its priority in front (sd-daemon(3)). It knows by itself which program it is.
fn for_journal(level: Level, message: &str) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let lines = message.lines();
    lines.map(|line| format!("<{priority}>{line}\n")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line has the priority of its message, so that none is taken for another's.
    #[test]
    fn priorities_for_the_journal() {
        assert_eq!(for_journal(Level::Error, "a\nb"), "<3>a\n<3>b\n");
        assert_eq!(for_journal(Level::Warn, "a"), "<4>a\n");
        assert_eq!(for_journal(Level::Debug, "a"), "<7>a\n");
    }
}
