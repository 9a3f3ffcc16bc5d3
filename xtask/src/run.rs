//! `run`: from a fresh clone to a profile in one command.
//!
//! Sets up what building needs, builds, and becomes the profiler, in the directory where the person is.

use std::os::unix::process::CommandExt;

use anyhow::{Result, anyhow};

use crate::{command, profiler};

/// `cargo xtask run -- ARGS…`: everything behind the first `--` is the profiler's.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let program = profiler::build()?;
    let mut profiler = command::as_root(program.as_os_str(), &[])?;
    command::forget_xtask(&mut profiler);
    profiler.args(for_profiler(arguments));
    let error = profiler.exec();
    Err(anyhow!(error).context(format!("could not start {}", command::shown(&profiler))))
}

/// The arguments without the `--` that parts them from cargo's and xtask's own.
fn for_profiler(arguments: &[String]) -> &[String] {
    arguments
        .strip_prefix(&["--".to_owned()])
        .unwrap_or(arguments)
}

#[cfg(test)]
mod tests {
    use super::for_profiler;

    /// Only the first `--` belongs to xtask; the one before the command to profile reaches the profiler.
    #[test]
    fn only_the_first_dashes_are_taken() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let check = |given: &str, wanted: &str| {
            assert_eq!(for_profiler(&words(given)), words(wanted), "{given}");
        };
        check("-- -d 5s -- ./prog", "-d 5s -- ./prog");
        check("-- -- ./prog", "-- ./prog");
        check("--pid 7", "--pid 7");
        check("", "");
    }
}
