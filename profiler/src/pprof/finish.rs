//! The end of a builder: everything is sorted, gets its final id, and goes into one message.
//!
//! Ids in the message depend on the data alone: mappings are numbered by address, locations by mapping and address,
//! functions and strings by first use from there. Encoding is left to [`super::profile`].

use std::collections::HashMap;

use super::functions::FunctionWriter;
use super::labels::Label;
use super::locations::LocationId;
use super::strings::Strings;
use super::usage::Uses;
use super::{Builder, Key, proto};

/// The message for what was collected.
pub(super) fn write(builder: Builder) -> proto::Profile {
    let mut strings = Strings::new();
    let count_type = value_type("samples", "count", &mut strings);
    // Samples that are not of time have no CPU time, and none is made up for them.
    let cpu_type =
        (builder.header.period_ns > 0).then(|| value_type("cpu", "nanoseconds", &mut strings));
    let used = used_locations(&builder);
    let (mapping, mapping_numbers) = builder.mappings.write(&uses(&builder, &used), &mut strings);

    let mut order = used;
    order.sort_unstable_by_key(|&id| {
        let location = builder.locations.get(id);
        let mapping = location
            .mapping
            .map_or(0, |mapping| mapping_numbers[mapping]);
        (mapping, location.address)
    });
    let mut functions = FunctionWriter::new(&builder.functions);
    let mut location_numbers = vec![0; builder.locations.len()];
    let mut location = Vec::with_capacity(order.len());
    for (id, number) in order.into_iter().zip(1..) {
        location_numbers[id.0] = number;
        let entry = builder.locations.get(id);
        location.push(entry.message(number, &mapping_numbers, &mut functions, &mut strings));
    }
    let header = &builder.header;
    let sample = samples(
        builder.samples,
        &location_numbers,
        header.period_ns,
        &mut strings,
    );
    let comments = header.comments.iter().filter(|comment| !comment.is_empty());
    proto::Profile {
        sample_type: [Some(count_type), cpu_type].into_iter().flatten().collect(),
        sample,
        mapping,
        location,
        function: functions.into_messages(),
        time_nanos: signed(header.time_ns),
        duration_nanos: signed(header.duration_ns),
        period_type: Some(cpu_type.unwrap_or(count_type)),
        period: signed(header.period_ns.max(1)),
        comment: comments.map(|comment| strings.intern(comment)).collect(),
        default_sample_type: cpu_type.unwrap_or(count_type).r#type,
        string_table: strings.into_table(),
        ..proto::Profile::default()
    }
}

/// The locations that samples have, each once; others would be baggage.
fn used_locations(builder: &Builder) -> Vec<LocationId> {
    let mut used = vec![false; builder.locations.len()];
    for id in builder.samples.keys().flat_map(|key| &*key.stack) {
        used[id.0] = true;
    }
    (0..used.len())
        .filter(|&index| used[index])
        .map(LocationId)
        .collect()
}

fn uses(builder: &Builder, locations: &[LocationId]) -> Uses {
    let mut uses = Uses::none(builder.mappings.len());
    for &id in locations {
        let location = builder.locations.get(id);
        if let Some(mapping) = location.mapping {
            uses[mapping].add_location(location.known(&builder.functions));
        }
    }
    for (key, &count) in &builder.samples {
        let leaf = key.stack.first().map(|&id| builder.locations.get(id));
        if let Some(mapping) = leaf.and_then(|leaf| leaf.mapping) {
            uses[mapping].add_samples(count);
        }
    }
    uses
}

/// The samples by stack from the root, then by labels, with the ids that locations have in the profile.
fn samples(
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
            value: [count, count.saturating_mul(period_ns)]
                .into_iter()
                .take(if period_ns > 0 { 2 } else { 1 })
                .map(signed)
                .collect(),
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
