//! `install`: puts `profiler` where sudo finds it, with its man pages and completions.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, extras, profiler, workspace};

const DEFAULT_PREFIX: &str = "/usr/local";

/// `cargo xtask install [--prefix DIRECTORY]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let prefix = prefix(arguments)?;
    let program = profiler::build()?;
    let mut files = vec![(program.clone(), prefix.join("bin/profiler"), "755")];
    let generated = workspace::target().join("install");
    fs::create_dir_all(&generated)
        .with_context(|| format!("could not create {}", generated.display()))?;
    for (place, text) in extras::generate(&program)? {
        let file = generated.join(place.file_name().context("a place is a file's")?);
        fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
        files.push((file, prefix.join(place), "644"));
    }
    for (source, place, mode) in &files {
        let mut install = install_command(&prefix)?;
        command::check(install.args(["-D", "-m", mode]).arg(source).arg(place))?;
        println!("installed {}", place.display());
    }
    if let Some(advice) = advice(&prefix.join("bin/profiler")) {
        println!("{advice}");
    }
    Ok(())
}

fn prefix(arguments: &[String]) -> Result<PathBuf> {
    let prefix = match arguments {
        [] => DEFAULT_PREFIX,
        [flag, prefix] if flag == "--prefix" => prefix,
        [one] if one.starts_with("--prefix=") => &one["--prefix=".len()..],
        _ => bail!(
            "unknown arguments `{}`: it takes --prefix DIRECTORY",
            arguments.join(" ")
        ),
    };
    std::path::absolute(prefix).with_context(|| format!("`{prefix}` is no directory"))
}

/// `install` of coreutils, as root where the prefix is not this person's.
fn install_command(prefix: &Path) -> Result<Command> {
    let existing = prefix.ancestors().find(|directory| directory.is_dir());
    let is_mine = existing.is_some_and(|directory| {
        rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
    });
    if is_mine {
        Ok(Command::new("install"))
    } else {
        command::as_root(OsStr::new("install"), &[])
    }
}

/// What to say when `profiler` alone would not start the installed program under sudo, or at all.
fn advice(program: &Path) -> Option<String> {
    if command::find("sudo").is_some() {
        // sudo looks in its own `secure_path`, which on some distributions has no /usr/local/bin. `-n`: the
        // question is not worth a password.
        let found =
            command::read(Command::new("sudo").args(["-n", "sh", "-c", "command -v profiler"]));
        return match found {
            Ok(found) if Path::new(found.trim()) == program => None,
            _ => Some(format!(
                "if sudo does not find it, call it by its path: sudo {}",
                program.display()
            )),
        };
    }
    let directory = program.parent()?;
    let path = env::var_os("PATH")?;
    let is_in_path = env::split_paths(&path).any(|entry| entry == directory);
    (!is_in_path).then(|| format!("{} is not in PATH", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::prefix;

    /// The prefix is the usual one unless it is given, in either spelling; anything else is refused.
    #[test]
    fn prefix_is_taken_from_the_arguments() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let check = |given: &str, wanted: Option<&str>| {
            assert_eq!(
                prefix(&words(given)).ok().as_deref(),
                wanted.map(Path::new),
                "{given}"
            );
        };
        check("", Some("/usr/local"));
        check("--prefix /opt/profiler", Some("/opt/profiler"));
        check("--prefix=/opt/profiler", Some("/opt/profiler"));
        check("--prefix", None);
        check("/opt", None);
    }
}
