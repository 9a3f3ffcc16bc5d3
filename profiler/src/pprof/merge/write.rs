//! The merged profile as a message: without samples that came to nothing, and without what only those had.

use std::collections::BTreeMap;

use super::stacks::Stacks;
use super::tables::{entry, index};
use super::{Filter, Merge, MergedSample};
use crate::pprof::{Corrections, Profile, proto};

impl Merge {
    /// The merged profile, gzipped; without samples when nothing was added.
    pub fn finish(self) -> Vec<u8> {
        Profile::new(self.into_message(), Corrections::default()).to_gzip()
    }

    fn into_message(mut self) -> proto::Profile {
        let header = self.header.take();
        let mut tables = self.tables;
        let mut message = header.map_or_else(proto::Profile::default, |header| {
            header.write(&mut tables.strings)
        });
        let mut samples = self.samples;
        let count = samples.len();
        samples.retain(|sample| sample.values.iter().any(|value| *value != 0));
        let came_to_nothing = samples.len() < count;
        let main = if self.filter.is_empty() {
            None
        } else {
            main_mapping(&samples, &self.stacks, &tables.locations)
        };
        let mut labels: Vec<_> = self.labels.into_iter().collect();
        labels.sort_unstable_by_key(|(_, number)| *number);
        let samples = samples.iter().map(|sample| {
            let stack = self.stacks.innermost_first(sample.stack);
            proto::Sample {
                location_id: stack.map(u64::from).collect(),
                value: sample.values.to_vec(),
                label: labels[sample.labels as usize].0.to_vec(),
            }
        });
        message.sample = samples.collect();
        message.location = tables.locations;
        message.mapping = tables.mappings;
        message.function = tables.functions;
        message.string_table = tables.strings.into_table();
        if let Some(main) = main {
            put_first(&mut message, main);
        }
        if came_to_nothing {
            // Merged once more, as pprof does it, it loses what only those samples had.
            let mut again = Self::new(Filter::default());
            again
                .add_message(&message)
                .expect("there is nothing before it that it could contradict");
            return again.into_message();
        }
        message
    }
}

/// Makes the mapping with the id `main` the first.
fn put_first(message: &mut proto::Profile, main: u64) {
    message.mapping.swap(0, index(main));
    for (mapping, id) in message.mapping.iter_mut().zip(1..) {
        mapping.id = id;
    }
    for location in &mut message.location {
        location.mapping_id = match location.mapping_id {
            1 => main,
            id if id == main => 1,
            id => id,
        };
    }
}

/// The mapping that most samples were in: the first of a filtered profile is that of what was asked for, not of what
/// happened to be first on the machine.
fn main_mapping(
    samples: &[MergedSample],
    stacks: &Stacks,
    locations: &[proto::Location],
) -> Option<u64> {
    let mut counts = BTreeMap::<u64, i64>::new();
    for sample in samples {
        let leaf = stacks.innermost_first(sample.stack).next();
        let mapping = leaf.map_or(0, |leaf| entry(locations, u64::from(leaf)).mapping_id);
        let count = counts.entry(mapping).or_default();
        *count = count.saturating_add(sample.values.first().copied().unwrap_or(0));
    }
    counts.remove(&0);
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(mapping, _)| mapping)
}
