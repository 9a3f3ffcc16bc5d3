//! Which tables the kernel went by when it walked a stack, and where what it went by was not true any more.
//!
//! The kernel learns of a new mapping some time after it was made. A walk that comes to an address meanwhile where
//! something else had been mapped before goes by the rules of that. The address is right, as it was found by rules that
//! hold; what was found from it is not, and must not be shown.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use profiler_common::Stop;

use crate::process::Snapshot;
use crate::sampler::Sample;

/// A walk may end so long after it has looked up its tables, in nanoseconds.
const LONGEST_WALK: u64 = 50_000;

/// Tables from a time on, of `CLOCK_MONOTONIC`: what they were made from, or none.
type Since = (u64, Option<Arc<Snapshot>>);

/// The tables of each process, those of a moment ago as well.
#[derive(Debug, Default)]
pub(super) struct InForce {
    processes: HashMap<u32, VecDeque<Since>>,
}

impl InForce {
    /// From now on walks of a process go by what is mapped in this snapshot; `None` if they have no tables.
    pub(super) fn set(&mut self, pid: u32, time_ns: u64, tables: Option<Arc<Snapshot>>) {
        let all = self.processes.entry(pid).or_default();
        let at = all.partition_point(|(since, _)| *since <= time_ns);
        all.insert(at, (time_ns, tables));
    }

    /// A child goes by its parent's tables.
    pub(super) fn copy(&mut self, parent: u32, child: u32, time_ns: u64) {
        let tables = self.at(parent, time_ns).map(Arc::clone);
        self.processes.remove(&child);
        self.set(child, time_ns, tables);
    }

    /// A process is not walked any more.
    pub(super) fn remove(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Forgets what was in force before a time that no sample is of any more.
    pub(super) fn forget_before(&mut self, time_ns: u64) {
        for all in self.processes.values_mut() {
            while all.get(1).is_some_and(|(since, _)| *since <= time_ns) {
                all.pop_front();
            }
        }
    }

    /// Cuts a stack that was walked in the kernel where it went by what was not there, given what was.
    pub(super) fn check(&self, sample: &mut Sample, now: &Snapshot) {
        let others = self
            .of_walk(sample.pid, sample.time_ns)
            .filter(|tables| !std::ptr::eq(&***tables, now));
        let wrong = others
            .filter_map(|tables| {
                let mut frames = sample.user.iter();
                frames.position(|address| !tables.agrees_at(now, address.lookup()))
            })
            .min();
        if let Some(wrong) = wrong.filter(|wrong| wrong + 1 < sample.user.len()) {
            sample.user.truncate(wrong + 1);
            sample.stop = Stop::MappedAnew;
        }
    }

    /// The tables that a walk which ended at a time may have gone by. A program is never walked by those of the one before: the
    /// kernel side forgets them at the exec, when nothing of it has run yet.
    fn of_walk(&self, pid: u32, end_ns: u64) -> impl Iterator<Item = &Arc<Snapshot>> {
        let began = end_ns.saturating_sub(LONGEST_WALK);
        let all = self.processes.get(&pid);
        let possible = all.map_or(0..0, |all| {
            let behind = |time| all.partition_point(|(since, _)| *since <= time);
            let (first, end) = (behind(began).saturating_sub(1), behind(end_ns));
            let mut from_last = (first..end).rev();
            let exec = from_last.find(|index| all[*index].1.is_none());
            exec.map_or(first, |exec| exec + 1)..end
        });
        let possible = all.map(|all| all.range(possible));
        possible
            .into_iter()
            .flatten()
            .filter_map(|(_, tables)| tables.as_ref())
    }

    fn at(&self, pid: u32, time_ns: u64) -> Option<&Arc<Snapshot>> {
        let all = self.processes.get(&pid)?;
        let behind = all.partition_point(|(since, _)| *since <= time_ns);
        all.get(behind.checked_sub(1)?)?.1.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{CodeAddr, FileOffset, ProcAddr};
    use crate::process::{Device, MapsLine, Permissions, Resolver};

    const PID: u32 = 1 << 30;
    const PUBLISHED: u64 = 1_000_000;

    /// A process that has mapped these files, a page each.
    fn snapshot(files: &[(u64, u64)]) -> Arc<Snapshot> {
        let resolver = Resolver::default();
        resolver.follow_events();
        resolver.executed(PID, 0);
        for (start, inode) in files {
            let line = MapsLine {
                start: ProcAddr(*start),
                limit: ProcAddr(start + 0x1000),
                permissions: Permissions {
                    execute: true,
                    ..Permissions::default()
                },
                offset: FileOffset(0),
                device: Device::default(),
                inode: *inode,
                path: std::path::Path::new("/file").into(),
            };
            resolver.mapped(PID, 1, line);
        }
        resolver.snapshot_at(PID, 2).unwrap()
    }

    fn frames_left(in_force: &InForce, time_ns: u64, now: &Snapshot) -> (usize, Stop) {
        let exact = |address| CodeAddr::Exact(ProcAddr(address));
        let mut sample = Sample {
            time_ns,
            user: [0x10_0010, 0x20_0010, 0x30_0010, 0x10_0020]
                .map(exact)
                .to_vec(),
            stop: Stop::End,
            ..Sample::of_thread(PID, PID)
        };
        in_force.check(&mut sample, now);
        (sample.user.len(), sample.stop)
    }

    /// A stack is cut behind the frame in what was mapped anew, unless the tables in force knew of it.
    #[test]
    fn stale_tables() {
        let old = snapshot(&[(0x10_0000, 1), (0x20_0000, 2), (0x30_0000, 3)]);
        let new = snapshot(&[(0x10_0000, 1), (0x20_0000, 7), (0x30_0000, 3)]);
        let mut in_force = InForce::default();
        let late = PUBLISHED + LONGEST_WALK;
        assert_eq!(frames_left(&in_force, late, &new), (4, Stop::End));
        in_force.set(PID, PUBLISHED, Some(Arc::clone(&old)));
        assert_eq!(frames_left(&in_force, late, &old), (4, Stop::End));
        assert_eq!(frames_left(&in_force, late, &new), (2, Stop::MappedAnew));
        in_force.set(PID, PUBLISHED * 2, Some(Arc::clone(&new)));
        assert_eq!(frames_left(&in_force, late, &new), (2, Stop::MappedAnew));
        let later = PUBLISHED * 2 + LONGEST_WALK;
        assert_eq!(frames_left(&in_force, later, &new), (4, Stop::End));
        // Walked by the tables of another program? That has not run any more.
        let (exec, again) = (PUBLISHED * 4, PUBLISHED * 4 + LONGEST_WALK / 2);
        in_force.set(PID, exec - 1, Some(Arc::clone(&old)));
        in_force.set(PID, exec, None);
        assert_eq!(frames_left(&in_force, exec + 1, &new), (4, Stop::End));
        in_force.set(PID, again, Some(Arc::clone(&new)));
        assert_eq!(frames_left(&in_force, again + 1, &new), (4, Stop::End));
        // Or by tables that came too late, of what was before the exec?
        in_force.set(PID, again - 1, Some(Arc::clone(&old)));
        let cut = (2, Stop::MappedAnew);
        assert_eq!(frames_left(&in_force, again + 1, &new), cut);
        in_force.forget_before(PUBLISHED * 2);
        assert_eq!(frames_left(&in_force, later, &new), (4, Stop::End));
    }
}
