//! The merged profile as a message: without samples that came to nothing, and without what only those had.

use super::stacks::Stacks;
use super::tables::{entry, index};
use super::{Merge, MergedSample};
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
        samples.retain(|sample| sample.values.iter().any(|value| *value != 0));
        let main = if self.filter.is_empty() {
            tables.mappings.first().map(|first| first.id)
        } else {
            main_mapping(&samples, &self.stacks, &tables.locations)
        };
        let mut labels: Vec<_> = self.labels.into_iter().collect();
        labels.sort_unstable_by_key(|(_, number)| *number);
        message.sample = samples
            .iter()
            .map(|sample| proto::Sample {
                location_id: self
                    .stacks
                    .innermost_first(sample.stack)
                    .map(u64::from)
                    .collect(),
                value: sample.values.to_vec(),
                label: labels[sample.labels as usize].0.to_vec(),
            })
            .collect();
        let mut locations = Numbers::new(tables.locations.len());
        let mut mappings = Numbers::new(tables.mappings.len());
        let mut functions = Numbers::new(tables.functions.len());
        if let Some(main) = main {
            mappings.number(main);
        }
        for id in message
            .sample
            .iter_mut()
            .flat_map(|sample| &mut sample.location_id)
        {
            *id = locations.number(*id);
        }
        message.location = locations.in_order(&tables.locations);
        for location in &mut message.location {
            location.id = locations.number(location.id);
            location.mapping_id = mappings.number(location.mapping_id);
            for line in &mut location.line {
                line.function_id = functions.number(line.function_id);
            }
        }
        message.mapping = mappings.in_order(&tables.mappings);
        for mapping in &mut message.mapping {
            mapping.id = mappings.number(mapping.id);
        }
        message.function = functions.in_order(&tables.functions);
        for function in &mut message.function {
            function.id = functions.number(function.id);
        }
        message.string_table = tables.strings.into_table();
        message
    }
}

/// The mapping that most samples were in: the first of a filtered profile is that of what was asked for, not of what
/// happened to be first on the machine.
fn main_mapping(
    samples: &[MergedSample],
    stacks: &Stacks,
    locations: &[proto::Location],
) -> Option<u64> {
    let mut counts = std::collections::BTreeMap::<u64, i64>::new();
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

/// New ids in the order in which they are asked for.
struct Numbers {
    /// By the old id less one; 0 for those nobody asked for.
    new: Vec<u64>,
    old: Vec<u64>,
}

impl Numbers {
    fn new(count: usize) -> Self {
        Self {
            new: vec![0; count],
            old: Vec::new(),
        }
    }

    /// The new id; 0, which is none, stays 0.
    fn number(&mut self, id: u64) -> u64 {
        if id == 0 {
            return 0;
        }
        let new = &mut self.new[index(id)];
        if *new == 0 {
            self.old.push(id);
            *new = self.old.len() as u64;
        }
        *new
    }

    /// What has been asked for, with its old ids.
    fn in_order<T: Clone>(&self, table: &[T]) -> Vec<T> {
        self.old
            .iter()
            .map(|&id| entry(table, id).clone())
            .collect()
    }
}
