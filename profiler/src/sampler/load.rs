//! Loads the object into the kernel: settings, sizes of maps, programs.

use std::fs::File;
use std::path::PathBuf;

use aya::maps::{CgroupArray, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use profiler_common::{Part, Settings};

use super::error::{self, SamplerError};
use super::features::{self, KernelTypes};
use super::names::{MOST_NAMES, NameFilter};
use super::side_band::SideBand;
use super::tables::{self, Tables};
use super::{Sampler, SamplerOptions, Target, Targets, Unwind, attach, layout};

include!(concat!(env!("OUT_DIR"), "/object.rs"));

/// How much of a second the ring can hold while the reader is kept from reading.
const RING_SECONDS: f64 = 1.5;
/// Bytes of a sample that the size of the ring reckons with: some 120 frames.
const TYPICAL_RECORD: f64 = 1024.0;
/// Room for some copies of stacks, of 28 KiB each.
const SMALLEST_RING: u32 = 1 << 20;
const LARGEST_RING: u32 = 64 << 20;
/// Smallest ring that the kernel accepts, for a log that is not written.
const UNUSED_RING: u32 = 4096;

pub(super) fn load(options: SamplerOptions) -> Result<Sampler, SamplerError> {
    let object = OBJECT.ok_or(SamplerError::NoObject)?;
    let ring_bytes = ring_bytes(options.period_ns, online_cpus());
    let sizes = TableSizes::of(&options);
    let types = KernelTypes::open();
    let layout = layout::layout(&options, &types)?;
    let settings = settings(&options, ring_bytes, &types);
    let log_level: u8 = if options.bpf_log { u8::MAX } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        // The programs have no CO-RE relocations; parsing the kernel's types would cost 50 ms and 13 MB.
        .btf(None)
        .override_global("SETTINGS", &settings, true)
        .override_global("LAYOUT", &layout, true)
        .override_global(aya_log::LEVEL, &log_level, true)
        .map_max_entries("RECORDS", ring_bytes)
        .map_max_entries("MAPPINGS", sizes.mappings)
        .map_max_entries("PAGES", sizes.pages)
        .map_max_entries("PROCESSES", sizes.processes)
        .map_max_entries("TARGETS", sizes.targets)
        .map_max_entries("THREADS", sizes.threads)
        .map_max_entries("UNWANTED_NAMES", sizes.names)
        .map_max_entries("RULES", tables::MAX_RULES)
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS);
    if !options.bpf_log {
        loader.map_max_entries("AYA_LOGS", UNUSED_RING);
    }
    let mut ebpf = loader.load(object).map_err(error::from_load)?;
    let walk = attach::load_programs(&mut ebpf, &options)?;
    let calls = attach::enter_calls(&mut ebpf, walk)?;
    let logger = if options.bpf_log {
        let logger = EbpfLogger::init(&mut ebpf)
            .map_err(|cause| error::other("opening the log of the BPF programs", cause))?;
        Some(logger)
    } else {
        None
    };
    let tables = Tables::new(&mut ebpf, &options)?;
    let targets = enter_targets(&mut ebpf, &options.targets)?;
    let cgroups = enter_cgroups(&mut ebpf, &options.filter.cgroups)?;
    let names = options.filter.comm.clone();
    let names = names
        .map(|pattern| NameFilter::new(&mut ebpf, pattern))
        .transpose()?;
    Ok(Sampler {
        side_band: open_side_band(),
        records: take::<RingBuf<MapData>>(&mut ebpf, "RECORDS")?,
        counters: take::<PerCpuArray<MapData, u64>>(&mut ebpf, "COUNTERS")?,
        targets,
        names,
        _cgroups: cgroups,
        ebpf,
        logger,
        options,
        links: attach::Links::default(),
        cpus: super::cpus::Online::default(),
        tables,
        walk,
        _calls: calls,
        malformed: 0,
        batch: Vec::new(),
    })
}

/// Without it mappings are read from `/proc` when they are needed, so that what ends or changes quickly is missed.
fn open_side_band() -> Option<SideBand> {
    let cpus = aya::util::online_cpus().map_err(|(_, error)| error);
    let side_band = cpus.and_then(|cpus| SideBand::open(&cpus));
    side_band
        .inspect_err(|error| log::debug!("no records of what processes map: {error}"))
        .ok()
}

/// Enters what was asked for; a process that was asked for both whole and in part is sampled whole.
fn enter_targets(
    ebpf: &mut Ebpf,
    targets: &Targets,
) -> Result<HashMap<MapData, u32, u8>, SamplerError> {
    let failed = |cause| error::other("entering a process to be sampled", cause);
    let mut processes: HashMap<MapData, u32, u8> = take(ebpf, "TARGETS")?;
    let mut threads: HashMap<&mut MapData, u32, u8> = ebpf
        .map_mut("THREADS")
        .ok_or_else(|| no_map("THREADS"))?
        .try_into()
        .map_err(failed)?;
    for (pid, tid) in targets.threads() {
        processes
            .insert(pid, Part::ChosenThreads as u8, 0)
            .map_err(failed)?;
        threads.insert(tid, 1, 0).map_err(failed)?;
    }
    if let Targets::Chosen(targets) = targets {
        for target in targets {
            if let Target::Process(pid) = target {
                processes
                    .insert(pid, Part::Whole as u8, 0)
                    .map_err(failed)?;
            }
        }
    }
    Ok(processes)
}

/// Enters the control groups that samples must be of; they stay entered for as long as the array is kept.
fn enter_cgroups(
    ebpf: &mut Ebpf,
    paths: &[PathBuf],
) -> Result<Option<CgroupArray<MapData>>, SamplerError> {
    if paths.is_empty() {
        return Ok(None);
    }
    let mut cgroups: CgroupArray<MapData> = take(ebpf, "CGROUPS")?;
    for (index, path) in (0..).zip(paths) {
        let failed = |cause: anyhow::Error| {
            let cause = cause.context(path.display().to_string());
            error::other("entering a control group to be sampled", cause)
        };
        let directory = File::open(path).map_err(|cause| failed(cause.into()))?;
        cgroups
            .set(index, directory, 0)
            .map_err(|cause| failed(cause.into()))?;
    }
    Ok(Some(cgroups))
}

/// Sizes of tables that the kernel makes whole, before anything is known of the processes.
struct TableSizes {
    mappings: u32,
    pages: u32,
    processes: u32,
    targets: u32,
    threads: u32,
    names: u32,
}

impl TableSizes {
    /// A few processes with their children, or all of a machine: 8,192 processes (0.5 MiB), 16,384 mappings (0.6 MiB)
    /// and 1 GiB of text (2 MiB), or four times as much.
    fn of(options: &SamplerOptions) -> Self {
        let (times, targets) = match options.targets {
            Targets::Chosen(_) => (1, 1 << 13),
            // All are, so there is no list.
            Targets::All => (4, 1),
        };
        let has_threads = !options.targets.threads().is_empty();
        Self {
            mappings: times << 14,
            pages: times << 18,
            processes: times << 13,
            targets,
            threads: if has_threads { 1 << 13 } else { 1 },
            names: match options.filter.comm {
                Some(_) => MOST_NAMES,
                None => 1,
            },
        }
    }
}

fn settings(
    options: &SamplerOptions,
    ring_bytes: u32,
    types: &Result<KernelTypes, String>,
) -> Settings {
    let (task_stack_offset, entry_registers_offset) =
        if attach::Walk::choices(options).contains(&attach::Walk::TailCalls) {
            let types = types.as_ref().map_err(Clone::clone);
            types
                .and_then(features::entry_registers)
                .unwrap_or_else(|cause| {
                    log::debug!("no user stacks of what is sampled in the kernel: {cause}");
                    (0, 0)
                })
        } else {
            (0, 0)
        };
    Settings {
        all_processes: u32::from(options.targets == Targets::All),
        kernel_stacks: u32::from(options.kernel_stacks),
        follow_children: u32::from(options.follow_children),
        guess_frame_pointers: u32::from(options.unwind != Unwind::Tables),
        task_stack_offset,
        entry_registers_offset,
        chosen_threads: u32::from(!options.targets.threads().is_empty()),
        by_name: u32::from(options.filter.comm.is_some()),
        cgroups: options.filter.cgroups.len() as u32,
        cgroup_ids: u32::from(options.cgroup_ids),
        pid_namespace: options.pid_namespace.unwrap_or(0),
        check_walks: u32::from(options.check_walks),
        wakeup_bytes: u64::from(ring_bytes / 4),
    }
}

/// A power of two, as the kernel demands, for [`RING_SECONDS`] of samples on all CPUs.
///
/// Not simply large: the ring is mapped twice in a row and all of it counts as this process's memory.
fn ring_bytes(period_ns: u64, cpus: u32) -> u32 {
    let samples_per_second = 1e9 / period_ns.max(1) as f64 * f64::from(cpus);
    let wanted = (samples_per_second * TYPICAL_RECORD * RING_SECONDS) as u32;
    wanted
        .clamp(SMALLEST_RING, LARGEST_RING)
        .next_power_of_two()
}

fn online_cpus() -> u32 {
    aya::util::online_cpus().map_or(1, |cpus| cpus.len() as u32)
}

pub(super) fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, SamplerError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| no_map(name))?;
    T::try_from(map).map_err(|cause| error::other("opening a BPF map", cause))
}

fn no_map(name: &str) -> SamplerError {
    error::other(
        "looking into the BPF object",
        anyhow::anyhow!("no map {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ring grows with the rate and the number of CPUs, within its bounds, in powers of two.
    #[test]
    fn ring_sizes() {
        let cases = [
            (10_101_010, 2, 1 << 20),
            (1_003_009, 2, 4 << 20),
            (100_000, 2, 32 << 20),
            (100_000, 512, 64 << 20),
            (0, 1, 64 << 20),
        ];
        for (period_ns, cpus, expected) in cases {
            assert_eq!(
                ring_bytes(period_ns, cpus),
                expected,
                "{period_ns} ns, {cpus} CPUs"
            );
        }
    }
}
