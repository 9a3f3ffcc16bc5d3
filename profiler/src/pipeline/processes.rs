//! The processes that give samples: locates their frames while they are there to be asked, and follows them through
//! fork, exec and exit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::addr::{CodeAddr, ProcAddr};
use crate::aggregate::{Aggregate, Frame, Labels};
use crate::process::{self, Resolver, Snapshot};
use crate::sampler::Sample;

/// How long a process's mappings are taken for complete although a caller's address is in none of them. Stacks
/// walked by frame pointers have junk in them, and junk must not cause the maps to be read for each sample.
const TRUST: Duration = Duration::from_secs(1);
/// The same for the interrupted instruction, which is never junk.
const TRUST_LEAF: Duration = Duration::from_millis(20);

/// All processes that have given samples or been asked for.
#[derive(Debug, Default)]
pub(super) struct Processes {
    resolver: Resolver,
    known: HashMap<u32, Known>,
    roots: HashSet<u32>,
    ended: Vec<u32>,
    sampled: u64,
    gone: u64,
}

/// What is known of one process.
#[derive(Debug, Default)]
struct Known {
    sampled: bool,
    comm: Option<String>,
    snapshot: Option<Arc<Snapshot>>,
    read_at: Option<Instant>,
    /// What the parent had mapped at the fork: all that is left of a child that ended before it was asked.
    inherited: Option<Arc<Snapshot>>,
}

impl Processes {
    /// Reads the mappings of a process that was asked for, before the first sample.
    pub(super) fn add_root(&mut self, pid: u32, aggregate: &mut Aggregate) {
        self.roots.insert(pid);
        if let Some(snapshot) = self.snapshot(pid) {
            note_main(pid, &snapshot, aggregate);
        }
    }

    /// Locates the frames of a sample and counts it.
    pub(super) fn locate(&mut self, sample: &Sample<'_>, aggregate: &mut Aggregate) {
        let pid = sample.pid;
        let snapshot = self.snapshot_for(sample);
        if let Some(snapshot) = &snapshot
            && self.roots.contains(&pid)
        {
            note_main(pid, snapshot, aggregate);
        }
        let labels = Labels {
            pid,
            tid: sample.tid,
            comm: self.comm(sample),
            thread: name(&sample.comm),
        };
        let mut frames = Vec::with_capacity(sample.kernel.len() + sample.user.len());
        frames.extend(code_addresses(sample.kernel.iter()).map(|address| Frame {
            mapping: Some(aggregate.mappings.kernel()),
            address: address.0,
        }));
        frames.extend(code_addresses(sample.user.iter()).map(|address| {
            let mapping = snapshot.as_ref().and_then(|snapshot| snapshot.lookup(address));
            Frame {
                mapping: mapping.map(|mapping| aggregate.mappings.user(pid, mapping)),
                address: address.0,
            }
        }));
        aggregate.add(frames.into_iter(), sample.stack_end, &labels);
    }

    /// A process has a new child, which begins with a copy of its memory.
    pub(super) fn forked(&mut self, parent: u32, child: u32) {
        let inherited = self.known.get(&parent).and_then(|parent| {
            parent.snapshot.clone().or_else(|| parent.inherited.clone())
        });
        self.known.insert(
            child,
            Known {
                inherited,
                ..Known::default()
            },
        );
    }

    /// A process runs another program: nothing that was known of its memory holds any more.
    pub(super) fn executed(&mut self, pid: u32) {
        self.resolver.invalidate(pid);
        if let Some(known) = self.known.get_mut(&pid) {
            *known = Known {
                sampled: known.sampled,
                ..Known::default()
            };
        }
    }

    /// A thread has ended, and perhaps its process with it.
    pub(super) fn thread_ended(&mut self, pid: u32) {
        if self.known.contains_key(&pid) {
            self.ended.push(pid);
        }
    }

    /// Forgets the processes that have ended, and tells which.
    pub(super) fn take_ended(&mut self) -> Vec<u32> {
        self.ended.sort_unstable();
        self.ended.dedup();
        let (gone, still_there) = std::mem::take(&mut self.ended)
            .into_iter()
            .partition(|pid| process::status(*pid).is_none_or(|status| status.has_ended()));
        self.ended = still_there;
        for pid in &gone {
            self.known.remove(pid);
            self.resolver.invalidate(*pid);
        }
        gone
    }

    /// How many processes gave samples.
    pub(super) fn sampled(&self) -> u64 {
        self.sampled
    }

    /// How many of them had ended before their mappings could be read.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }
}
