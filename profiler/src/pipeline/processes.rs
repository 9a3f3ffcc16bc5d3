//! The processes that give samples: locates their frames while they are there to be asked, and follows them through
//! fork, exec and exit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use profiler_common::Stop;

use super::ends::Ends;
use super::labelling::Labelling;
use super::news::line;
use super::programs;
use super::trust::{TRUST, is_junk, trust};
use crate::addr::ProcAddr;
use crate::aggregate::{Aggregate, Frame};
use crate::labels::LabelSet;
use crate::process::{Resolver, ResolverStats, Snapshot};
use crate::sampler::{MemoryChange, MemoryEvent, Sample, StackCopy};
use crate::summary::Evicted;

/// The least time between two such reads of one process's mappings.
const SHORTEST_TRUST: Duration = Duration::from_millis(1);
/// How long an exec may take before the news of its end is taken for lost, in nanoseconds.
const LONGEST_EXEC: u64 = 100_000_000;

/// All processes that have given samples or been asked for.
#[derive(Debug)]
pub(super) struct Processes {
    pub(super) labelling: Labelling,
    pub(super) resolver: Resolver,
    known: HashMap<u32, Known>,
    roots: HashSet<u32>,
    /// Whether everything that changes the memory of processes is told.
    told: bool,
    ends: Ends,
    /// Processes whose mappings may have changed since the last [`take_touched`](Self::take_touched).
    touched: HashSet<u32>,
    /// Whether samples say which program their process runs.
    tell_programs: bool,
    /// The window that samples are counted in, from 1.
    window: u64,
    sampled: u64,
    gone: u64,
    /// Samples whose user stack led to what cannot be an address of user space.
    pub(super) broken_stacks: u64,
    /// What the resolver had met when notes were taken last.
    pub(super) noted: ResolverStats,
}

/// What is known of one process besides its mappings.
#[derive(Debug, Default)]
struct Known {
    /// The window that it gave a sample in last, 0 for none.
    sampled: u64,
    /// Name of the program that it runs, once that was asked for.
    program: Option<Arc<str>>,
    /// When its mappings were read again for the first time since the process runs this program.
    first_refreshed_at: Option<Instant>,
    refreshed_at: Option<Instant>,
    /// When it gave up its memory for that of another program, until that is heard to run.
    exec_began: Option<u64>,
}

impl Known {
    /// Whether mappings that do not explain a sample were read longer ago than `trust`.
    ///
    /// A program that has just started maps its libraries in its first milliseconds, so it is trusted for as long as it
    /// has been known, at most for `trust`: the reads of a process that never can be explained grow rarer with time.
    fn is_out_of_date(&self, trust: Duration) -> bool {
        let (Some(first), Some(last)) = (self.first_refreshed_at, self.refreshed_at) else {
            return true;
        };
        let known_for = last.duration_since(first).max(SHORTEST_TRUST);
        last.elapsed() >= trust.min(known_for)
    }
}

impl Processes {
    /// None yet; samples of those that come get these labels, and the name of their program if that is to be told.
    pub(super) fn new(labels: LabelSet, tell_programs: bool) -> Self {
        Self {
            tell_programs,
            window: 1,
            labelling: Labelling::new(labels),
            resolver: Resolver::default(),
            known: HashMap::new(),
            roots: HashSet::new(),
            told: false,
            ends: Ends::default(),
            touched: HashSet::new(),
            sampled: 0,
            gone: 0,
            broken_stacks: 0,
            noted: ResolverStats::default(),
        }
    }

    /// A process that was asked for: its main binary is the profile's.
    pub(super) fn add_root(&mut self, pid: u32) {
        self.roots.insert(pid);
    }

    /// The sampler tells of everything that changes the memory of processes.
    pub(super) fn follow_events(&mut self) {
        self.resolver.follow_events();
        self.told = true;
    }

    /// Reads the mappings of a process that was asked for, whether it will give samples or not.
    pub(super) fn read_root(
        &mut self,
        pid: u32,
        aggregate: &mut Aggregate,
    ) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot(pid)?;
        note_main(pid, &snapshot, aggregate);
        Some(snapshot)
    }

    /// The memory of a process has changed.
    pub(super) fn memory_changed(&mut self, event: MemoryEvent) {
        let MemoryEvent {
            pid,
            time_ns,
            change,
        } = event;
        match change {
            MemoryChange::Mapped(mapping) => self.resolver.mapped(pid, time_ns, line(mapping)),
            MemoryChange::Copied { parent } => {
                self.ends.begun(pid);
                self.resolver.forked(parent, pid, time_ns);
            }
            MemoryChange::Executed => {
                self.ends.begun(pid);
                self.resolver.executed(pid, time_ns);
                let known = self.known.entry(pid).or_default();
                known.exec_began.get_or_insert(time_ns);
            }
            MemoryChange::ThreadBegun => self.ends.thread_begun(pid),
            MemoryChange::ThreadEnded { is_first } => self.ends.thread_ended(pid, is_first),
            MemoryChange::Lost(_) => {
                self.ends.missed_events();
                self.resolver.missed_events();
            }
        }
    }

    /// What changed the memory of processes may have been missed.
    pub(super) fn missed_events(&mut self) {
        if self.told {
            self.resolver.missed_events();
        }
    }

    /// Locates the frames of a sample with what was mapped then, as far as that is known, and counts it.
    pub(super) fn locate_in(
        &mut self,
        sample: &Sample,
        snapshot: Option<&Snapshot>,
        aggregate: &mut Aggregate,
    ) {
        let pid = sample.pid;
        let known = self.known.entry(pid).or_default();
        if std::mem::replace(&mut known.sampled, self.window) != self.window {
            self.sampled += 1;
            self.gone += u64::from(snapshot.is_none() && !sample.user.is_empty());
        }
        if let Some(snapshot) = snapshot
            && self.roots.contains(&pid)
        {
            note_main(pid, snapshot, aggregate);
        }
        let mut labels = self.labelling.of(sample);
        if self.tell_programs {
            labels.program = Some(programs::name(&mut known.program, sample, snapshot));
        }
        let kernel = (!sample.kernel.is_empty()).then(|| aggregate.mappings.kernel());
        let mut frames = Vec::with_capacity(sample.kernel.len() + sample.user.len());
        frames.extend(sample.kernel.iter().map(|address| Frame {
            mapping: kernel,
            address: address.lookup().0,
        }));
        let mut last = None;
        let user = sample.user.iter().map(|address| {
            let address = address.lookup();
            let Some(mapping) = snapshot.and_then(|snapshot| snapshot.lookup(address)) else {
                return Frame {
                    mapping: None,
                    address: address.0,
                };
            };
            // Neighbours in a stack mostly lie in one mapping.
            let index = match last {
                Some((known, index)) if Arc::ptr_eq(known, mapping) => index,
                _ => aggregate.mappings.user(pid, mapping),
            };
            last = Some((mapping, index));
            aggregate.mappings.frame_in(index, mapping, address)
        });
        let wanted = frames.len() + sample.user.len();
        frames.extend(user.take_while(|frame| !is_junk(frame)));
        if frames.len() < wanted {
            self.broken_stacks += 1;
        }
        aggregate.add(frames.into_iter(), sample.stop, &labels);
    }

    /// A process has a new child, which begins with a copy of its memory.
    pub(super) fn forked(&mut self, parent: u32, child: u32, time_ns: u64) {
        if !self.told {
            self.snapshot(parent);
            self.resolver.forked(parent, child, time_ns);
        }
        self.touched.insert(child);
        let known = self.known.entry(child).or_default();
        *known = Known {
            exec_began: known.exec_began,
            ..Known::default()
        };
    }

    /// A process runs another program: nothing that was known of its memory holds any more.
    pub(super) fn executed(&mut self, pid: u32, aggregate: &mut Aggregate) {
        if !self.told {
            self.resolver.invalidate(pid);
        }
        self.labelling.forget(pid);
        if let Some(known) = self.known.get_mut(&pid) {
            *known = Known {
                sampled: known.sampled,
                ..Known::default()
            };
        }
        if self.roots.contains(&pid) {
            // What is told of the program does not tell that it was started by a loader that was named.
            self.resolver.refresh(pid);
            self.read_root(pid, aggregate);
        }
    }

    /// Whether a process was about to run another program: its registers were still those of the program before, and the
    /// memory that they speak of was gone.
    pub(super) fn is_in_exec(&self, sample: &Sample) -> bool {
        let began = self
            .known
            .get(&sample.pid)
            .and_then(|known| known.exec_began);
        let since = began.and_then(|began| sample.time_ns.checked_sub(began));
        since.is_some_and(|since| since < LONGEST_EXEC)
    }

    /// What was mapped when a stack was copied, looked for again if that does not explain it.
    pub(super) fn snapshot_of_copy(&mut self, copy: &StackCopy) -> Option<Arc<Snapshot>> {
        let sample = &copy.sample;
        let (pid, time_ns) = (sample.pid, sample.time_ns);
        self.touched.insert(pid);
        let snapshot = self.resolver.snapshot_at(pid, time_ns);
        let snapshot = snapshot.filter(|snapshot| !snapshot.mappings().is_empty())?;
        if !snapshot.contains(ProcAddr(copy.registers.ip)) {
            self.refresh(pid, time_ns)
        } else if sample.stop == Stop::NoMapping && !self.told {
            self.look_again(pid, time_ns, &snapshot).or(Some(snapshot))
        } else {
            Some(snapshot)
        }
    }

    /// What the same program had mapped in truth, if that is not what it was known to have when a walk met an unknown
    /// address.
    pub(super) fn look_again(
        &mut self,
        pid: u32,
        time_ns: u64,
        then: &Arc<Snapshot>,
    ) -> Option<Arc<Snapshot>> {
        let known = self.known.entry(pid).or_default();
        let now = if known.is_out_of_date(TRUST) {
            self.refresh(pid, time_ns)?
        } else {
            self.resolver.snapshot_at(pid, time_ns)?
        };
        let main = |snapshot: &Snapshot| Some(snapshot.main()?.binary()?.id());
        (!Arc::ptr_eq(&now, then) && main(&now) == main(then)).then_some(now)
    }

    /// The processes that were heard of since the last call, without those whose next samples nobody will see.
    pub(super) fn take_touched(&mut self) -> HashSet<u32> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|pid| !self.ends.is_ending(*pid));
        touched
    }

    /// A thread has ended, and perhaps its process with it.
    pub(super) fn thread_ended(&mut self, pid: u32) {
        self.ends.thread_ended(pid, false);
    }

    /// Forgets the processes that have ended by a time, all of whose samples have been read since, and tells which.
    pub(super) fn take_ended(&mut self, now_ns: u64) -> Vec<u32> {
        let gone = self.ends.take(now_ns);
        for pid in &gone {
            self.known.remove(pid);
            self.resolver.invalidate(*pid);
            self.labelling.forget(*pid);
        }
        gone
    }

    /// Forgets what was mapped before a time that no sample is of any more.
    pub(super) fn forget_before(&mut self, time_ns: u64) {
        self.resolver.forget_before(time_ns);
    }

    /// Waits, within reason, for files that have not come yet.
    pub(super) fn settle(&self) {
        self.resolver.settle();
    }

    /// How many processes gave samples in this window.
    pub(super) fn sampled(&self) -> u64 {
        self.sampled
    }

    /// Begins to count another window; tells how many processes gave samples in the one before, and how many of them had
    /// ended before their mappings could be read.
    pub(super) fn cut(&mut self) -> (u64, u64) {
        self.window += 1;
        (
            std::mem::take(&mut self.sampled),
            std::mem::take(&mut self.gone),
        )
    }
}

impl Processes {
    /// How many binaries were closed, and how many processes forgotten, to make room for others.
    pub(super) fn evicted(&self) -> Evicted {
        let stats = self.resolver.stats();
        Evicted {
            binaries: stats.binaries_evicted,
            processes: stats.forgotten,
            ..Evicted::default()
        }
    }

    /// The mappings to look a sample's addresses up in; read again when they do not explain the sample.
    pub(super) fn snapshot_for(&mut self, sample: &Sample) -> Option<Arc<Snapshot>> {
        let (pid, time_ns) = (sample.pid, sample.time_ns);
        self.touched.insert(pid);
        let snapshot = self
            .resolver
            .snapshot_for(pid, time_ns, |start, limit| {
                let mut addresses = sample.user.iter().map(|address| address.lookup());
                addresses.any(|address| start <= address && address < limit)
            })
            // Empty for kernel threads, which have no memory, and for processes that have given theirs up.
            .filter(|snapshot| !snapshot.mappings().is_empty())?;
        let known = self.known.entry(pid).or_default();
        let trust = trust(&snapshot, sample);
        if trust.is_some_and(|trust| known.is_out_of_date(trust)) {
            self.refresh(pid, time_ns)
        } else {
            Some(snapshot)
        }
    }

    /// Reads the mappings of a process again, and tells which it had at a time.
    fn refresh(&mut self, pid: u32, time_ns: u64) -> Option<Arc<Snapshot>> {
        let known = self.known.entry(pid).or_default();
        let now = Instant::now();
        known.first_refreshed_at.get_or_insert(now);
        known.refreshed_at = Some(now);
        self.resolver.refresh(pid);
        self.resolver.snapshot_at(pid, time_ns)
    }

    /// What is mapped in a process by now, as far as is known.
    pub(super) fn snapshot(&mut self, pid: u32) -> Option<Arc<Snapshot>> {
        let snapshot = self.resolver.snapshot(pid);
        snapshot.filter(|snapshot| !snapshot.mappings().is_empty())
    }
}

fn note_main(pid: u32, snapshot: &Snapshot, aggregate: &mut Aggregate) {
    if let Some(main) = snapshot.main() {
        main.binary();
        let index = aggregate.mappings.user(pid, main);
        aggregate.mappings.add_main(index);
    }
}
