//! The rights that the profiler needs, and giving up those that it does not need any more once sampling runs.

use rustix::thread::{CapabilitySet, CapabilitySets};

/// What a file of the profiler needs so that whoever runs it can profile everything, as setcap(8) takes it.
pub(crate) const FILE_CAPABILITIES: &str =
    "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_checkpoint_restore,cap_dac_read_search,cap_syslog+ep";

/// What the work after attaching still needs:
/// reading counters and maps of BPF on kernels before 5.19 (`BPF`); other processes' mappings and files (`SYS_PTRACE`,
/// `CHECKPOINT_RESTORE`, `DAC_READ_SEARCH`); kernel symbols (`SYSLOG`); writing the profile where root may and
/// giving it to the user (`DAC_OVERRIDE`, `CHOWN`, `FOWNER`); ending the started command (`KILL`).
const KEPT: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::KILL);

/// What a recording without an end needs: events on CPUs that come later (`PERFMON`; `SYS_ADMIN` stands for it where
/// `kernel.perf_event_paranoid` is 3, and stays then), but nobody else's files are written and nobody is ended.
const KEPT_TO_SERVE: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::DAC_OVERRIDE);

/// Drops every capability of this thread that is not needed after attaching.
///
/// Threads made from here on have no more; so it is called before any is made.
pub(crate) fn drop_after_attach() -> std::io::Result<()> {
    keep_only(KEPT)
}

/// Likewise, for a recording without an end.
pub(crate) fn drop_to_serve() -> std::io::Result<()> {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level: Option<i32> = paranoid.ok().and_then(|text| text.trim().parse().ok());
    keep_only(match level {
        Some(3..) => KEPT_TO_SERVE.union(CapabilitySet::SYS_ADMIN),
        _ => KEPT_TO_SERVE,
    })
}

/// Drops every capability of this thread but that to read files, as windows and credentials may be somebody else's: for the
/// thread that talks to others, and those that it starts.
pub(crate) fn drop_to_talk() -> std::io::Result<()> {
    keep_only(CapabilitySet::DAC_READ_SEARCH)
}

fn keep_only(kept: CapabilitySet) -> std::io::Result<()> {
    let have = rustix::thread::capabilities(None)?;
    let permitted = have.permitted.intersection(kept);
    let sets = CapabilitySets {
        effective: have.effective.intersection(kept),
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Afterwards nothing is left but what is kept, in a thread that did it.
    #[test]
    fn only_the_kept_remain() {
        std::thread::spawn(|| {
            drop_after_attach().unwrap();
            let sets = rustix::thread::capabilities(None).unwrap();
            assert!(KEPT.contains(sets.permitted), "{:?}", sets.permitted);
            assert!(sets.permitted.contains(sets.effective));
        })
        .join()
        .unwrap();
    }
}
