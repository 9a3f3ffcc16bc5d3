//! Locations and functions: addresses in their ranges, one entry each, names that pprof shows whole.

use std::collections::HashSet;

use profiler::pprof::proto;

use super::{Report, Rule, numbered, text};

/// Addresses from here on are the kernel's.
const FIRST_KERNEL_ADDRESS: u64 = 1 << 63;

pub(super) fn check(message: &proto::Profile, report: &mut Report) {
    let mut seen = HashSet::new();
    for location in &message.location {
        let (id, address) = (location.id, location.address);
        report.expect(
            seen.insert((location.mapping_id, address)),
            Rule::Names,
            || format!("location {id}: {address:#x} is there twice"),
        );
        match numbered(&message.mapping, location.mapping_id) {
            Some(mapping) => {
                let range = mapping.memory_start..mapping.memory_limit;
                report.expect(range.contains(&address), Rule::Addresses, || {
                    format!(
                        "location {id}: {address:#x} is outside mapping {}, {range:#x?}",
                        mapping.id
                    )
                });
            }
            None => unmapped(location, report),
        }
    }
    functions(message, report);
}

/// What no mapping has cannot have been named, and the kernel always has a mapping.
fn unmapped(location: &proto::Location, report: &mut Report) {
    let (id, address) = (location.id, location.address);
    report.expect(location.line.is_empty(), Rule::Specials, || {
        format!("location {id}: {address:#x} is in no mapping and has a name")
    });
    report.expect(address < FIRST_KERNEL_ADDRESS, Rule::Specials, || {
        format!("location {id}: the kernel's {address:#x} is in no mapping")
    });
}

fn functions(message: &proto::Profile, report: &mut Report) {
    let mut seen = HashSet::new();
    for function in &message.function {
        let id = function.id;
        let value = (
            function.name,
            function.system_name,
            function.filename,
            function.start_line,
        );
        report.expect(seen.insert(value), Rule::Names, || {
            format!("function {id} is there twice")
        });
        report.expect(
            function.name != 0 || function.filename != 0,
            Rule::Names,
            || format!("function {id} has neither name nor file; unknown means no line"),
        );
        // pprof demangles when both names are equal, and cuts <…> and (…) out of what then looks like C++.
        let name = text(message, function.name);
        let is_cut = function.name == function.system_name && name.contains(['<', '(']);
        report.expect(!is_cut, Rule::Names, || {
            format!("function {id}: pprof would shorten {name:?}, its own system name")
        });
    }
    let lines = message.location.iter().flat_map(|location| &location.line);
    report.expect(
        lines.clone().all(|line| line.line >= 0),
        Rule::Names,
        || "a negative line number".to_owned(),
    );
}
