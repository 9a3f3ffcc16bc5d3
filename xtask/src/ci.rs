//! `ci`: what a change must pass besides the tests. The list of tasks is all there is to it.

use anyhow::{Context, Result, bail};

use crate::{codegen, dist, fuzz, lint, tidy, vm};

/// A task of the list, its arguments and what it is called.
type Step = (
    &'static str,
    fn(&[String]) -> Result<()>,
    &'static [&'static str],
);

const STEPS: &[Step] = &[
    ("lint", lint::run, &[]),
    ("codegen", codegen::run, &["--check"]),
    ("tidy", tidy::run, &[]),
    // A minute of compiling on two cores, and 15 seconds of packing and trying.
    ("dist", dist::run, &["--check"]),
    // What they find in so short a time is what the last change broke.
    ("fuzz", fuzz::run, &["--seconds", "8"]),
    // The oldest supported kernel and the newest there is; all of them take ten minutes.
    ("vm", vm::run, &["--kernel", "5.10,newest"]),
];

/// `cargo xtask ci`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    for (name, step, arguments) in STEPS {
        println!("{}", [&[*name], *arguments].concat().join(" "));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        step(&arguments).context(*name)?;
    }
    Ok(())
}
