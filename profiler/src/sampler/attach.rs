//! Programs to their hooks, and off again.

use std::collections::{BTreeMap, BTreeSet};

use aya::Ebpf;
use aya::maps::{MapData, ProgramArray};
use aya::programs::perf_event::{
    PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{PerfEvent, Program, ProgramError, RawTracePoint};
use aya::util::KernelVersion;

use super::cpus::Online;
use super::error::{self, SamplerError};
use super::load::take;
use super::{SamplerOptions, Unwind};

/// Which of the sampling programs is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Walk {
    /// The one that walks by unwind tables with `bpf_loop`.
    Loop,
    /// The one that walks by unwind tables with tail calls.
    TailCalls,
    /// The one that walks by frame pointers.
    FramePointers,
}

impl Walk {
    /// Those that may be taken, the best first.
    pub(super) fn choices(options: &SamplerOptions) -> &'static [Self] {
        let has_loop = KernelVersion::current().is_ok_and(|kernel| kernel >= BPF_LOOP_SINCE);
        match options.unwind {
            Unwind::FramePointers => &[Self::FramePointers],
            Unwind::Auto | Unwind::Tables if options.bpf_loop.unwrap_or(has_loop) => &[Self::Loop],
            Unwind::Auto => &[Self::TailCalls, Self::FramePointers],
            Unwind::Tables => &[Self::TailCalls],
        }
    }

    /// The program that is attached.
    fn program(self) -> &'static str {
        match self {
            Self::Loop => "on_cpu",
            Self::TailCalls => "on_cpu_by_calls",
            Self::FramePointers => "on_cpu_by_fp",
        }
    }

    /// All programs of this walk.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Loop => &["on_cpu"],
            Self::TailCalls => &["on_cpu_by_calls", WALK_ON],
            Self::FramePointers => &["on_cpu_by_fp"],
        }
    }
}

/// The first kernel with `bpf_loop`; what older kernels of distributions have of it is not asked, because the walk by
/// tail calls does as well.
const BPF_LOOP_SINCE: KernelVersion = KernelVersion::new(5, 17, 0);

/// The program that the walk by tail calls calls.
const WALK_ON: &str = "walk_on";

/// Programs that follow processes, with the tracepoint of each.
const LIFECYCLE: [(&str, &str); 3] = [
    ("process_fork", "sched_process_fork"),
    ("process_exec", "sched_process_exec"),
    ("process_exit", "sched_process_exit"),
];

/// What is attached, to be taken off again.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By CPU.
    sampling: BTreeMap<u32, PerfEventLinkId>,
    /// CPUs that could not be sampled when they came.
    refused: BTreeSet<u32>,
    lifecycle: Vec<(&'static str, RawTracePointLinkId)>,
}

impl Links {
    /// Whether each of these CPUs is sampled.
    pub(super) fn sample_all(&self, online: &Online) -> bool {
        online.keys().all(|cpu| self.sampling.contains_key(cpu))
    }
}

/// Has the verifier look at the programs that will be attached, and tells which sampling program is.
pub(super) fn load_programs(
    ebpf: &mut Ebpf,
    options: &SamplerOptions,
) -> Result<Walk, SamplerError> {
    for (name, _) in LIFECYCLE {
        if name != "process_fork" || options.follow_children {
            program::<RawTracePoint>(ebpf, name)?
                .load()
                .map_err(|cause| error::from_program_load(name, cause))?;
        }
    }
    let mut first = None;
    for walk in Walk::choices(options) {
        match load_walk(ebpf, *walk) {
            Ok(()) => return Ok(*walk),
            Err(error) => {
                log::debug!("the walk of {walk:?} cannot be had: {error}");
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| error::other("choosing a walk", anyhow::anyhow!("no choice"))))
}

fn load_walk(ebpf: &mut Ebpf, walk: Walk) -> Result<(), SamplerError> {
    for name in walk.programs() {
        program::<PerfEvent>(ebpf, name)?
            .load()
            .map_err(|cause| error::from_program_load(name, cause))?;
    }
    Ok(())
}

/// Enters the program that the walk by tail calls calls; it stays entered for as long as the array is kept.
pub(super) fn enter_calls(
    ebpf: &mut Ebpf,
    walk: Walk,
) -> Result<Option<ProgramArray<MapData>>, SamplerError> {
    const ACTION: &str = "entering a program to be called";
    if walk != Walk::TailCalls {
        return Ok(None);
    }
    let mut programs: ProgramArray<MapData> = take(ebpf, "WALK_ON")?;
    let called: &mut PerfEvent = program(ebpf, WALK_ON)?;
    let fd = called.fd().map_err(|cause| error::other(ACTION, cause))?;
    programs
        .set(0, fd, 0)
        .map_err(|cause| error::other(ACTION, cause))?;
    Ok(Some(programs))
}

/// Attaches the programs: the sampling one last, so that the work of attaching is not sampled.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    options: &SamplerOptions,
    walk: Walk,
) -> Result<Links, SamplerError> {
    let mut links = Links::default();
    for (name, tracepoint) in LIFECYCLE {
        if name == "process_fork" && !options.follow_children {
            continue;
        }
        let link = program::<RawTracePoint>(ebpf, name)?
            .attach(tracepoint)
            .map_err(|cause| error::other("attaching to a scheduler tracepoint", cause))?;
        links.lifecycle.push((name, link));
    }
    let cpus = aya::util::online_cpus().map_err(|(path, cause)| {
        error::other(
            "asking for the online CPUs",
            anyhow::Error::from(cause).context(path),
        )
    })?;
    let on_cpu: &mut PerfEvent = program(ebpf, walk.program())?;
    for cpu in cpus {
        let link = attach_to(on_cpu, cpu, options.period_ns).map_err(error::from_attach)?;
        links.sampling.insert(cpu, link);
    }
    Ok(links)
}

/// Takes off what is on other CPUs than those that `stayed`: their events are dead, and stay so when the CPU comes again.
/// Returns which those were.
pub(super) fn leave_cpus(
    ebpf: &mut Ebpf,
    walk: Walk,
    links: &mut Links,
    stayed: &[u32],
) -> Result<Vec<u32>, SamplerError> {
    let gone = links.sampling.keys().filter(|cpu| !stayed.contains(cpu));
    let gone: Vec<u32> = gone.copied().collect();
    let on_cpu: &mut PerfEvent = program(ebpf, walk.program())?;
    for cpu in &gone {
        let link = links.sampling.remove(cpu);
        if let Some(Err(error)) = link.map(|link| on_cpu.detach(link)) {
            log::debug!("the event of CPU {cpu}, which has gone, was not taken off: {error}");
        }
    }
    Ok(gone)
}

/// Attaches to the CPUs that are not sampled. One that cannot be is tried again the next time. Returns which could.
pub(super) fn enter_cpus(
    ebpf: &mut Ebpf,
    options: &SamplerOptions,
    walk: Walk,
    links: &mut Links,
    online: &Online,
) -> Result<Vec<u32>, SamplerError> {
    let on_cpu: &mut PerfEvent = program(ebpf, walk.program())?;
    let mut come = Vec::new();
    for cpu in online.keys() {
        if links.sampling.contains_key(cpu) {
            continue;
        }
        match attach_to(on_cpu, *cpu, options.period_ns) {
            Ok(link) => {
                links.sampling.insert(*cpu, link);
                links.refused.remove(cpu);
                come.push(*cpu);
            }
            Err(error) if links.refused.insert(*cpu) => log::warn!(
                "CPU {cpu} has come and cannot be sampled: {error}; start the profiler again, or as profiler serve"
            ),
            Err(_) => {}
        }
    }
    Ok(come)
}

fn attach_to(
    on_cpu: &mut PerfEvent,
    cpu: u32,
    period_ns: u64,
) -> Result<PerfEventLinkId, ProgramError> {
    on_cpu.attach(
        PerfEventConfig::Software(SoftwareEvent::CpuClock),
        PerfEventScope::AllProcessesOneCpu { cpu },
        SamplePolicy::Period(period_ns),
        false,
    )
}

/// Takes the programs off their hooks; they stay loaded, so that their counters can be read.
pub(super) fn detach(ebpf: &mut Ebpf, links: Links, walk: Walk) -> Result<(), SamplerError> {
    const ACTION: &str = "detaching a BPF program";
    let on_cpu: &mut PerfEvent = program(ebpf, walk.program())?;
    for link in links.sampling.into_values() {
        on_cpu
            .detach(link)
            .map_err(|cause| error::other(ACTION, cause))?;
    }
    for (name, link) in links.lifecycle {
        program::<RawTracePoint>(ebpf, name)?
            .detach(link)
            .map_err(|cause| error::other(ACTION, cause))?;
    }
    Ok(())
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, SamplerError>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    const ACTION: &str = "looking into the BPF object";
    ebpf.program_mut(name)
        .ok_or_else(|| error::other(ACTION, anyhow::anyhow!("no program {name}")))?
        .try_into()
        .map_err(|cause| error::other(ACTION, cause))
}
