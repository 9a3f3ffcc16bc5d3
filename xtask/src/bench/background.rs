//! A process that something is measured beside, and that is not needed any more afterwards.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// Killed when dropped.
pub(super) struct Background(pub(super) Child);

impl Background {
    /// Starts it without input and without its output.
    pub(super) fn start(how: &mut Command) -> Result<Self> {
        let child = how
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", command::shown(how)))?;
        Ok(Self(child))
    }

    /// A process that does nothing at all.
    pub(super) fn sleeper() -> Result<Self> {
        Self::start(Command::new("sleep").arg("1000"))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It has nothing to tidy up, and a failure here means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
