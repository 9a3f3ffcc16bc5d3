//! The line that changes while sampling goes on; only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::values;
use crate::pipeline::Progress;

/// How often the line changes at most.
const EVERY: Duration = Duration::from_millis(250);

/// The status line on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct StatusLine {
    shown: bool,
    is_terminal: bool,
    last: Option<Instant>,
}

impl StatusLine {
    /// A line that is shown unless `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            shown: false,
            is_terminal: !quiet && io::stderr().is_terminal(),
            last: None,
        }
    }

    /// Shows how far things are, which is asked for only when it will be shown.
    pub(super) fn update(&mut self, progress: impl FnOnce() -> Progress) {
        if !self.is_terminal || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        self.shown = true;
        let Progress {
            elapsed,
            samples,
            lost,
            processes,
        } = progress();
        self.write(format_args!(
            "\r\x1b[K{}  {samples} samples  {lost} lost  {processes} processes",
            values::seconds(elapsed),
        ));
    }

    /// Removes the line, so that what comes next begins in an empty one.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write(format_args!("\r\x1b[K"));
        }
    }

    fn write(&self, line: std::fmt::Arguments<'_>) {
        let mut stderr = io::stderr().lock();
        // Nothing can be done about a terminal that has gone, and sampling goes on without it.
        let _ = stderr.write_fmt(line).and_then(|()| stderr.flush());
    }
}
