//! A setting of the kernel, for the whole machine, changed for one test.

use std::fs;

/// A file below `/proc/sys` that gets its value back when this is dropped.
#[derive(Debug)]
pub(crate) struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    /// Writes another value; `None` where that cannot be done.
    pub(crate) fn change(path: &'static str, value: &str) -> Option<Self> {
        let before = fs::read_to_string(path).ok()?;
        fs::write(path, value).ok()?;
        Some(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(self.path, self.before.trim_end()).expect("it was written before");
    }
}
