//! The man page and the completions, made from the definitions of the options.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Args, Generate};

/// Prints what was asked for to standard output.
pub(super) fn generate(what: Generate) -> Result<()> {
    let mut command = Args::command();
    let mut bytes = Vec::new();
    let shell = match what {
        Generate::Man => {
            clap_mangen::Man::new(command)
                .render(&mut bytes)
                .context("failed to make the man page")?;
            return print(&bytes);
        }
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "profiler", &mut bytes);
    print(&bytes)
}

fn print(bytes: &[u8]) -> Result<()> {
    io::stdout()
        .write_all(bytes)
        .context("failed to write to standard output")
}
