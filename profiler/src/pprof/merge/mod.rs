//! Profiles into one, as `pprof -proto` merges files, and what can be said of it at a glance: totals and a tree.
//!
//! Profiles are added one after another and are not kept; what grows is what is different in them, up to a bound. Which
//! profiles, and who asks, is left to others.

mod filter;
mod header;
mod stacks;
mod tables;
#[cfg(test)]
mod tests;
mod totals;
mod tree;
mod write;

use std::collections::HashMap;

pub use filter::Filter;
pub use totals::Total;
pub use tree::{By, Tree, TreeNode};

use super::decode::decode;
use super::{ReadError, proto};
use header::Header;
use stacks::{ROOT, Stacks};
use tables::{Source, Tables};

/// The most bytes that a merge takes in memory before it takes no more profiles; roughly.
const LARGEST: usize = 256 << 20;

/// Why a profile was not merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// It is no profile.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It counts something else than the others.
    #[error(
        "the profile counts {this} and those before it {before}; merge profiles of one kind only"
    )]
    Incompatible {
        /// Types and units of this profile.
        this: String,
        /// Types and units of those before.
        before: String,
    },
    /// There is more that is different than memory may be taken for.
    #[error(
        "the profiles have more than {} MiB of different stacks; ask for a shorter time, or for one process or program",
        LARGEST >> 20
    )]
    TooLarge,
}

/// Profiles that are being merged.
pub struct Merge {
    filter: Filter,
    /// Of the first profile on; nothing before.
    header: Option<Header>,
    tables: Tables,
    stacks: Stacks,
    labels: HashMap<Box<[proto::Label]>, u32>,
    /// Where in `samples` those of a stack with labels are.
    positions: HashMap<(u32, u32), usize>,
    samples: Vec<MergedSample>,
}

/// Equal samples.
struct MergedSample {
    stack: u32,
    labels: u32,
    values: Box<[i64]>,
}

impl Merge {
    /// Nothing yet; only samples that `filter` takes will be.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            header: None,
            tables: Tables::new(),
            stacks: Stacks::new(),
            labels: HashMap::new(),
            positions: HashMap::new(),
            samples: Vec::new(),
        }
    }

    /// Adds the profile in `gzipped`.
    ///
    /// # Errors
    ///
    /// When it is no profile, counts something else than those before, or is too much. What was merged before stays as it was.
    pub fn add(&mut self, gzipped: &[u8]) -> Result<(), MergeError> {
        if self.size() > LARGEST {
            return Err(MergeError::TooLarge);
        }
        self.add_message(&decode(gzipped)?)
    }

    /// Adds a profile that has been decoded.
    pub(super) fn add_message(&mut self, message: &proto::Profile) -> Result<(), MergeError> {
        header::check(message)?;
        let mut source = Source::new(message);
        match &mut self.header {
            Some(header) => header.add(message)?,
            None => self.header = Some(Header::new(message)),
        }
        if self.filter.is_empty()
            && self.tables.mappings.is_empty()
            && let Some(main) = message.mapping.first()
        {
            // The first mapping is the main binary, whether there are samples of it or not.
            source.mapping(&mut self.tables, main.id);
        }
        for sample in &message.sample {
            let is_zero = sample.value.iter().all(|value| *value == 0);
            if !is_zero && self.filter.takes(message, sample) {
                self.add_sample(&mut source, sample);
            }
        }
        Ok(())
    }

    fn add_sample(&mut self, source: &mut Source<'_>, sample: &proto::Sample) {
        let mut stack = ROOT;
        for &id in sample.location_id.iter().rev() {
            let location = source.location(&mut self.tables, id);
            let location = u32::try_from(location).expect("a profile is shorter than 2^32 bytes");
            stack = self.stacks.below(stack, location);
        }
        let labels = self.labels_of(source, sample);
        let next =
            u32::try_from(self.labels.len()).expect("a merge is ended before it has 2^32 sets");
        let labels = *self.labels.entry(labels).or_insert(next);
        let position = *self
            .positions
            .entry((stack, labels))
            .or_insert(self.samples.len());
        match self.samples.get_mut(position) {
            Some(equal) => {
                for (sum, value) in equal.values.iter_mut().zip(&sample.value) {
                    *sum = sum.saturating_add(*value);
                }
            }
            None => self.samples.push(MergedSample {
                stack,
                labels,
                values: sample.value.as_slice().into(),
            }),
        }
    }

    /// The labels of a sample that have a value, by key: the order of keys means nothing, and in this one pprof writes them. That
    /// of the values of a key stays.
    fn labels_of(
        &mut self,
        source: &mut Source<'_>,
        sample: &proto::Sample,
    ) -> Box<[proto::Label]> {
        let is_empty = |index: i64| source.said(index).is_empty();
        let has_value = |label: &&proto::Label| match label.str {
            0 => label.num != 0 || !is_empty(label.num_unit),
            text => !is_empty(text),
        };
        let mut labels: Vec<&proto::Label> = sample.label.iter().filter(has_value).collect();
        labels.sort_by_key(|label| (source.said(label.key), label.str == 0));
        let labels = labels.into_iter().map(|label| {
            let (num, num_unit) = match label.str {
                0 => (label.num, label.num_unit),
                _ => (0, 0),
            };
            proto::Label {
                key: source.text(&mut self.tables, label.key),
                str: source.text(&mut self.tables, label.str),
                num,
                num_unit: source.text(&mut self.tables, num_unit),
            }
        });
        labels.collect()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// About how many bytes it takes: entries with what tables need besides.
    fn size(&self) -> usize {
        let values = self.header.as_ref().map_or(0, Header::values);
        self.stacks.len() * 32
            + self.samples.len() * (80 + 8 * values)
            + self.labels.len() * 256
            + self.tables.locations.len() * 256
            + self.tables.functions.len() * 256
    }

    /// The position of the value that people look at first: the one the profile says, or else the last.
    fn main_value(&self) -> usize {
        self.header.as_ref().map_or(0, Header::main_value)
    }
}

/// The text of an index that has been checked.
fn text_of(strings: &[String], index: i64) -> &str {
    let index = usize::try_from(index).expect("decoding has checked every index");
    &strings[index]
}
