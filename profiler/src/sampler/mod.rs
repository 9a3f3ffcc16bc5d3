//! Takes samples: loads the BPF programs, attaches them, and decodes what they send.
//!
//! The only place that knows aya and the kernel side. What an address means is left to
//! [`crate::process`]; nothing here looks at a process.

mod attach;
mod blocks;
mod bytes;
mod cost;
mod cpus;
mod error;
mod features;
mod layout;
mod load;
mod losses;
mod mapped;
mod names;
mod perf_ring;
mod ring;
mod side_band;
mod tables;
mod trial;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{CgroupArray, HashMap, MapData, PerCpuArray, ProgramArray, RingBuf};
use aya_log::EbpfLogger;
use profiler_common::{Counter, Part};
use regex::bytes::Regex;

pub(crate) use cost::ProgramCost;
pub(crate) use error::SamplerError;
pub(crate) use features::{
    in_initial_user_namespace, lockdown, max_sample_rate, perf_event_paranoid, sysctl,
};
pub(crate) use losses::Losses;
pub(crate) use ring::{Event, Sample, StackCopy};
pub(crate) use side_band::{MemoryChange, MemoryEvent, NewMapping};
pub(crate) use tables::{TableError, Tables};
pub(crate) use trial::{Parts, Sampled, StackWalk, try_all};

/// Which processes are sampled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Targets {
    /// Every process that can be seen in the pid namespace.
    All,
    /// These.
    Chosen(Vec<Target>),
}

/// One of the processes that were asked for, or a part of one. Ids are those of the pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// All threads of a process.
    Process(u32),
    /// One thread.
    Thread {
        /// Its process.
        pid: u32,
        /// Its own id.
        tid: u32,
    },
}

impl Target {
    /// The process that it is, or is part of.
    pub(crate) fn pid(self) -> u32 {
        match self {
            Self::Process(pid) | Self::Thread { pid, .. } => pid,
        }
    }
}

impl Targets {
    /// The processes that were asked for, each once.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Self::Chosen(targets) = self else {
            return Vec::new();
        };
        let mut pids: Vec<u32> = Vec::with_capacity(targets.len());
        for target in targets {
            if !pids.contains(&target.pid()) {
                pids.push(target.pid());
            }
        }
        pids
    }

    /// The threads that were asked for by themselves, with their processes.
    pub(crate) fn threads(&self) -> Vec<(u32, u32)> {
        let Self::Chosen(targets) = self else {
            return Vec::new();
        };
        let threads = targets.iter().filter_map(|target| match target {
            Target::Thread { pid, tid } => Some((*pid, *tid)),
            Target::Process(_) => None,
        });
        threads.collect()
    }
}

/// What else must be true of a task, so that it is sampled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// The name of its process matches.
    pub comm: Option<Regex>,
    /// It is in one of these control groups or below; these are directories of the file system of version 2. None: no
    /// matter.
    pub cgroups: Vec<PathBuf>,
}

/// How the user's part of a stack is walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Unwind {
    /// By unwind tables, and by frame pointers where there are none; by frame pointers only where the kernel lets nothing
    /// else.
    #[default]
    Auto,
    /// By unwind tables only.
    Tables,
    /// By frame pointers only.
    FramePointers,
}

/// What the sampler needs to know before it loads anything.
#[derive(Clone, Debug)]
pub(crate) struct SamplerOptions {
    /// Nanoseconds of CPU time that one sample stands for.
    pub period_ns: u64,
    /// Which processes are sampled.
    pub targets: Targets,
    /// What else must be true of a task.
    pub filter: Filter,
    /// Inode of the pid namespace that ids are of; `None` for the initial one.
    pub pid_namespace: Option<u32>,
    /// Whether samples tell the name of their process, where the kernel lets them.
    pub process_names: bool,
    /// Whether samples tell their control group.
    pub cgroup_ids: bool,
    /// Whether kernel stacks are taken.
    pub kernel_stacks: bool,
    /// Whether children of the targets become targets.
    pub follow_children: bool,
    /// How the user's part of a stack is walked.
    pub unwind: Unwind,
    /// Whether to walk by tables with `bpf_loop` or with tail calls, whatever the kernel has.
    pub bpf_loop: Option<bool>,
    /// Whether each stack is sent as a copy, too, behind its walk.
    pub check_walks: bool,
    /// Bytes that unwind rows may take in the kernel.
    pub unwind_memory: u64,
    /// Whether the BPF programs log; what they say goes to the `log` crate.
    pub bpf_log: bool,
}

/// What one reading has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Drained {
    /// Records of the ring of the samples.
    pub records: usize,
    /// Whether nothing was left in it.
    pub is_empty: bool,
}

/// The loaded BPF programs and the ring that they write to.
pub(crate) struct Sampler {
    ebpf: Ebpf,
    records: RingBuf<MapData>,
    targets: HashMap<MapData, u32, u8>,
    names: Option<names::NameFilter>,
    /// Holds the control groups that were asked for.
    _cgroups: Option<CgroupArray<MapData>>,
    counters: PerCpuArray<MapData, u64>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    options: SamplerOptions,
    links: attach::Links,
    /// CPUs that were there when it was looked last.
    cpus: cpus::Online,
    tables: Tables,
    walk: attach::Walk,
    /// Holds what the walk by tail calls calls.
    _calls: Option<ProgramArray<MapData>>,
    malformed: u64,
    /// Empty but while the ring is read; kept because it grows to the same size each time.
    batch: Vec<Event>,
    /// `None` when the kernel does not let it be had.
    side_band: Option<side_band::SideBand>,
}

impl Sampler {
    /// Loads the programs; nothing is sampled before [`attach`](Self::attach).
    pub(crate) fn load(options: SamplerOptions) -> Result<Self, SamplerError> {
        load::load(options)
    }

    /// Starts sampling on every online CPU.
    pub(crate) fn attach(&mut self) -> Result<(), SamplerError> {
        self.cpus = cpus::online().unwrap_or_default();
        self.links = attach::attach(&mut self.ebpf, &self.options, self.walk)?;
        Ok(())
    }

    /// Samples CPUs that have come since, and gives up those that have gone; tells whether any has come. What has changed
    /// the memory of processes there before now is not known.
    ///
    /// # Errors
    ///
    /// Only when the programs cannot be found; a CPU that cannot be sampled is tried again the next time.
    pub(crate) fn follow_cpus(&mut self) -> Result<bool, SamplerError> {
        // While it cannot be read, nothing is known to have changed.
        let Ok(online) = cpus::online() else {
            return Ok(false);
        };
        if online == self.cpus && self.links.sample_all(&online) {
            return Ok(false);
        }
        let Self {
            ebpf,
            options,
            links,
            walk,
            side_band,
            ..
        } = self;
        let stayed = cpus::stayed(&self.cpus, &online);
        let gone = attach::leave_cpus(ebpf, *walk, links, &stayed)?;
        let come = attach::enter_cpus(ebpf, options, *walk, links, &online)?;
        self.cpus = online;
        if let Some(side_band) = side_band {
            gone.iter().for_each(|cpu| side_band.remove(*cpu));
            for cpu in &come {
                if let Err(error) = side_band.add(*cpu) {
                    log::warn!(
                        "what processes map on CPU {cpu} cannot be followed: {error}; start the profiler again"
                    );
                }
            }
        }
        if !gone.is_empty() || !come.is_empty() {
            log::info!("CPUs that have gone: {gone:?}, that have come: {come:?}");
        }
        Ok(!come.is_empty())
    }

    /// Stops sampling; what is in the ring stays there to be read.
    pub(crate) fn detach(&mut self) -> Result<(), SamplerError> {
        attach::detach(&mut self.ebpf, std::mem::take(&mut self.links), self.walk)
    }

    /// Hands every record that waits to `handle`: what has changed the memory of processes before the samples that may
    /// lie in it, and the samples in the order of time. Returns how many came from the ring of the samples.
    ///
    /// Stops after about one filling of that ring, so that a busy machine cannot keep the caller here.
    pub(crate) fn drain(&mut self, mut handle: impl FnMut(Event)) -> Drained {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        let mut drained = Drained::default();
        let mut batch = std::mem::take(&mut self.batch);
        while !drained.is_empty && drained.records < ring::MOST_RECORDS_AT_ONCE {
            while batch.len() < ring::BATCH {
                let Some(item) = self.records.next() else {
                    drained.is_empty = true;
                    break;
                };
                drained.records += 1;
                let Some(event) = ring::decode(&item) else {
                    self.malformed += 1;
                    continue;
                };
                if self.names.as_mut().is_none_or(|names| names.passes(&event)) {
                    batch.push(event);
                }
            }
            // Read after the samples, it has all that was mapped before they were taken.
            self.take_memory_events()
                .into_iter()
                .for_each(|event| handle(Event::Memory(event)));
            batch.sort_by_key(Event::time_ns);
            batch.drain(..).for_each(&mut handle);
        }
        self.batch = batch;
        drained
    }

    fn take_memory_events(&mut self) -> Vec<MemoryEvent> {
        let Some(side_band) = &mut self.side_band else {
            return Vec::new();
        };
        let (all, targets) = (self.options.targets == Targets::All, &self.targets);
        side_band.take(|pid| all || targets.get(&pid, 0).is_ok())
    }

    /// Whether there are [`Event::Memory`]s.
    pub(crate) fn tells_of_memory(&self) -> bool {
        self.side_band.is_some()
    }

    /// Readable when records about the memory of processes should be read.
    pub(crate) fn side_band_fd(&self) -> Option<BorrowedFd<'_>> {
        self.side_band.as_ref().map(AsFd::as_fd)
    }

    /// How user stacks are walked on this kernel: by tables, unless it cannot or somebody asked for it.
    pub(crate) fn walks_by_tables(&self) -> bool {
        self.walk != attach::Walk::FramePointers
    }

    /// The kernel's tables for unwinding.
    pub(crate) fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Samples a process from now on; false when the table of processes is full.
    pub(crate) fn add_target(&mut self, pid: u32) -> bool {
        let added = self.targets.insert(pid, Part::Whole as u8, 0);
        added.is_ok()
    }

    /// Names that the filter met and did not want.
    pub(crate) fn unwanted_names(&self) -> Vec<String> {
        self.names
            .as_ref()
            .map_or_else(Vec::new, names::NameFilter::unwanted)
    }

    /// No longer samples a process that has ended, so that its id may be used again.
    pub(crate) fn remove_target(&mut self, pid: u32) {
        if self.options.targets != Targets::All && self.targets.remove(&pid).is_err() {
            log::trace!("process {pid} was not in the table of targets");
        }
    }

    /// What was tried and what was lost until now.
    pub(crate) fn losses(&self) -> Losses {
        let counter = |counter: Counter| -> u64 {
            self.counters
                .get(&(counter as u32), 0)
                .map_or(0, |values| values.iter().sum())
        };
        // They had to be seen to know that they are none of those that were asked for.
        let discarded = self.names.as_ref().map_or(0, names::NameFilter::discarded);
        Losses {
            tried: counter(Counter::SamplesTried) - discarded,
            ring_full: counter(Counter::SamplesRingFull),
            output_failed: counter(Counter::SamplesOutputFailed),
            malformed: self.malformed,
            events: counter(Counter::EventsLost),
            memory_events: self.side_band.as_ref().map_or(0, side_band::SideBand::lost),
            children_not_followed: counter(Counter::ChildrenNotFollowed),
        }
    }

    /// What the programs have cost, for those the kernel kept count of.
    pub(crate) fn costs(&self) -> Vec<ProgramCost> {
        let infos = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| Some((name, program.info().ok()?)));
        infos
            .map(|(name, info)| ProgramCost {
                name: name.to_owned(),
                run_time_ns: info.run_time().as_nanos() as u64,
                run_count: info.run_count(),
                verified_instructions: info.verified_instruction_count(),
            })
            .collect()
    }
}

impl AsFd for Sampler {
    /// Readable when the programs have woken the reader.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }
}
