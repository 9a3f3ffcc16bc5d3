//! Kernel settings that the benchmark changes while it runs, and puts back.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A setting under another value; dropping it restores the old one.
pub(super) struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Sets `name`, a path below `/proc/sys`.
    pub(super) fn set(name: &str, value: &str) -> Result<Self> {
        let path = PathBuf::from("/proc/sys").join(name);
        let before = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        fs::write(&path, value)
            .with_context(|| format!("could not write {value} to {}", path.display()))?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, self.before.trim_end()) {
            eprintln!(
                "{} could not be put back to {}: {error}",
                self.path.display(),
                self.before.trim_end()
            );
        }
    }
}
