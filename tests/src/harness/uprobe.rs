//! A probe of the kernel on an instruction of a program, for one test.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::symbol_value;

/// A probe that is enabled; taken away when this is dropped.
#[derive(Debug)]
pub(crate) struct Uprobe {
    tracefs: TempDir,
    name: String,
}

impl Uprobe {
    /// Puts one on the first instruction of a function; `None` where the kernel has no tracefs or no uprobes.
    pub(crate) fn new(program: &Path, function: &str) -> Option<Self> {
        let tracefs = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tracefs", "nodev"])
            .arg(tracefs.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let name = format!("profiler_test_{}", std::process::id());
        let probe = Self { tracefs, name };
        // GNU ld puts code at the addresses that it has in the file.
        let offset = symbol_value(program, function);
        let line = format!("p:{0}/{0} {1}:{offset:#x}", probe.name, program.display());
        probe.tell("uprobe_events", &line).ok()?;
        probe.tell(&probe.switch(), "1").ok()?;
        Some(probe)
    }

    fn switch(&self) -> String {
        format!("events/{0}/{0}/enable", self.name)
    }

    /// Appends to a file of tracefs: writing from the beginning on would take away the probes of others.
    fn tell(&self, file: &str, text: &str) -> io::Result<()> {
        let path: PathBuf = self.tracefs.path().join(file);
        OpenOptions::new()
            .append(true)
            .open(path)?
            .write_all(text.as_bytes())
    }
}

impl Drop for Uprobe {
    fn drop(&mut self) {
        // What was not made cannot be taken away, which is as well.
        let _ = self.tell(&self.switch(), "0");
        let _ = self.tell("uprobe_events", &format!("-:{0}/{0}", self.name));
        let _ = Command::new("umount").arg(self.tracefs.path()).status();
        let _ = fs::remove_dir(self.tracefs.path());
    }
}
