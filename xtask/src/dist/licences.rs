//! The licences of what the program has in it, which want to be handed out with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// Beginnings of the names of files that hold licences.
const NAMES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

const HEAD: &str = "What the program profiler contains besides its own code.

The GNU C Library is under the GNU Lesser General Public License, version 2.1 or later; its source is at
https://www.gnu.org/software/libc/, and this program can be built with another version of it from its own source.
The Rust standard library is under the MIT license or the Apache License, version 2.0.

Rust crates:

";

/// A list of all crates, and the texts of their licences, each once.
pub(super) fn of_dependencies() -> Result<String> {
    let mut cargo = command::host_cargo();
    cargo.args(["metadata", "--format-version=1", "--locked"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&command::read(&mut cargo)?)
        .context("cargo's metadata is not JSON")?;
    let wanted = reachable(&metadata).context("cargo's metadata has no package profiler")?;
    let (mut list, mut texts) = (String::from(HEAD), BTreeMap::<String, Vec<String>>::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // What has no source is the project's own.
        if !package["id"].as_str().is_some_and(|id| wanted.contains(id))
            || package["source"].is_null()
        {
            continue;
        }
        let field = |name: &str| package[name].as_str().unwrap_or("unknown");
        let name = format!("{} {}", field("name"), field("version"));
        list += &format!("  {name}: {}\n", field("license"));
        for text in texts_in(Path::new(field("manifest_path")))? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        list += &format!(
            "\n{}\n{}\n\n{}\n",
            "-".repeat(80),
            names.join(", "),
            text.trim_end()
        );
    }
    Ok(list)
}

/// The packages that the program is built from, tests and build scripts left out.
fn reachable(metadata: &Value) -> Option<BTreeSet<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let packages = metadata["packages"].as_array()?;
    let program = packages
        .iter()
        .find(|package| package["name"] == "profiler")?;
    let mut pending = vec![program["id"].as_str()?];
    let mut found = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if !found.insert(id.to_owned()) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id)?;
        for dependency in node["deps"].as_array()? {
            let mut kinds = dependency["dep_kinds"].as_array()?.iter();
            if kinds.any(|kind| kind["kind"].is_null()) {
                pending.push(dependency["pkg"].as_str()?);
            }
        }
    }
    Some(found)
}

fn texts_in(manifest: &Path) -> Result<Vec<String>> {
    let directory = manifest
        .parent()
        .context("a manifest lies in a directory")?;
    let entries = fs::read_dir(directory)
        .with_context(|| format!("could not list {}", directory.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && is_licence(path))
        .collect();
    files.sort();
    let text = |path: PathBuf| {
        let bytes =
            fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    files.into_iter().map(text).collect()
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_uppercase();
    NAMES.iter().any(|begin| name.starts_with(begin))
}
