//! What commands over several inputs have in common: one that fails is told of and does not stop the rest, and the
//! results go to standard output, as a table or as one JSON document.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use serde_json::Value;

/// Whether all inputs could be read so far.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    failed: bool,
}

impl Inputs {
    /// Tells why one input gives no result, or not all of it.
    pub(super) fn fail(&mut self, error: &Error) {
        log::error!("{error:#}");
        self.failed = true;
    }

    /// How the program has to end.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Writes a result to standard output. Says whether somebody reads it: a reader that has seen enough is no error.
pub(super) fn print(text: impl Display) -> Result<bool> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("failed to write to standard output"),
    }
}

/// Writes one JSON document to standard output.
pub(super) fn print_json(document: &Value) -> Result<()> {
    print(format_args!("{document:#}\n")).map(drop)
}

/// A table with a line of titles, the columns two blanks apart; the last column is as wide as it happens to be.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut push = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.into_iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    push(titles);
    for row in rows {
        push(row.each_ref().map(String::as_str));
    }
    text
}

/// A path as it fits a line of a terminal: a newline or an escape sequence in it is shown, not obeyed.
pub(super) fn in_a_line(path: &Path) -> String {
    let mut line = String::new();
    for letter in path.to_string_lossy().chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns begin below each other, and no line ends in blanks.
    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["1".to_owned(), "x".to_owned()],
            ["12345".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["PID", "PATH"], &rows),
            "PID    PATH\n1      x\n12345\n"
        );
    }

    /// What a terminal would obey is shown as text.
    #[test]
    fn paths_stay_in_their_line() {
        assert_eq!(in_a_line(Path::new("/a b/ü")), "/a b/ü");
        assert_eq!(in_a_line(Path::new("/a\nb\x1b[2J")), "/a\\nb\\u{1b}[2J");
    }

    /// One failure among several inputs decides how the program ends.
    #[test]
    fn failures_are_remembered() {
        let mut inputs = Inputs::default();
        assert_eq!(inputs.exit_code(), ExitCode::SUCCESS);
        inputs.fail(&anyhow::anyhow!("no such thing"));
        assert_eq!(inputs.exit_code(), ExitCode::FAILURE);
    }
}
