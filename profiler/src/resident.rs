//! How much memory this process uses: to know when to let go of what can be read again, and to tell; and how to give back what it
//! no longer uses.

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

/// Gives memory that was freed back to the kernel.
///
/// Naming a window frees nearly all that it has taken, and glibc keeps that for the thread that took it, in the hope that it
/// asks again; of 100 MB, 90 were kept so. Another allocator would be one more dependency in C for the sake of this one call.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only what is free, and locks it (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
