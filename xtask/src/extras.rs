//! What the program writes about itself: man pages and completions, and where they belong below a prefix.
//!
//! They come from the program, so they cannot differ from what it takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// What `profiler --generate KIND` writes for a shell, and where that shell looks for it.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/profiler"),
    ("zsh", "share/zsh/site-functions/_profiler"),
    ("fish", "share/fish/vendor_completions.d/profiler.fish"),
];

/// Places below a prefix, with the text for each.
pub(crate) fn generate(program: &Path) -> Result<Vec<(PathBuf, String)>> {
    let written = |kind: &str| command::read(Command::new(program).args(["--generate", kind]));
    let pages: BTreeMap<String, String> = serde_json::from_str(&written("man-pages")?)
        .context("the man pages are not an object of texts")?;
    let mut files: Vec<(PathBuf, String)> = pages
        .into_iter()
        .map(|(name, text)| (Path::new("share/man/man1").join(name), text))
        .collect();
    for (shell, place) in COMPLETIONS {
        files.push((PathBuf::from(place), written(shell)?));
    }
    Ok(files)
}
