//! `build-id`: which build a file is of, or the files that a process has mapped.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::inputs::{Inputs, in_a_line, print, print_json};
use crate::binary::{self, BuildIds};
use crate::process::{Mapping, Resolver};

/// What can be typed behind `build-id`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("inputs").required(true).args(["files", "pid"]))]
pub(super) struct BuildIdArgs {
    /// ELF files
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The files that this process has mapped, and its vDSO
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    /// Print one JSON document: a list of objects with path, gnu, go and error
    #[arg(long)]
    json: bool,
}

/// One file and its ids.
struct Row {
    path: PathBuf,
    ids: Result<BuildIds>,
}

/// Prints a line for each input that could be read.
pub(super) fn run(args: &BuildIdArgs) -> Result<ExitCode> {
    let rows = match args.pid {
        Some(pid) => of_process(&Resolver::new(), pid)?,
        None => args.files.iter().map(|path| of_file(path)).collect(),
    };
    let mut inputs = Inputs::default();
    for error in rows.iter().filter_map(|row| row.ids.as_ref().err()) {
        inputs.fail(error);
    }
    if args.json {
        print_json(&rows.iter().map(Row::json).collect())?;
    } else {
        let lines: String = rows.iter().filter_map(Row::line).collect();
        print(lines)?;
    }
    Ok(inputs.exit_code())
}

fn of_file(path: &Path) -> Row {
    let ids = binary::read_build_ids(path)
        .with_context(|| format!("failed to read the build-id of {}", in_a_line(path)));
    Row {
        path: path.to_owned(),
        ids,
    }
}

/// A row for each ELF file of the process, the main binary first. Mapped files of other kinds (locales, fonts, caches)
/// have no ids to be missed.
fn of_process(resolver: &Resolver, pid: u32) -> Result<Vec<Row>> {
    let space = resolver
        .address_space(pid)?
        .with_context(|| format!("there is no process {pid}"))?;
    let mut seen = HashSet::new();
    let mut files: Vec<_> = space
        .mappings()
        .iter()
        .filter(|mapping| mapping.kind.has_image())
        .filter(|mapping| seen.insert((mapping.device, mapping.inode)))
        .collect();
    files.sort_by_key(|mapping| !mapping.is_main);
    Ok(files
        .into_iter()
        .filter_map(|mapping| of_mapping(pid, mapping))
        .collect())
}

fn of_mapping(pid: u32, mapping: &Mapping) -> Option<Row> {
    let ids = match mapping.build_ids() {
        Err(error) if error.is_no_binary() => return None,
        ids => ids.map_err(|error| {
            Error::new(error).context(format!(
                "failed to read the build-id of {}, mapped by pid {pid}",
                in_a_line(&mapping.path)
            ))
        }),
    };
    Some(Row {
        path: mapping.path.to_path_buf(),
        ids,
    })
}

impl Row {
    fn line(&self) -> Option<String> {
        let ids = self.ids.as_ref().ok()?;
        let id = ids.gnu.as_ref().map_or("-".to_owned(), ToString::to_string);
        Some(format!("{id}  {}\n", in_a_line(&self.path)))
    }

    fn json(&self) -> Value {
        let ids = self.ids.as_ref().ok();
        json!({
            "path": self.path.to_string_lossy(),
            "gnu": ids.and_then(|ids| Some(ids.gnu.as_ref()?.to_string())),
            "go": ids.and_then(|ids| Some(String::from_utf8_lossy(ids.go.as_ref()?).into_owned())),
            "error": self.ids.as_ref().err().map(|error| format!("{error:#}")),
        })
    }
}
