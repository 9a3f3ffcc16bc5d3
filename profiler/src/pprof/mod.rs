//! Builds one pprof message and nothing else: no processes, no files, no clock.
//!
//! The format is described in `proto/profile.proto`; what pprof's tools make of it beyond that is the reason for
//! most rules here. The same data gives the same bytes: everything is sorted at the end, so that the order in which
//! samples, locations and mappings come does not matter.
//!
//! ```
//! use profiler::pprof::{Builder, Header, Line, Mapping};
//!
//! let mut builder = Builder::new(Header {
//!     period_ns: 10_101_010,
//!     time_ns: 1_700_000_000_000_000_000,
//!     duration_ns: 5_000_000_000,
//!     comments: vec!["event: cpu-clock".to_owned()],
//! });
//! let main = builder.mapping(Mapping {
//!     start: 0x1000,
//!     limit: 0x3000,
//!     offset: 0x1000,
//!     file: "/usr/bin/true".to_owned(),
//!     build_id: vec![0xab, 0xcd],
//! });
//! builder.set_main(main);
//! let leaf = builder.location(main, 0x1234, &[Line { name: "spin", ..Line::default() }]);
//! let caller = builder.location(main, 0x2345, &[]);
//! builder.add(&[leaf, caller], 3, &[]);
//! let profile = builder.finish();
//! assert_eq!(profile.message().sample[0].value, [3, 30_303_030]);
//! let bytes = profile.to_gzip();
//! assert_eq!(bytes[..2], [0x1f, 0x8b]);
//! ```

mod functions;
mod labels;
mod locations;
mod mappings;
mod profile;
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod proto;
mod strings;
mod text;

use std::collections::HashMap;

pub use functions::Line;
pub use labels::Label;
pub use locations::LocationId;
pub use mappings::{Mapping, MappingId};
pub use profile::Profile;
pub use text::text;

use functions::{FunctionWriter, Functions};
use locations::{Conflict, Locations};
use mappings::{Mappings, Uses};
use strings::Strings;

/// What a profile says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// CPU time that one sample stands for, in nanoseconds.
    pub period_ns: u64,
    /// When sampling began, in nanoseconds since 1970 (UTC).
    pub time_ns: u64,
    /// How long it went on, as measured, in nanoseconds.
    pub duration_ns: u64,
    /// Sentences for people; pprof's reports print those that do not begin with `#`.
    pub comments: Vec<String>,
}

/// What had to be left out of a profile, because a reader would have stumbled over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Corrections {
    /// Locations whose address was outside the mapping they were said to be in; written without mapping.
    ///
    /// Counted per call of [`Builder::location`].
    pub outside_mapping: u64,
    /// Times that an address got other names than before; one of them was kept.
    pub conflicting_names: u64,
    /// Labels without key, without value, with a second value for a key, or with a key of pprof's own.
    pub labels: u64,
}

/// Collects samples and the tables that they refer to.
///
/// Ids are good for the builder they come from; another one's make it panic or mean something else.
pub struct Builder {
    header: Header,
    mappings: Mappings,
    functions: Functions,
    locations: Locations,
    samples: HashMap<Key, u64>,
    corrections: Corrections,
}

/// What samples that are added up have in common.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// Innermost first.
    stack: Box<[LocationId]>,
    labels: Box<[Label]>,
}

impl Builder {
    /// A profile without samples.
    pub fn new(header: Header) -> Self {
        Self {
            header,
            mappings: Mappings::default(),
            functions: Functions::default(),
            locations: Locations::default(),
            samples: HashMap::new(),
            corrections: Corrections::default(),
        }
    }

    /// Adds a mapping, or finds the equal one. It is written only if a sample has an address in it.
    pub fn mapping(&mut self, mapping: Mapping) -> MappingId {
        self.mappings.intern(mapping)
    }

    /// Says which mapping is the main binary: it becomes mapping 1, with samples or without.
    ///
    /// When this is never called (system-wide), the file with most samples at its own code becomes mapping 1.
    pub fn set_main(&mut self, mapping: MappingId) {
        self.mappings.set_main(mapping);
    }

    /// Adds an address of a process, or finds it, with the functions it belongs to, innermost first; no lines when
    /// nothing is known of it. Callers have their return address minus one.
    ///
    /// An address outside the mapping would cost the whole mapping its names in google/pprof; it becomes one
    /// without mapping, and is counted.
    pub fn location(&mut self, mapping: MappingId, address: u64, lines: &[Line<'_>]) -> LocationId {
        if !self.mappings.contains(mapping, address) {
            self.corrections.outside_mapping += 1;
            return self.unmapped(address);
        }
        let (id, conflict) = self
            .locations
            .intern(mapping, address, lines, &mut self.functions);
        if let Some(Conflict) = conflict {
            self.corrections.conflicting_names += 1;
        }
        id
    }

    /// Adds an address that no mapping has, or finds it.
    pub fn unmapped(&mut self, address: u64) -> LocationId {
        self.locations.intern_unmapped(address)
    }

    /// Adds `count` samples with a stack, innermost frame first, and labels in any order.
    ///
    /// Samples with equal stacks and labels become one. A stack may be empty.
    pub fn add(&mut self, stack: &[LocationId], count: u64, labels: &[Label]) {
        if count == 0 {
            return;
        }
        let kept = labels::canonical(labels);
        self.corrections.labels += (labels.len() - kept.len()) as u64;
        let key = Key {
            stack: stack.into(),
            labels: kept,
        };
        let sum = self.samples.entry(key).or_insert(0);
        *sum = sum.saturating_add(count);
    }

    /// Puts everything in its final order.
    pub fn finish(self) -> Profile {
        let corrections = self.corrections;
        Profile::new(self.write(), corrections)
    }

    fn write(self) -> proto::Profile {
        let mut strings = Strings::new();
        let count_type = value_type("samples", "count", &mut strings);
        let cpu_type = value_type("cpu", "nanoseconds", &mut strings);
        let used = self.used_locations();
        let (mapping, mapping_numbers) = self.mappings.write(&self.uses(&used), &mut strings);

        let mut order: Vec<LocationId> = used;
        order.sort_unstable_by_key(|&id| {
            let location = self.locations.get(id);
            let mapping = location
                .mapping
                .map_or(0, |mapping| mapping_numbers[mapping]);
            (mapping, location.address)
        });
        let mut functions = FunctionWriter::new(&self.functions);
        let mut location_numbers = vec![0; self.locations.len()];
        let mut location = Vec::with_capacity(order.len());
        for (id, number) in order.into_iter().zip(1..) {
            location_numbers[id.0] = number;
            let entry = self.locations.get(id);
            location.push(entry.message(number, &mapping_numbers, &mut functions, &mut strings));
        }
        let sample = write_samples(
            self.samples,
            &location_numbers,
            self.header.period_ns,
            &mut strings,
        );
        let comments = self
            .header
            .comments
            .iter()
            .filter(|comment| !comment.is_empty());
        proto::Profile {
            sample_type: vec![count_type, cpu_type],
            sample,
            mapping,
            location,
            function: functions.into_messages(),
            time_nanos: signed(self.header.time_ns),
            duration_nanos: signed(self.header.duration_ns),
            period_type: Some(cpu_type),
            period: signed(self.header.period_ns),
            comment: comments.map(|comment| strings.intern(comment)).collect(),
            default_sample_type: cpu_type.r#type,
            string_table: strings.into_table(),
            ..proto::Profile::default()
        }
    }

    /// The locations that samples have, each once.
    fn used_locations(&self) -> Vec<LocationId> {
        let mut used = vec![false; self.locations.len()];
        for id in self.samples.keys().flat_map(|key| &*key.stack) {
            used[id.0] = true;
        }
        (0..used.len())
            .filter(|&index| used[index])
            .map(LocationId)
            .collect()
    }

    fn uses(&self, locations: &[LocationId]) -> Uses {
        let mut uses = self.mappings.no_uses();
        for &id in locations {
            let location = self.locations.get(id);
            if let Some(mapping) = location.mapping {
                uses[mapping].add_location(location.known(&self.functions));
            }
        }
        for (key, count) in &self.samples {
            let leaf = key.stack.first().map(|&id| self.locations.get(id));
            if let Some(mapping) = leaf.and_then(|leaf| leaf.mapping) {
                uses[mapping].leaf_samples += count;
            }
        }
        uses
    }
}

/// The samples by stack from the root, then by labels, with the ids that locations have in the profile.
fn write_samples(
    samples: HashMap<Key, u64>,
    location_numbers: &[u64],
    period_ns: u64,
    strings: &mut Strings,
) -> Vec<proto::Sample> {
    let mut samples: Vec<(Vec<u64>, Box<[Label]>, u64)> = samples
        .into_iter()
        .map(|(key, count)| {
            let stack = key.stack.iter().map(|id| location_numbers[id.0]).collect();
            (stack, key.labels, count)
        })
        .collect();
    samples.sort_unstable_by(|(stack, labels, _), (other_stack, other_labels, _)| {
        let by_stack = stack.iter().rev().cmp(other_stack.iter().rev());
        by_stack.then_with(|| labels.cmp(other_labels))
    });
    let messages = samples
        .into_iter()
        .map(|(location_id, labels, count)| proto::Sample {
            location_id,
            value: vec![signed(count), signed(count.saturating_mul(period_ns))],
            label: labels.iter().map(|label| label.message(strings)).collect(),
        });
    messages.collect()
}

fn value_type(name: &str, unit: &str, strings: &mut Strings) -> proto::ValueType {
    proto::ValueType {
        r#type: strings.intern(name),
        unit: strings.intern(unit),
    }
}

/// The format has signed numbers where ours have no sign; 2^63 nanoseconds are 292 years.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
