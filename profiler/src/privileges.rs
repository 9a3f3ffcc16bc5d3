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

/// Drops every capability of this thread that is not needed after attaching.
///
/// Threads made from here on have no more; so it is called before any is made.
pub(crate) fn drop_after_attach() -> std::io::Result<()> {
    let have = rustix::thread::capabilities(None)?;
    let permitted = have.permitted.intersection(KEPT);
    let sets = CapabilitySets {
        effective: have.effective.intersection(KEPT),
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
