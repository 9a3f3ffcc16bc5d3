//! What the profiler itself uses of the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::resident::Resident;

/// What it has used, and has.
pub(super) struct Usage {
    /// CPU time since the start.
    pub(super) cpu: Duration,
    /// Resident memory, now.
    pub(super) resident_bytes: Option<u64>,
    /// Open files, now.
    pub(super) open_files: Option<u64>,
}

/// As of now. What the system does not say is left out.
pub(super) fn usage() -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let resident = Resident::new().bytes();
    let open_files = std::fs::read_dir("/proc/self/fd").ok();
    Usage {
        cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
        resident_bytes: Some(resident).filter(|bytes| *bytes > 0),
        // The one that reads the directory is among them.
        open_files: open_files.map(|entries| (entries.count() as u64).saturating_sub(1)),
    }
}
