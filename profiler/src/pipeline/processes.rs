//! The processes that give samples: locates their frames while they are there to be asked, and follows them through
//! fork, exec and exit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use profiler_common::Stop;

use super::labelling::Labelling;
use crate::addr::ProcAddr;
use crate::aggregate::{Aggregate, Frame};
use crate::labels::LabelSet;
use crate::process::{ProcFs, Resolver, Snapshot};
use crate::sampler::{Sample, StackCopy};

/// How long a process's mappings are taken for complete although the address of a caller is in none of them. Stacks
/// walked by frame pointers have junk in them, and junk must not cause the maps to be read for each sample. The
/// interrupted instruction is never junk; for it the resolver's own limit is enough.
const TRUST: Duration = Duration::from_secs(1);
/// The least time between two such reads of one process's mappings.
const SHORTEST_TRUST: Duration = Duration::from_millis(1);
/// The upper half of the address space is the kernel's, but for `[vsyscall]`, which is a mapping.
const FIRST_KERNEL_ADDRESS: u64 = 1 << 63;

/// All processes that have given samples or been asked for.
#[derive(Debug)]
pub(super) struct Processes {
    labelling: Labelling,
    resolver: Resolver,
    procfs: ProcFs,
    known: HashMap<u32, Known>,
    roots: HashSet<u32>,
    ended: Vec<u32>,
    /// Processes whose mappings may have changed since the last [`take_touched`](Self::take_touched).
    touched: HashSet<u32>,
    sampled: u64,
    gone: u64,
    /// Samples whose user stack led to what cannot be an address of user space.
    broken_stacks: u64,
}

/// What is known of one process.
#[derive(Debug, Default)]
struct Known {
    sampled: bool,
    /// What it has mapped, kept until an exec is heard of: samples are looked at up to a tenth of a second late, when the
    /// process may already run another program.
    snapshot: Option<Arc<Snapshot>>,
    /// When its mappings were read again for the first time since the process runs this program.
    first_refreshed_at: Option<Instant>,
    refreshed_at: Option<Instant>,
    /// What the parent had mapped at the fork: all that is left of a child that ended before it was asked.
    inherited: Option<Arc<Snapshot>>,
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
    /// None yet; samples of those that come get these labels.
    pub(super) fn new(labels: LabelSet) -> Self {
        Self {
            labelling: Labelling::new(labels),
            resolver: Resolver::default(),
            procfs: ProcFs::default(),
            known: HashMap::new(),
            roots: HashSet::new(),
            ended: Vec::new(),
            touched: HashSet::new(),
            sampled: 0,
            gone: 0,
            broken_stacks: 0,
        }
    }

    /// A process that was asked for: its main binary is the profile's.
    pub(super) fn add_root(&mut self, pid: u32) {
        self.roots.insert(pid);
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

    /// Locates the frames of a sample with what is mapped now, and counts it.
    pub(super) fn locate(&mut self, sample: &Sample, aggregate: &mut Aggregate) {
        let snapshot = self.snapshot_for(sample);
        self.touched.insert(sample.pid);
        self.locate_in(sample, snapshot.as_deref(), aggregate);
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
        if !std::mem::replace(&mut known.sampled, true) {
            self.sampled += 1;
            self.gone += u64::from(snapshot.is_none() && !sample.user.is_empty());
        }
        if let Some(snapshot) = snapshot
            && self.roots.contains(&pid)
        {
            note_main(pid, snapshot, aggregate);
        }
        let labels = self.labelling.of(sample);
        let kernel = (!sample.kernel.is_empty()).then(|| aggregate.mappings.kernel());
        let mut frames = Vec::with_capacity(sample.kernel.len() + sample.user.len());
        frames.extend(sample.kernel.iter().map(|address| Frame {
            mapping: kernel,
            address: address.lookup().0,
        }));
        let user = sample.user.iter().map(|address| {
            let address = address.lookup();
            let mapping = snapshot.and_then(|snapshot| snapshot.lookup(address));
            Frame {
                mapping: mapping.map(|mapping| aggregate.mappings.user(pid, mapping)),
                address: address.0,
            }
        });
        let wanted = frames.len() + sample.user.len();
        frames.extend(user.take_while(|frame| !is_junk(frame)));
        if frames.len() < wanted {
            self.broken_stacks += 1;
        }
        aggregate.add(frames.into_iter(), sample.stop, &labels);
    }

    /// A process has a new child, which begins with a copy of its memory.
    pub(super) fn forked(&mut self, parent: u32, child: u32) {
        let inherited = self.snapshot(parent);
        self.touched.insert(child);
        self.known.insert(
            child,
            Known {
                inherited,
                ..Known::default()
            },
        );
    }

    /// A process runs another program: nothing that was known of its memory holds any more.
    pub(super) fn executed(&mut self, pid: u32, aggregate: &mut Aggregate) {
        self.resolver.invalidate(pid);
        self.labelling.forget(pid);
        if let Some(known) = self.known.get_mut(&pid) {
            *known = Known {
                sampled: known.sampled,
                ..Known::default()
            };
        }
        if self.roots.contains(&pid) {
            self.read_root(pid, aggregate);
        }
    }

    /// A sample whose stack is yet to be walked: looks whether something was mapped since the process was last
    /// looked at.
    pub(super) fn heard_of(&mut self, copy: &StackCopy) {
        let pid = copy.sample.pid;
        self.touched.insert(pid);
        let Some(snapshot) = self.snapshot(pid) else {
            return;
        };
        if !snapshot.contains(ProcAddr(copy.registers.ip)) {
            self.refresh(pid);
        } else if copy.sample.stop == Stop::NoMapping {
            self.look_again(pid, &snapshot);
        }
    }

    /// What the same program has mapped by now, if that is not what it had when a walk met an unknown address.
    pub(super) fn look_again(&mut self, pid: u32, then: &Snapshot) -> Option<Arc<Snapshot>> {
        let now = self.snapshot(pid)?;
        let known = self.known.entry(pid).or_default();
        let now = if std::ptr::eq(&*now, then) && known.is_out_of_date(TRUST) {
            self.refresh(pid)?
        } else {
            now
        };
        let main = |snapshot: &Snapshot| Some(snapshot.main()?.binary()?.id());
        (!std::ptr::eq(&*now, then) && main(&now) == main(then)).then_some(now)
    }

    /// The processes that were heard of since the last call.
    pub(super) fn take_touched(&mut self) -> HashSet<u32> {
        std::mem::take(&mut self.touched)
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
            .partition(|pid| self.procfs.has_ended(*pid));
        self.ended = still_there;
        for pid in &gone {
            self.known.remove(pid);
            self.resolver.invalidate(*pid);
            self.labelling.forget(*pid);
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

impl Processes {
    /// What the resolver met that a user should know, one sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.labelling.notes();
        notes.extend(
            self.resolver
                .take_warning()
                .map(|warning| warning.to_string()),
        );
        if self.broken_stacks > 0 {
            notes.push(format!(
                "{} stacks were cut at an address that is not in user space; \
                 the code there keeps no frame pointer",
                self.broken_stacks
            ));
        }
        let stats = self.resolver.stats();
        if stats.malformed_lines > 0 {
            notes.push(format!(
                "{} lines of maps files made no sense and were skipped",
                stats.malformed_lines
            ));
        }
        if stats.unreadable > 0 {
            notes.push(format!(
                "mappings could not be read {} times, so those frames have no names; \
                 run as root or with CAP_SYS_PTRACE",
                stats.unreadable
            ));
        }
        notes
    }

    /// The mappings to look a sample's addresses up in; read again when they do not explain the sample.
    fn snapshot_for(&mut self, sample: &Sample) -> Option<Arc<Snapshot>> {
        let pid = sample.pid;
        let snapshot = self.snapshot(pid);
        let known = self.known.entry(pid).or_default();
        let trust = trust(snapshot.as_deref()?, sample);
        if trust.is_some_and(|trust| known.is_out_of_date(trust)) {
            self.refresh(pid)
        } else {
            snapshot
        }
    }

    /// Reads the mappings of a process again.
    fn refresh(&mut self, pid: u32) -> Option<Arc<Snapshot>> {
        let before = self.snapshot(pid);
        let known = self.known.entry(pid).or_default();
        let now = Instant::now();
        known.first_refreshed_at.get_or_insert(now);
        known.refreshed_at = Some(now);
        // The process may be gone by now; what was known of it then is still better than nothing.
        let new = self.resolver.refresh(pid);
        known.snapshot = new.filter(|new| !new.mappings().is_empty()).or(before);
        known.snapshot.clone()
    }

    /// What is mapped in a process, as far as is known.
    pub(super) fn snapshot(&mut self, pid: u32) -> Option<Arc<Snapshot>> {
        let known = self.known.entry(pid).or_default();
        if known.snapshot.is_none() {
            // Empty for kernel threads, which have no memory, and for processes that have given theirs up.
            known.snapshot = self
                .resolver
                .snapshot(pid)
                .filter(|snapshot| !snapshot.mappings().is_empty());
        }
        known.snapshot.clone().or_else(|| known.inherited.clone())
    }
}

fn note_main(pid: u32, snapshot: &Snapshot, aggregate: &mut Aggregate) {
    if let Some(main) = snapshot.main() {
        main.binary();
        let index = aggregate.mappings.user(pid, main);
        aggregate.mappings.add_main(index);
    }
}

/// Whether a frame of a user stack is not of user space. A walk by frame pointers goes astray where code keeps something
/// else in that register; whatever it finds behind such an address is no caller either.
fn is_junk(frame: &Frame) -> bool {
    frame.mapping.is_none() && frame.address >= FIRST_KERNEL_ADDRESS
}

/// How old a snapshot may be that does not have all addresses of a sample; `None` if it has them.
fn trust(snapshot: &Snapshot, sample: &Sample) -> Option<Duration> {
    let mut addresses = sample.user.iter().map(|address| address.lookup());
    if !snapshot.contains(addresses.next()?) {
        return Some(Duration::ZERO);
    }
    let all_known = addresses.all(|address| snapshot.contains(address));
    // The walk itself met an address that was not mapped when it got its tables: not junk, but a new library.
    let by_tables = sample.stop == Stop::NoMapping;
    (!all_known).then_some(if by_tables { Duration::ZERO } else { TRUST })
}
