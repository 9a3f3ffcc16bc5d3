//! `core`: what a core file is of, its modules, the stacks of its threads, and a profile of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::args::Symbolize;
use super::core_report::{self, Report};
use super::inputs::{Inputs, in_a_line, print, print_json};
use crate::caller::Caller;
use crate::output::Destination;
use crate::pipeline::CoreStacks;
use crate::process::{CoreFile, Search};
use crate::symbolize::Options;

/// What can be typed behind `core`.
#[derive(Args, Clone, Debug)]
pub(super) struct CoreArgs {
    /// A core file, as the kernel or gdb's gcore wrote it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    places: Places,

    /// Write a profile: one sample for each thread, with the labels pid, tid, name and signal; - is standard output, in
    /// place of the report
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How much of the names to find
    #[arg(long, value_name = "HOW MUCH", value_enum, default_value_t = Symbolize::Full)]
    symbolize: Symbolize,

    /// Print one JSON document: what the core file is of, its modules, and its threads with their registers and frames
    #[arg(long)]
    json: bool,
}

/// Where the mapped files may be.
#[derive(Args, Clone, Default, Debug)]
pub(super) struct Places {
    /// The program that the process ran; the core file says where it was
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,

    /// The directory below which the process's paths lie
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,

    /// A directory with binaries and debug files by their build-ids: .build-id/ab/cdef…, ID/NAME, ID/executable; may be
    /// repeated
    #[arg(long = "debug-dir", value_name = "DIR")]
    debug_dirs: Vec<PathBuf>,
}

impl Places {
    /// Where to look, in front of where distributions put debug files.
    fn search(&self, options: &Options) -> Search {
        Search {
            exe: self.exe.clone(),
            sysroot: self.sysroot.clone(),
            debug_dirs: options.debug_dirs.clone(),
            core_only: false,
        }
    }

    fn options(&self) -> Options {
        let mut options = Options::default();
        let own = std::mem::take(&mut options.debug_dirs);
        options.debug_dirs.clone_from(&self.debug_dirs);
        if let Some(root) = &self.sysroot {
            let below = own.iter().filter_map(|dir| dir.strip_prefix("/").ok());
            options.debug_dirs.extend(below.map(|dir| root.join(dir)));
        }
        options.debug_dirs.extend(own);
        options
    }
}

/// Reports on a core file, and writes the profile if one is wanted.
pub(super) fn run(args: &CoreArgs) -> Result<ExitCode> {
    let name = in_a_line(&args.file);
    let destination = match &args.output {
        Some(path) if path.as_os_str() == "-" && args.json => {
            bail!(
                "the JSON document and the profile cannot both go to standard output; name a file: -o stacks.pb.gz"
            )
        }
        Some(path) if is_same_file(path, &args.file) => {
            bail!("{name} would be replaced by the profile; name another file: -o stacks.pb.gz")
        }
        Some(path) => {
            let caller = Caller::from_sudo()?;
            Some(Destination::open(path, caller.as_ref().map(Caller::owner))?)
        }
        None => None,
    };
    let options = args.places.options();
    let core = CoreFile::open(&args.file, &args.places.search(&options))
        .with_context(|| format!("failed to read {name}"))?;
    let mut inputs = Inputs::default();
    for damage in core.damages() {
        if damage.is_loss() {
            inputs.fail(&anyhow::anyhow!("{name}: {damage}"));
        } else {
            log::warn!("{name}: {damage}");
        }
    }
    let stacks = CoreStacks::of(&core, args.symbolize.into(), &options);
    if let Some(destination) = &destination {
        destination.write(&stacks.profile(&core))?;
    }
    let report = Report {
        path: &args.file,
        core: &core,
        stacks: &stacks,
    };
    if args.json {
        print_json(&core_report::json(&report))?;
    } else if !matches!(destination, Some(Destination::Stdout)) {
        print(core_report::text(&report))?;
    }
    Ok(inputs.exit_code())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let resolve = |path: &Path| path.canonicalize().ok();
    resolve(one).is_some_and(|path| Some(path) == resolve(other))
}
