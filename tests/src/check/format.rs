//! Is it a profile at all: ids, indices, types, header.

use std::collections::HashSet;

use profiler::pprof::proto;

use super::{Report, Rule, text};

/// 2001-09-09 in nanoseconds; anything before is a time in another unit.
const EARLIEST_TIME_NS: i64 = 1_000_000_000_000_000_000;

pub(super) fn check(message: &proto::Profile, report: &mut Report) {
    strings(message, report);
    ids(
        "mapping",
        message.mapping.iter().map(|mapping| mapping.id),
        report,
    );
    ids(
        "location",
        message.location.iter().map(|location| location.id),
        report,
    );
    ids(
        "function",
        message.function.iter().map(|function| function.id),
        report,
    );
    references(message, report);
    header(message, report);
}

/// Every index leads to a string, every string is there once and for something, and the first is empty.
fn strings(message: &proto::Profile, report: &mut Report) {
    let table = &message.string_table;
    report.expect(
        table.first().is_some_and(String::is_empty),
        Rule::Format,
        || "string 0 is not empty".to_owned(),
    );
    let distinct: HashSet<_> = table.iter().collect();
    report.expect(distinct.len() == table.len(), Rule::Baggage, || {
        "a string is there twice".to_owned()
    });

    let mut used = vec![false; table.len()];
    for index in indices(message) {
        match usize::try_from(index)
            .ok()
            .and_then(|index| used.get_mut(index))
        {
            Some(used) => *used = true,
            None => report.add(Rule::Format, format!("no string {index}")),
        }
    }
    for (index, _) in used.iter().enumerate().skip(1).filter(|&(_, used)| !used) {
        report.add(
            Rule::Baggage,
            format!("nothing uses string {index}, {:?}", table[index]),
        );
    }
}

/// All indices into the string table.
fn indices(message: &proto::Profile) -> Vec<i64> {
    let types = message.sample_type.iter().chain(&message.period_type);
    let mut indices = vec![
        message.drop_frames,
        message.keep_frames,
        message.default_sample_type,
    ];
    indices.extend(&message.comment);
    indices.extend(types.flat_map(|value_type| [value_type.r#type, value_type.unit]));
    indices.extend(
        message
            .mapping
            .iter()
            .flat_map(|mapping| [mapping.filename, mapping.build_id]),
    );
    let functions = message.function.iter();
    indices.extend(
        functions.flat_map(|function| [function.name, function.system_name, function.filename]),
    );
    let labels = message.sample.iter().flat_map(|sample| &sample.label);
    indices.extend(labels.flat_map(|label| [label.key, label.str, label.num_unit]));
    indices
}

/// Ids count from 1, which makes them unique and dense.
fn ids(what: &str, ids: impl Iterator<Item = u64>, report: &mut Report) {
    for (id, wanted) in ids.zip(1..) {
        report.expect(id == wanted, Rule::Format, || {
            format!("{what} {wanted} has id {id}")
        });
    }
}

/// Every id that something refers to exists, and everything is referred to.
fn references(message: &proto::Profile, report: &mut Report) {
    let mappings: HashSet<u64> = message.mapping.iter().map(|mapping| mapping.id).collect();
    let mut locations: HashSet<u64> = message
        .location
        .iter()
        .map(|location| location.id)
        .collect();
    let mut functions: HashSet<u64> = message
        .function
        .iter()
        .map(|function| function.id)
        .collect();
    for location in &message.location {
        let mapping = location.mapping_id;
        report.expect(
            mapping == 0 || mappings.contains(&mapping),
            Rule::Format,
            || {
                format!(
                    "location {} is in mapping {mapping}, which is not there",
                    location.id
                )
            },
        );
    }
    let used = message
        .location
        .iter()
        .flat_map(|location| &location.line)
        .map(|line| line.function_id);
    all_there("function", used, &mut functions, report);
    let used = message
        .sample
        .iter()
        .flat_map(|sample| sample.location_id.iter().copied());
    all_there("location", used, &mut locations, report);
}

fn all_there(
    what: &str,
    used: impl Iterator<Item = u64>,
    there: &mut HashSet<u64>,
    report: &mut Report,
) {
    let used: HashSet<u64> = used.collect();
    for id in used.difference(there) {
        report.add(Rule::Format, format!("no {what} {id}"));
    }
    for id in there.difference(&used) {
        report.add(Rule::Baggage, format!("nothing uses {what} {id}"));
    }
}

fn header(message: &proto::Profile, report: &mut Report) {
    let mut expect = |is_kept, what: &str| report.expect(is_kept, Rule::Header, || what.to_owned());
    let name = |value_type: &proto::ValueType| {
        (
            text(message, value_type.r#type),
            text(message, value_type.unit),
        )
    };
    let types: Vec<_> = message.sample_type.iter().map(name).collect();
    let of_time = [("samples", "count"), ("cpu", "nanoseconds")];
    // The threads of a core file are counted, and took no time.
    let is_counted = types == of_time[..1];
    expect(
        types == of_time || is_counted,
        "sample types are neither samples/count and cpu/nanoseconds nor samples/count alone",
    );
    let last = if is_counted { of_time[0] } else { of_time[1] };
    let period_type = message.period_type.as_ref().map(name);
    expect(
        period_type == Some(last),
        "period type is not that of the last values",
    );
    let default = text(message, message.default_sample_type);
    expect(
        ["", last.0].contains(&default),
        "default sample type is not the last",
    );
    expect(
        !is_counted || message.period == 1,
        "the period of a number is not 1",
    );
    expect(message.period > 0, "no period");
    expect(
        message.time_nanos >= EARLIEST_TIME_NS,
        "time is not in nanoseconds since 1970",
    );
    expect(
        (message.duration_nanos > 0) != is_counted,
        "no duration, or one of what took no time",
    );
    expect(
        message.comment.iter().all(|&comment| comment != 0),
        "an empty comment",
    );
    expect(
        message.drop_frames == 0 && message.keep_frames == 0,
        "frames are to be dropped",
    );
}
