//! What the kernel lets this process do, found out by doing it: the parts of sampling one by one, and the whole on this
//! very process. What follows from the answers is left to [`crate::doctor`].

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use aya::maps::MapType;
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{SyscallError, is_map_supported, is_program_supported};
use aya_obj::generated::{perf_hw_id, perf_sw_ids, perf_type_id};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::attach::Walk;
use super::features::KernelTypes;
use super::side_band::SideBand;
use super::{Event, Filter, Sampler, SamplerError, SamplerOptions, Target, Targets, Unwind};
use super::{layout, perf_ring};

/// CPU time for one sample of this process, in nanoseconds.
const PERIOD_NS: u64 = 1_000_000;
/// So many samples are proof enough.
const ENOUGH_SAMPLES: u64 = 10;
/// So long this process is kept busy to get them; on a loaded machine it waits for its turns.
const PATIENCE: Duration = Duration::from_secs(1);
/// A period in nanoseconds or cycles with which an event that nobody enables may be opened.
const UNUSED_PERIOD: u64 = 1_000_000;

/// The parts of sampling, each tried by itself.
#[derive(Debug)]
pub(crate) struct Parts {
    /// A BPF map.
    pub maps: io::Result<()>,
    /// A BPF ring buffer.
    pub ring_buffer: io::Result<()>,
    /// A BPF program for perf events.
    pub programs: io::Result<()>,
    /// The event that samples are taken by, on every online CPU.
    pub cpu_clock: io::Result<()>,
    /// The kernel's records of mappings, forks and execs, on every online CPU.
    pub side_band: io::Result<()>,
    /// Hardware cycles as an event, which the profiler does not use.
    pub cycles: io::Result<()>,
    /// What the kernel says of its own types, or what cannot be found there.
    pub types: Result<(), String>,
    /// The limit of locked memory and what it means for BPF maps.
    pub locked_memory: LockedMemory,
    /// How many CPUs are online.
    pub cpus: usize,
}

/// The limit of locked memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LockedMemory {
    /// In bytes; `None` when there is none.
    pub limit: Option<u64>,
    /// Whether the memory of BPF maps counts; `None` when no map can be made at all.
    pub counts_maps: Option<bool>,
}

/// How the user's part of a stack was walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackWalk {
    /// By unwind tables, with `bpf_loop`.
    TablesByLoop,
    /// By unwind tables, with tail calls.
    TablesByTailCalls,
    /// By frame pointers only.
    FramePointers,
}

/// What came of sampling this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sampled {
    /// Samples that arrived.
    pub samples: u64,
    /// How long that took, loading the programs included.
    pub took: Duration,
    /// How stacks were walked.
    pub walk: StackWalk,
}

/// Samples this process, and tries each part by itself.
///
/// In this order, because aya raises the limit of locked memory for a process once, where that is needed and allowed; what
/// is tried of the limit here must not take that chance away from the sampling.
pub(crate) fn try_all(pid_namespace: Option<u32>) -> (Result<Sampled, SamplerError>, Parts) {
    let limit = getrlimit(Resource::Memlock);
    let sampled = sample_oneself(pid_namespace);
    (sampled, try_parts(limit))
}

fn try_parts(limit: Rlimit) -> Parts {
    let cpus = aya::util::online_cpus().unwrap_or_else(|(_, error)| {
        log::debug!("the online CPUs are not known: {error}");
        vec![0]
    });
    let on_each = |kind: perf_type_id, config: u64| {
        let mut cpus = cpus.iter();
        cpus.try_for_each(|cpu| perf_ring::try_sampling(*cpu, kind, config, UNUSED_PERIOD))
    };
    let maps = map(MapType::Array);
    Parts {
        ring_buffer: map(MapType::RingBuf),
        programs: match is_program_supported(ProgramType::PerfEvent) {
            Ok(supported) => known(supported),
            Err(ProgramError::SyscallError(error)) => Err(error.io_error),
            Err(error) => Err(io::Error::other(error)),
        },
        cpu_clock: on_each(
            perf_type_id::PERF_TYPE_SOFTWARE,
            perf_sw_ids::PERF_COUNT_SW_CPU_CLOCK as u64,
        ),
        side_band: SideBand::open(&cpus).map(drop),
        cycles: on_each(
            perf_type_id::PERF_TYPE_HARDWARE,
            perf_hw_id::PERF_COUNT_HW_CPU_CYCLES as u64,
        ),
        types: KernelTypes::open().and_then(|types| layout::every_offset(&types)),
        locked_memory: locked_memory(limit, maps.is_ok()),
        maps,
        cpus: cpus.len(),
    }
}

fn map(kind: MapType) -> io::Result<()> {
    is_map_supported(kind).map_or_else(|SyscallError { io_error, .. }| Err(io_error), known)
}

/// An unknown kind of map or program is `EINVAL`.
fn known(supported: bool) -> io::Result<()> {
    if supported {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(
        rustix::io::Errno::INVAL.raw_os_error(),
    ))
}

/// Makes a map while no memory may be locked: kernels that count its memory refuse it, or aya has to raise the limit.
/// Afterwards the limit is as it was `before`.
fn locked_memory(before: Rlimit, maps_can_be_made: bool) -> LockedMemory {
    let nothing = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    let counts_maps = maps_can_be_made
        .then(|| setrlimit(Resource::Memlock, nothing).ok())
        .flatten()
        .map(|()| map(MapType::Array).is_err() || getrlimit(Resource::Memlock).current != Some(0));
    let limit = before.current;
    if let Err(error) = setrlimit(Resource::Memlock, before) {
        log::debug!("the limit of locked memory stays as it is: {error}");
    }
    LockedMemory { limit, counts_maps }
}

/// Samples this process as `profiler --pid` would, until there are some samples or a second has passed.
///
/// # Errors
///
/// Those of a recording.
fn sample_oneself(pid_namespace: Option<u32>) -> Result<Sampled, SamplerError> {
    let began = Instant::now();
    let own = std::process::id();
    let mut sampler = Sampler::load(SamplerOptions {
        period_ns: PERIOD_NS,
        targets: Targets::Chosen(vec![Target::Process(own)]),
        filter: Filter::default(),
        pid_namespace,
        process_names: false,
        cgroup_ids: false,
        kernel_stacks: true,
        follow_children: false,
        unwind: Unwind::Auto,
        bpf_loop: None,
        check_walks: false,
        unwind_memory: 1 << 20,
        bpf_log: false,
    })?;
    sampler.attach()?;
    let (mut samples, busy_since) = (0, Instant::now());
    while samples < ENOUGH_SAMPLES && busy_since.elapsed() < PATIENCE {
        let turn = Instant::now();
        while turn.elapsed() < Duration::from_millis(2) {
            black_box((0..1000u64).fold(0, u64::wrapping_add));
        }
        sampler.drain(|event| samples += u64::from(is_sample(&event)));
    }
    sampler.detach()?;
    Ok(Sampled {
        samples,
        took: began.elapsed(),
        walk: match sampler.walk {
            Walk::Loop => StackWalk::TablesByLoop,
            Walk::TailCalls => StackWalk::TablesByTailCalls,
            Walk::FramePointers => StackWalk::FramePointers,
        },
    })
}

/// Nobody makes unwind rows for this process here, so that its stacks may come as copies.
fn is_sample(event: &Event) -> bool {
    matches!(event, Event::Sample(_) | Event::StackCopy(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit of locked memory is as it was before, whatever the answer is.
    #[test]
    fn limit_is_put_back() {
        let limits = || getrlimit(Resource::Memlock);
        let before = limits();
        assert_eq!(locked_memory(limits(), true).limit, before.current);
        let after = limits();
        assert_eq!(
            (after.current, after.maximum),
            (before.current, before.maximum)
        );
        assert_eq!(locked_memory(limits(), false).counts_maps, None);
    }
}
