//! The man page and the completions, made from the definitions of the options.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::{Args, Generate};

/// Prints what was asked for to standard output.
pub(super) fn generate(what: Generate) -> Result<()> {
    let mut command = Args::command();
    let mut bytes = Vec::new();
    let shell = match what {
        Generate::Man => {
            man(command, &mut bytes).context("failed to make the man page")?;
            return print(&bytes);
        }
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "profiler", &mut bytes);
    print(&bytes)
}

/// One page for all: the commands' own options are sections of it.
fn man(mut command: clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    command.build();
    let commands: Vec<_> = command.get_subcommands().cloned().collect();
    let main = Man::new(command);
    main.render_title(page)?;
    main.render_name_section(page)?;
    main.render_synopsis_section(page)?;
    main.render_description_section(page)?;
    main.render_options_section(page)?;
    for command in commands {
        let title = format!("profiler {}", command.get_name()).to_uppercase();
        let about = command.get_about().map(ToString::to_string);
        let text = Roff::new()
            .control("SH", [title.as_str()])
            .text([roman(about.unwrap_or_default())])
            .to_roff();
        page.extend_from_slice(text.as_bytes());
        let (own, mut options) = (Man::new(command), Vec::new());
        own.render_synopsis_section(&mut options)?;
        own.render_options_section(&mut options)?;
        let options = String::from_utf8_lossy(&options).replace("\n.SH ", "\n.SS ");
        page.extend_from_slice(options.as_bytes());
    }
    main.render_extra_section(page)?;
    main.render_version_section(page)
}

fn print(bytes: &[u8]) -> Result<()> {
    io::stdout()
        .write_all(bytes)
        .context("failed to write to standard output")
}
