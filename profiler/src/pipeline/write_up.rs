//! From counted stacks to a profile: asks for the names, each address once, and hands everything to the writer.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::label_text;
use crate::addr::{ElfAddr, ProcAddr};
use crate::aggregate::{Aggregate, Frame, MappingIndex, Place};
use crate::config::Config;
use crate::pprof::{self, Builder, Header, Line, LocationId, MappingId};
use crate::process::{Mapping, MappingKind, ProcFs};
use crate::summary::{Blame, Summary};
use crate::symbolize::{Detail, Miss, Named, Options, Source, Symbolizer};

/// The range of the one mapping that stands for the kernel: the upper half of the address space.
const KERNEL_START: u64 = 1 << 63;
const KERNEL_LIMIT: u64 = u64::MAX;

/// Stack for reading debug information, in bytes: the library for it recurses once per level of inlining, and a
/// binary made to hurt has hundreds of thousands. Only what is used takes memory.
const DEEP_STACK: usize = 256 << 20;

/// Names all frames and returns the profile, gzipped.
pub(super) fn write_up(
    config: &Config,
    aggregate: &Aggregate,
    started_at: SystemTime,
    summary: &mut Summary,
) -> Vec<u8> {
    let places: Vec<&Place> = aggregate.mappings.iter().map(|(_, place)| place).collect();
    let names = name_frames(config.detail, aggregate.frames(), &places);
    count_names(aggregate, &places, &names, summary);

    let mut builder = Builder::new(Header {
        period_ns: config.period_ns(),
        time_ns: nanos_since_1970(started_at),
        duration_ns: summary.elapsed.as_nanos() as u64,
        comments: comments(config, &places, summary),
    });
    let mappings: Vec<MappingId> = places
        .iter()
        .map(|place| builder.mapping(pprof_mapping(place)))
        .collect();
    if let Some(main) = main_mapping(aggregate) {
        builder.set_main(mappings[main.position()]);
    }
    let locations: Vec<LocationId> = aggregate
        .frames()
        .iter()
        .zip(&names)
        .map(|(frame, named)| match frame.mapping {
            None => builder.unmapped(frame.address),
            Some(index) => {
                builder.location(mappings[index.position()], frame.address, &lines(named))
            }
        })
        .collect();
    for stack in aggregate.stacks() {
        let frames: Vec<LocationId> = stack
            .frames
            .iter()
            .map(|frame| locations[frame.position()])
            .collect();
        builder.add(&frames, stack.count, &label_text::labels(&stack));
    }
    let profile = builder.finish();
    let corrections = profile.corrections();
    if corrections != pprof::Corrections::default() {
        summary
            .notes
            .push(format!("left out of the profile: {corrections:?}"));
    }
    profile.to_gzip()
}

/// The name of each frame, in their order. The addresses of one source are asked for together.
fn name_frames(detail: Detail, frames: &[Frame], places: &[&Place]) -> Vec<Named> {
    let mut names: Vec<Named> = vec![Err(Miss::NoSymbol); frames.len()];
    let mut groups: HashMap<SourceKey, Group> = HashMap::new();
    for (position, frame) in frames.iter().enumerate() {
        match question(frame, places) {
            Ok((key, source, address)) => {
                let group = groups.entry(key).or_insert_with(|| Group {
                    source,
                    positions: Vec::new(),
                    addresses: Vec::new(),
                });
                group.positions.push(position);
                group.addresses.push(address);
            }
            Err(miss) => names[position] = Err(miss),
        }
    }
    let (kernel, others): (Vec<Group>, Vec<Group>) = groups
        .into_values()
        .partition(|group| matches!(group.source, Source::Kernel));
    for (position, named) in ask_all(&kernel, &others, detail) {
        names[position] = named;
    }
    names
}

/// Asks for the kernel's names and all others at the same time; returns them with the positions of their frames.
fn ask_all(kernel: &[Group], others: &[Group], detail: Detail) -> Vec<(usize, Named)> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("names".to_owned())
            .stack_size(DEEP_STACK)
            .spawn_scoped(scope, || ask(others, detail));
        let mut answers = ask(kernel, detail);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(others)) => answers.extend(others),
            // No thread to be had (or it failed): slower, and less safe against debug information made to hurt.
            Ok(Err(_)) | Err(_) => answers.extend(ask(others, detail)),
        }
        answers
    })
}

fn ask(groups: &[Group], detail: Detail) -> Vec<(usize, Named)> {
    let mut answers = Vec::new();
    for group in groups {
        let symbolizer = Symbolizer::new(group.detail(detail), Options::default());
        let names = symbolizer.symbolize(&group.source, &group.addresses);
        answers.extend(group.positions.iter().copied().zip(names));
    }
    answers
}

/// Addresses of one source.
struct Group {
    source: Source,
    positions: Vec<usize>,
    addresses: Vec<ElfAddr>,
}

impl Group {
    /// What has no file is named in any case: whoever reads the profile has nothing to name it by.
    fn detail(&self, asked: Detail) -> Detail {
        let has_file = match &self.source {
            Source::Binary(binary) => binary.path() != Path::new("[vdso]"),
            Source::Kernel | Source::PerfMap(_) => false,
        };
        if asked == Detail::None && !has_file {
            Detail::Functions
        } else {
            asked
        }
    }
}

/// What makes two sources the same.
#[derive(PartialEq, Eq, Hash)]
enum SourceKey {
    Kernel,
    PerfMap(u32),
    /// By address of the shared binary, which its group keeps alive.
    Binary(usize),
}

/// Whom to ask for the name of a frame, and by which address; or why nobody can be asked.
fn question(frame: &Frame, places: &[&Place]) -> Result<(SourceKey, Source, ElfAddr), Miss> {
    let index = frame
        .mapping
        .ok_or_else(|| Miss::Unreadable("the address is in no mapping".to_owned()))?;
    let (pid, mapping) = match places[index.position()] {
        Place::Kernel => return Ok((SourceKey::Kernel, Source::Kernel, ElfAddr(frame.address))),
        Place::User { pid, mapping } => (*pid, mapping),
    };
    if let Some(binary) = mapping.binary() {
        let address = mapping
            .elf_addr(ProcAddr(frame.address))
            .ok_or(Miss::NoSymbol)?;
        let key = SourceKey::Binary(Arc::as_ptr(binary) as usize);
        return Ok((key, Source::Binary(Arc::clone(binary)), address));
    }
    match mapping.kind {
        MappingKind::Anonymous | MappingKind::Memfd => Ok((
            SourceKey::PerfMap(pid),
            Source::PerfMap(ProcFs::new().perf_map(pid)),
            ElfAddr(frame.address),
        )),
        MappingKind::File | MappingKind::Vdso => Err(Miss::Unreadable(
            mapping
                .binary_error()
                .map_or_else(|| "not opened".to_owned(), |error| error.to_string()),
        )),
        _ => Err(Miss::NoSymbol),
    }
}

fn lines(named: &Named) -> Vec<Line<'_>> {
    named
        .iter()
        .flatten()
        .map(|function| Line {
            name: &function.name,
            system_name: &function.system_name,
            file: &function.file,
            line: function.line,
            start_line: 0,
        })
        .collect()
}

fn pprof_mapping(place: &Place) -> pprof::Mapping {
    match place {
        Place::Kernel => pprof::Mapping {
            start: KERNEL_START,
            limit: KERNEL_LIMIT,
            offset: 0,
            file: "[kernel.kallsyms]".to_owned(),
            build_id: Vec::new(),
        },
        Place::User { mapping, .. } => {
            let range = mapping.profile_range();
            pprof::Mapping {
                start: range.start.0,
                limit: range.limit.0,
                offset: range.offset.0,
                file: file_name(mapping),
                build_id: mapping
                    .build_id()
                    .map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
            }
        }
    }
}

/// `Mapping.file`: the path in the process's view. What no file is behind has a name in brackets, which pprof's tools
/// do not try to open.
fn file_name(mapping: &Mapping) -> String {
    match mapping.kind {
        MappingKind::Anonymous => "[jit]".to_owned(),
        _ => mapping.path.to_string_lossy().into_owned(),
    }
}

/// The main binary that most samples are of; of the processes asked for, if any were.
fn main_mapping(aggregate: &Aggregate) -> Option<MappingIndex> {
    let mains = aggregate.mappings.mains();
    if mains.len() <= 1 {
        return mains.first().copied();
    }
    let mut samples: BTreeMap<MappingIndex, u64> = BTreeMap::new();
    for stack in aggregate.stacks() {
        let mut seen: Vec<MappingIndex> = stack
            .frames
            .iter()
            .filter_map(|frame| aggregate.frames()[frame.position()].mapping)
            .filter(|mapping| mains.contains(mapping))
            .collect();
        seen.dedup();
        seen.into_iter()
            .for_each(|mapping| *samples.entry(mapping).or_insert(0) += stack.count);
    }
    let most = samples
        .into_iter()
        .max_by_key(|(index, count)| (*count, std::cmp::Reverse(*index)));
    most.map(|(index, _)| index)
        .or_else(|| mains.first().copied())
}

fn count_names(aggregate: &Aggregate, places: &[&Place], names: &[Named], summary: &mut Summary) {
    let mut counts = vec![0; names.len()];
    for stack in aggregate.stacks() {
        for frame in stack.frames {
            counts[frame.position()] += stack.count;
        }
    }
    for ((frame, named), count) in aggregate.frames().iter().zip(names).zip(counts) {
        match named {
            Ok(_) => summary.frames.named += count,
            Err(miss) => {
                let blame = blame(frame, places, miss);
                *summary.frames.not_named.entry(blame).or_insert(0) += count;
            }
        }
    }
}

fn blame(frame: &Frame, places: &[&Place], miss: &Miss) -> Blame {
    let place = frame.mapping.map(|index| places[index.position()]);
    let (binary, build_id) = match place {
        None => ("addresses".to_owned(), None),
        Some(Place::Kernel) => ("kernel".to_owned(), None),
        Some(Place::User { mapping, .. }) => {
            let name = file_name(mapping);
            let base = Path::new(&name)
                .file_name()
                .map_or_else(|| name.clone(), |base| base.to_string_lossy().into_owned());
            (base, mapping.build_id())
        }
    };
    let reason = match (miss, build_id) {
        (Miss::Stripped, Some(id)) => format!("stripped, no debug file for build-id {id}"),
        (Miss::Stripped, None) => "stripped, without build-id".to_owned(),
        (Miss::Unreadable(_), _) if place.is_none() => {
            "in no mapping (a stack without frame pointers, or a process that ended first)"
                .to_owned()
        }
        (miss, _) => miss.to_string(),
    };
    Blame { binary, reason }
}

fn comments(config: &Config, places: &[&Place], summary: &Summary) -> Vec<String> {
    let uname = rustix::system::uname();
    let mut comments = vec![
        format!(
            "profiler {} on Linux {} {}",
            env!("CARGO_PKG_VERSION"),
            uname.release().to_string_lossy(),
            uname.machine().to_string_lossy()
        ),
        format!(
            "event: cpu-clock (software) on every CPU at {} Hz",
            config.frequency_hz
        ),
    ];
    comments.extend(config.selection());
    comments.extend(summary.comments());
    let mut deleted: Vec<String> = places
        .iter()
        .filter_map(|place| match place {
            Place::User { mapping, .. } if mapping.deleted => Some(format!(
                "deleted or replaced while running: {}",
                file_name(mapping)
            )),
            _ => None,
        })
        .collect();
    deleted.sort_unstable();
    deleted.dedup();
    comments.extend(deleted);
    comments
}

fn nanos_since_1970(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}
