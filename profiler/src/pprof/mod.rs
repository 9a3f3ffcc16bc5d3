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

mod contents;
mod decode;
mod finish;
mod functions;
mod labels;
mod locations;
mod mappings;
mod merge;
mod profile;
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod proto;
mod relabel;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod usage;

use std::collections::HashMap;

#[cfg(test)]
pub(crate) use contents::SampleContents;
pub(crate) use contents::{Contents, LabelValue, Text, ValueType};
pub use decode::ReadError;
pub use functions::Line;
pub use labels::Label;
pub use locations::LocationId;
pub use mappings::{Mapping, MappingId};
pub use merge::{By, Filter, Merge, MergeError, Total, Tree, TreeNode};
pub use profile::Profile;
pub(crate) use relabel::relabel;
pub use text::text;

use functions::Functions;
use locations::{Conflict, Locations};
use mappings::Mappings;

/// What a profile says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// CPU time that one sample stands for, in nanoseconds; 0 when samples are not of time, as the threads of a core
    /// file are not: then only their number is written.
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

    /// Adds a sentence for people behind those of the header, for example what [`Builder::corrections`] says.
    pub fn comment(&mut self, text: impl Into<String>) {
        self.header.comments.push(text.into());
    }

    /// What had to be left out up to now.
    pub fn corrections(&self) -> Corrections {
        self.corrections
    }

    /// Puts everything in its final order.
    pub fn finish(self) -> Profile {
        let corrections = self.corrections;
        Profile::new(finish::write(self), corrections)
    }
}
