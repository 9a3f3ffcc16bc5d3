//! From counted and named stacks to a profile: what it says of itself, and all that it has, handed to the writer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use crate::aggregate::{Aggregate, Counted, Frame, FrameIndex, MappingIndex, Place};
use crate::config::Config;
use crate::pprof::{self, Builder, Header, Label, Line, LocationId, MappingId, Profile};
use crate::process::{Mapping, MappingKind};
use crate::summary::{Blame, Summary};
use crate::symbolize::{Miss, Named};

/// The range of the one mapping that stands for the kernel: the upper half of the address space.
const KERNEL_START: u64 = 1 << 63;
const KERNEL_LIMIT: u64 = u64::MAX;

/// Counts which frames have names, and says what the profile is of.
pub(super) fn header(
    config: &Config,
    aggregate: &Aggregate,
    names: &[Named],
    started_at: SystemTime,
    summary: &mut Summary,
) -> Header {
    let places = places(aggregate);
    count_names(aggregate, &places, names, summary);
    Header {
        period_ns: config.period_ns(),
        time_ns: nanos_since_1970(started_at),
        duration_ns: summary.elapsed.as_nanos() as u64,
        comments: comments(config, &places, summary),
    }
}

/// Where frames lie, by index.
pub(super) fn places(aggregate: &Aggregate) -> Vec<&Place> {
    aggregate.mappings.iter().map(|(_, place)| place).collect()
}

/// Hands the wanted stacks, and all that they refer to, to the writer.
pub(super) fn build(
    header: Header,
    aggregate: &Aggregate,
    names: &[Named],
    is_wanted: impl Fn(&Counted<'_>) -> bool,
    labels: impl Fn(&Counted<'_>) -> Vec<Label>,
) -> Profile {
    let mut builder = Builder::new(header);
    let places = places(aggregate);
    let mut mappings: Vec<Option<MappingId>> = vec![None; places.len()];
    let mut mapping = |builder: &mut Builder, index: MappingIndex| {
        let position = index.position();
        *mappings[position].get_or_insert_with(|| builder.mapping(pprof_mapping(places[position])))
    };
    if let Some(main) = main_mapping(aggregate) {
        let main = mapping(&mut builder, main);
        builder.set_main(main);
    }
    let mut locations: Vec<Option<LocationId>> = vec![None; names.len()];
    let mut location = |builder: &mut Builder, index: FrameIndex| {
        let position = index.position();
        *locations[position].get_or_insert_with(|| {
            let frame = aggregate.frames()[position];
            match frame.mapping {
                None => builder.unmapped(frame.address),
                Some(index) => {
                    let mapping = mapping(builder, index);
                    builder.location(mapping, frame.address, &lines(&names[position]))
                }
            }
        })
    };
    for stack in aggregate.stacks().filter(is_wanted) {
        let frames = stack.frames.iter();
        let frames: Vec<LocationId> = frames.map(|frame| location(&mut builder, *frame)).collect();
        builder.add(&frames, stack.count, &labels(&stack));
    }
    builder.finish()
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
pub(super) fn file_name(mapping: &Mapping) -> String {
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
