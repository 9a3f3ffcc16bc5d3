//! `maps`: what a process has mapped, as a profile would have it or line by line.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::inputs::{Inputs, in_a_line, print, print_json, table};
use crate::addr::{FileOffset, ProcAddr};
use crate::process::{Mapping, ProfileRange, Resolver};

const TITLES: [&str; 7] = [
    "RANGE", "PERMS", "OFFSET", "BIAS", "KIND", "BUILD-ID", "PATH",
];

/// What can be typed behind `maps`.
#[derive(Args, Clone, Debug)]
pub(super) struct MapsArgs {
    /// The process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,

    /// Every line of the process, not only executable mappings
    #[arg(short, long)]
    all: bool,

    /// Print one JSON document: a list of objects with start, limit, offset, bias (hexadecimal), perms, dev, inode,
    /// path, deleted, kind and build_id
    #[arg(long)]
    json: bool,
}

/// One line to print.
struct Row {
    range: ProfileRange,
    mapping: Arc<Mapping>,
}

/// Prints the mappings of a process.
pub(super) fn run(args: &MapsArgs) -> Result<ExitCode> {
    let resolver = Resolver::new();
    let rows = if args.all {
        every_line(&resolver, args.pid)?
    } else {
        executable(&resolver, args.pid)?
    };
    let mut inputs = Inputs::default();
    let mut told = HashSet::new();
    for Row { mapping, .. } in &rows {
        // A file that cannot be read is told of once, and what is no ELF file not at all.
        if let Some(error) = mapping.binary_error().filter(|error| !error.is_no_binary())
            && told.insert((mapping.device, mapping.inode))
        {
            let what = format!("failed to read {}", in_a_line(&mapping.path));
            inputs.fail(&anyhow::Error::new(error).context(what));
        }
    }
    if args.json {
        print_json(&rows.iter().map(Row::json).collect())?;
    } else {
        let rows: Vec<_> = rows.iter().map(Row::cells).collect();
        print(table(TITLES, &rows))?;
    }
    Ok(inputs.exit_code())
}

/// The mappings of a profile: parts of one segment put together, the main binary first.
fn executable(resolver: &Resolver, pid: u32) -> Result<Vec<Row>> {
    let snapshot = resolver.mappings(pid)?;
    if snapshot.is_empty() && !resolver.procfs().exists(pid) {
        return Err(no_process(pid));
    }
    let mut seen = HashSet::new();
    let mut rows: Vec<Row> = snapshot
        .into_iter()
        .map(Row::of_segment)
        .filter(|row| seen.insert((row.range, Arc::clone(&row.mapping.path))))
        .collect();
    rows.sort_by_key(|row| !row.mapping.is_main);
    Ok(rows)
}

fn every_line(resolver: &Resolver, pid: u32) -> Result<Vec<Row>> {
    let space = resolver
        .address_space(pid)?
        .ok_or_else(|| no_process(pid))?;
    Ok(space.mappings().iter().map(Row::of_line).collect())
}

fn no_process(pid: u32) -> anyhow::Error {
    anyhow::anyhow!("there is no process {pid}")
}

impl Row {
    fn of_segment(mapping: Arc<Mapping>) -> Self {
        Self {
            range: mapping.profile_range(),
            mapping,
        }
    }

    fn of_line(mapping: &Arc<Mapping>) -> Self {
        // Opened here, so that what was wrong with it is known.
        mapping.binary();
        Self {
            range: ProfileRange {
                start: mapping.start,
                limit: mapping.limit,
                offset: mapping.offset,
            },
            mapping: Arc::clone(mapping),
        }
    }

    fn bias(&self) -> Option<String> {
        self.mapping.load_bias().map(|bias| format!("{bias:#x}"))
    }

    fn build_id(&self) -> Option<String> {
        Some(self.mapping.build_id()?.to_string())
    }

    fn cells(&self) -> [String; 7] {
        let ProfileRange {
            start: ProcAddr(start),
            limit: ProcAddr(limit),
            offset: FileOffset(offset),
        } = self.range;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut path = in_a_line(Path::new(self.mapping.name()));
        if self.mapping.deleted {
            path.push_str(" (deleted)");
        }
        [
            format!("{start:x}-{limit:x}"),
            self.mapping.permissions.to_string(),
            format!("{offset:x}"),
            or_dash(self.bias()),
            self.mapping.kind.to_string(),
            or_dash(self.build_id()),
            path,
        ]
    }

    fn json(&self) -> Value {
        let mapping = &self.mapping;
        json!({
            "start": format!("{:#x}", self.range.start.0),
            "limit": format!("{:#x}", self.range.limit.0),
            "offset": format!("{:#x}", self.range.offset.0),
            "bias": self.bias(),
            "perms": mapping.permissions.to_string(),
            "dev": mapping.device.to_string(),
            "inode": mapping.inode,
            "path": mapping.path.to_string_lossy(),
            "deleted": mapping.deleted,
            "kind": mapping.kind.to_string(),
            "build_id": self.build_id(),
        })
    }
}
