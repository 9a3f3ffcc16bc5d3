//! A profile as text, for golden tests and for people: every field that the writer fills, in the file's order.
//!
//! Unlike pprof's `-raw` it changes nothing, symbolizes nothing and knows no local time. Whether the profile is valid is
//! left to others: an index that leads nowhere is shown as such.

use std::fmt::{self, Write as _};

use super::proto;

/// The dump of a decoded profile.
pub fn text(profile: &proto::Profile) -> String {
    let mut out = String::new();
    write_profile(&mut out, &Dump(profile)).expect("writing to a String does not fail");
    out
}

/// A profile with its strings looked up.
struct Dump<'a>(&'a proto::Profile);

impl Dump<'_> {
    fn string(&self, index: i64) -> String {
        let string = usize::try_from(index)
            .ok()
            .and_then(|index| self.0.string_table.get(index));
        string.map_or_else(
            || format!("<no string {index}>"),
            |string| format!("{string:?}"),
        )
    }

    fn value_type(&self, value_type: &proto::ValueType) -> String {
        format!(
            "{} {}",
            self.string(value_type.r#type),
            self.string(value_type.unit)
        )
    }
}

fn write_profile(out: &mut String, dump: &Dump<'_>) -> fmt::Result {
    let profile = dump.0;
    for value_type in &profile.sample_type {
        writeln!(out, "sample type {}", dump.value_type(value_type))?;
    }
    writeln!(out, "default {}", dump.string(profile.default_sample_type))?;
    if let Some(period_type) = &profile.period_type {
        writeln!(
            out,
            "period {} {}",
            profile.period,
            dump.value_type(period_type)
        )?;
    }
    writeln!(
        out,
        "time {} duration {}",
        profile.time_nanos, profile.duration_nanos
    )?;
    for &comment in &profile.comment {
        writeln!(out, "comment {}", dump.string(comment))?;
    }
    write_mappings(out, dump)?;
    write_locations(out, dump)?;
    for function in &profile.function {
        let name = dump.string(function.name);
        let system_name = dump.string(function.system_name);
        let file = dump.string(function.filename);
        writeln!(
            out,
            "function {}: {name} {system_name} {file}:{}",
            function.id, function.start_line
        )?;
    }
    write_samples(out, dump)
}

fn write_mappings(out: &mut String, dump: &Dump<'_>) -> fmt::Result {
    for mapping in &dump.0.mapping {
        write!(
            out,
            "mapping {}: {:#x}-{:#x} offset {:#x} {} {}",
            mapping.id,
            mapping.memory_start,
            mapping.memory_limit,
            mapping.file_offset,
            dump.string(mapping.filename),
            dump.string(mapping.build_id),
        )?;
        let flags = [
            (mapping.has_functions, "functions"),
            (mapping.has_filenames, "filenames"),
            (mapping.has_line_numbers, "line_numbers"),
            (mapping.has_inline_frames, "inline_frames"),
        ];
        for (_, name) in flags.into_iter().filter(|&(set, _)| set) {
            write!(out, " {name}")?;
        }
        out.push('\n');
    }
    Ok(())
}

fn write_locations(out: &mut String, dump: &Dump<'_>) -> fmt::Result {
    for location in &dump.0.location {
        let folded = if location.is_folded { " folded" } else { "" };
        writeln!(
            out,
            "location {}: mapping {} {:#x}{folded}",
            location.id, location.mapping_id, location.address
        )?;
        for line in &location.line {
            writeln!(out, "  function {} line {}", line.function_id, line.line)?;
        }
    }
    Ok(())
}

fn write_samples(out: &mut String, dump: &Dump<'_>) -> fmt::Result {
    for sample in &dump.0.sample {
        writeln!(out, "sample {:?} at {:?}", sample.value, sample.location_id)?;
        for label in &sample.label {
            let key = dump.string(label.key);
            if label.str == 0 {
                writeln!(
                    out,
                    "  {key} = {} {}",
                    label.num,
                    dump.string(label.num_unit)
                )?;
            } else {
                writeln!(out, "  {key} = {}", dump.string(label.str))?;
            }
        }
    }
    Ok(())
}
