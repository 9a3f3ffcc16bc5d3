//! How far the mappings of a process and the frames of a stack are to be believed.

use std::time::Duration;

use profiler_common::Stop;

use crate::aggregate::Frame;
use crate::process::Snapshot;
use crate::sampler::Sample;

/// How long a process's mappings are taken for complete although the address of a caller is in none of them. Stacks
/// walked by frame pointers have junk in them, and junk must not cause the maps to be read for each sample. The
/// interrupted instruction is never junk; for it the resolver's own limit is enough.
pub(super) const TRUST: Duration = Duration::from_secs(1);
/// The upper half of the address space is the kernel's, but for `[vsyscall]`, which is a mapping.
const FIRST_KERNEL_ADDRESS: u64 = 1 << 63;

/// Whether a frame of a user stack is not of user space. A walk by frame pointers goes astray where code keeps something
/// else in that register; whatever it finds behind such an address is no caller either.
pub(super) fn is_junk(frame: &Frame) -> bool {
    frame.mapping.is_none() && frame.address >= FIRST_KERNEL_ADDRESS
}

/// How old a snapshot may be that does not have all addresses of a sample; `None` if it has them.
pub(super) fn trust(snapshot: &Snapshot, sample: &Sample) -> Option<Duration> {
    let mut addresses = sample.user.iter().map(|address| address.lookup());
    if !snapshot.contains(addresses.next()?) {
        return Some(Duration::ZERO);
    }
    let all_known = addresses.all(|address| snapshot.contains(address));
    // The walk itself met an address that was not mapped when it got its tables: not junk, but a new library.
    let by_tables = sample.stop == Stop::NoMapping;
    (!all_known).then_some(if by_tables { Duration::ZERO } else { TRUST })
}
