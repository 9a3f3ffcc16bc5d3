//! Which CPUs are online, and whether one has been away since.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Online CPUs, each with what is another number after it was taken off and put back.
pub(super) type Online = BTreeMap<u32, Option<u64>>;

/// Those that are online now.
///
/// The kernel makes the directory `topology` of a CPU anew each time that it comes (drivers/base/topology.c), so its
/// inode tells what the list of CPUs alone does not: that a CPU was away between two looks, and its events are dead.
pub(super) fn online() -> io::Result<Online> {
    let cpus = aya::util::online_cpus().map_err(|(_, error)| error)?;
    let made = cpus.into_iter().map(|cpu| {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        let inode = std::fs::metadata(directory).map(|found| found.ino());
        (cpu, inode.ok())
    });
    Ok(made.collect())
}

/// The CPUs of `now` that have been there since `before`.
pub(super) fn stayed(before: &Online, now: &Online) -> Vec<u32> {
    let stayed = now
        .iter()
        .filter(|(cpu, made)| before.get(cpu) == Some(made));
    stayed.map(|(cpu, _)| *cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was away has not stayed, even if it is there again.
    #[test]
    fn away_between_two_looks() {
        let before = Online::from([(0, Some(7)), (1, Some(8)), (2, Some(9)), (3, None)]);
        let now = Online::from([(0, Some(7)), (1, Some(10)), (3, None), (4, Some(11))]);
        assert_eq!(stayed(&before, &now), [0, 3]);
    }

    /// On this machine nothing comes or goes between two looks.
    #[test]
    fn this_machine() {
        let now = online().unwrap();
        assert!(!now.is_empty());
        assert_eq!(stayed(&now, &now).len(), now.len());
    }
}
