//! How much memory this process uses: to know when to let go of what can be read again, and to tell.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Watches the resident memory of this process.
#[derive(Debug)]
pub(crate) struct Resident {
    statm: Option<File>,
    page_size: u64,
}

impl Resident {
    pub(crate) fn new() -> Self {
        Self {
            // Without procfs there is no limit, as if nothing ever was resident.
            statm: File::open("/proc/self/statm").ok(),
            page_size: rustix::param::page_size() as u64,
        }
    }

    /// Bytes that are resident now, mapped pages of files included; second field of statm (proc_pid_statm(5)).
    pub(crate) fn bytes(&self) -> u64 {
        let mut text = [0; 128];
        self.statm
            .as_ref()
            .and_then(|statm| statm.read_at(&mut text, 0).ok())
            .and_then(|count| str::from_utf8(text.get(..count)?).ok())
            .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
            .map_or(0, |pages| pages * self.page_size)
    }
}
