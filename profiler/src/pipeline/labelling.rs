//! The labels of a sample: what it says itself, and what has to be asked for while its process is there.

use std::collections::HashMap;

use profiler_common::COMM_LEN;

use crate::aggregate::Labels;
use crate::cgroup::{Cgroup, CgroupTable};
use crate::labels::{LabelKey, LabelSet};
use crate::process::ProcFs;
use crate::sampler::Sample;

/// Makes the labels that were asked for.
#[derive(Debug)]
pub(super) struct Labelling {
    wanted: LabelSet,
    procfs: ProcFs,
    /// Control groups, if they are wanted.
    cgroups: Option<CgroupTable>,
    asked: HashMap<u32, Asked>,
    without_cgroup: u64,
}

/// What a process was asked for, once since it runs its program.
#[derive(Debug, Default)]
struct Asked {
    name: Option<[u8; COMM_LEN]>,
    innermost_pid: Option<u32>,
}

impl Labelling {
    pub(super) fn new(wanted: LabelSet) -> Self {
        let wants_cgroups = wanted.has_any(&[LabelKey::Cgroup, LabelKey::Container]);
        Self {
            wanted,
            procfs: ProcFs::new(),
            cgroups: wants_cgroups.then(CgroupTable::new),
            asked: HashMap::new(),
            without_cgroup: 0,
        }
    }

    /// The labels of a sample.
    pub(super) fn of(&mut self, sample: &Sample) -> Labels {
        let wanted = self.wanted;
        let if_wanted = |key: LabelKey, value: u32| wanted.has(key).then_some(value);
        let cgroup = self.cgroup(sample);
        let container = cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.container.clone())
            .filter(|_| wanted.has(LabelKey::Container));
        Labels {
            pid: if_wanted(LabelKey::Pid, sample.pid),
            host_pid: if_wanted(LabelKey::HostPid, sample.host_pid)
                .filter(|host_pid| *host_pid != sample.pid),
            ns_pid: self.innermost_pid(sample),
            tid: if_wanted(LabelKey::Tid, sample.tid),
            comm: wanted.has(LabelKey::Comm).then(|| self.name(sample)),
            thread: wanted.has(LabelKey::Thread).then_some(sample.comm),
            cgroup: cgroup
                .map(|cgroup| cgroup.path)
                .filter(|_| wanted.has(LabelKey::Cgroup)),
            container,
            cpu: if_wanted(LabelKey::Cpu, sample.cpu),
            in_kernel: wanted.has(LabelKey::State).then_some(sample.in_kernel),
            program: None,
        }
    }

    /// Forgets what a process was asked for: it has ended, or runs another program.
    pub(super) fn forget(&mut self, pid: u32) {
        self.asked.remove(&pid);
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.forget(pid);
        }
    }

    /// What could not be told since the last call, one sentence each.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let without_cgroup = std::mem::take(&mut self.without_cgroup);
        if without_cgroup == 0 {
            return Vec::new();
        }
        vec![format!(
            "{without_cgroup} samples have no label for their control group, which was gone when it was looked for"
        )]
    }

    /// Name of the process; that of the sampled thread when nobody can tell.
    fn name(&mut self, sample: &Sample) -> [u8; COMM_LEN] {
        if sample.name != [0; COMM_LEN] {
            return sample.name;
        }
        let procfs = &self.procfs;
        let asked = self.asked.entry(sample.pid).or_default();
        *asked.name.get_or_insert_with(|| {
            let name = procfs.name(sample.pid);
            name.map_or(sample.comm, |name| padded(name.as_encoded_bytes()))
        })
    }

    /// The id in the process's own pid namespace, where that is another.
    fn innermost_pid(&mut self, sample: &Sample) -> Option<u32> {
        if !self.wanted.has(LabelKey::NsPid) {
            return None;
        }
        let pid = sample.pid;
        let asked = self.asked.entry(pid).or_default();
        if asked.innermost_pid.is_none() {
            asked.innermost_pid = self.procfs.innermost_pid(pid);
        }
        asked.innermost_pid.filter(|innermost| *innermost != pid)
    }

    fn cgroup(&mut self, sample: &Sample) -> Option<Cgroup> {
        let Self {
            cgroups, procfs, ..
        } = self;
        let text = || procfs.cgroups(sample.pid);
        let found = cgroups.as_mut()?.of_sample(sample.pid, sample.cgroup, text);
        self.without_cgroup += u64::from(found.is_none());
        found
    }
}

/// A name as the kernel keeps it.
fn padded(name: &[u8]) -> [u8; COMM_LEN] {
    let mut padded = [0; COMM_LEN];
    let length = name.len().min(COMM_LEN - 1);
    padded[..length].copy_from_slice(&name[..length]);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: u32) -> Sample {
        Sample {
            comm: padded(b"worker"),
            name: padded(b"program"),
            host_pid: 4711,
            in_kernel: true,
            ..Sample::of_thread(pid, pid + 1)
        }
    }

    /// Nothing is there that was not asked for, and all of what was.
    #[test]
    fn only_what_is_wanted() {
        let own = std::process::id();
        let none = Labelling::new(LabelSet::NONE).of(&sample(own));
        assert_eq!(none, Labels::default());
        let all = Labelling::new(LabelSet::parse("all").unwrap()).of(&sample(own));
        assert_eq!(
            (all.pid, all.host_pid, all.tid),
            (Some(own), Some(4711), Some(own + 1))
        );
        assert_eq!((all.cpu, all.in_kernel), (Some(0), Some(true)));
        assert_eq!(all.comm, Some(padded(b"program")));
        assert_eq!(all.thread, Some(padded(b"worker")));
        assert!(all.cgroup.is_some(), "{all:?}");
    }

    /// The id on the host is told only where it is another.
    #[test]
    fn equal_ids_are_told_once() {
        assert_eq!(
            Labelling::new(LabelSet::DEFAULT).of(&sample(4711)).host_pid,
            None
        );
    }

    /// A process that the kernel gave no name of is asked for it once, and goes by its thread's name when it is gone.
    #[test]
    fn names_without_the_kernel() {
        let mut labelling = Labelling::new(LabelSet::DEFAULT);
        let nameless = |pid| Sample {
            name: [0; COMM_LEN],
            ..sample(pid)
        };
        // Above the largest value of kernel.pid_max.
        let gone = labelling.of(&nameless(4_194_305)).comm;
        assert_eq!(gone, Some(padded(b"worker")));
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let own = labelling.of(&nameless(std::process::id())).comm;
        assert_eq!(own, Some(padded(name.trim_end().as_bytes())));
    }
}
