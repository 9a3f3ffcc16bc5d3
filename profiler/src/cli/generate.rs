//! The man pages and the completions, made from the definitions of the options.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::{Map, Value};

use super::args::{Args, Generate};

/// Prints what was asked for to standard output.
pub(super) fn generate(what: Generate) -> Result<()> {
    const CONTEXT: &str = "failed to make the man page";
    let mut command = Args::command();
    let mut bytes = Vec::new();
    let shell = match what {
        Generate::Man => {
            command.build();
            page(command).render(&mut bytes).context(CONTEXT)?;
            return print(&bytes);
        }
        Generate::ManPages => {
            let pages = man_pages(command).context(CONTEXT)?;
            return print(format!("{:#}\n", Value::Object(pages)).as_bytes());
        }
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "profiler", &mut bytes);
    print(&bytes)
}

/// A page for the program and one for each of its commands, by file name.
fn man_pages(mut command: clap::Command) -> io::Result<Map<String, Value>> {
    command.build();
    let mut commands = vec![command.clone()];
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    commands.extend(shown.cloned());
    let pages = commands.into_iter().map(|command| {
        let (page, mut text) = (page(command), Vec::new());
        page.render(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((page.get_filename(), Value::String(text)))
    });
    pages.collect()
}

fn page(command: clap::Command) -> Man {
    Man::new(command)
        .source(concat!("profiler ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
}

fn print(bytes: &[u8]) -> Result<()> {
    io::stdout()
        .write_all(bytes)
        .context("failed to write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command has a page of its own with its options, and the program's page refers to all of them.
    #[test]
    fn page_of_each_command() {
        let pages = man_pages(Args::command()).unwrap();
        let main = pages["profiler.1"].as_str().unwrap();
        assert!(main.contains("\\-\\-duration"), "{main}");
        for command in [
            "build-id",
            "core",
            "doctor",
            "maps",
            "serve",
            "symbols",
            "unwind-info",
        ] {
            let page = pages[&format!("profiler-{command}.1")].as_str().unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
            let reference = format!("profiler-{command}(1)").replace('-', "\\-");
            assert!(main.contains(&reference), "no {reference} in {main}");
        }
        assert!(
            pages["profiler-doctor.1"]
                .as_str()
                .unwrap()
                .contains("\\-\\-json")
        );
    }
}
