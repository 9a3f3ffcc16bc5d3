//! `symbols`: where a symbol is in every running process.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use clap::Args;
use serde_json::{Value, json};

use super::inputs::{Inputs, in_a_line, print, print_json, table};
use super::signals::StopSignal;
use crate::binary::SymbolPattern;
use crate::process::{ProcessError, Resolver};
use crate::scan::{Follow, Hit, PathPattern, Problem, Query, Scan, Watching};

const TITLES: [&str; 6] = ["PID", "ADDRESS", "SIZE", "TYPE", "SYMBOL", "PATH"];

/// What can be typed behind `symbols`.
#[derive(Args, Clone, Debug)]
pub(super) struct SymbolsArgs {
    /// The symbol, with its version if only that one is meant: memcpy, memcpy@GLIBC_2.2.5
    name: String,

    /// Look only into files whose name, or whose path if there is a slash in the pattern, matches this shell pattern
    #[arg(long, value_name = "GLOB", value_parser = path_pattern)]
    path: Option<PathPattern>,

    /// Look only into these processes; may be repeated [default: all but this one]
    #[arg(short, long, value_name = "PID", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// NAME is a regular expression that is to be found somewhere in the symbol's name
    #[arg(long)]
    regex: bool,

    /// Stay, and report processes as they start
    #[arg(long)]
    follow: bool,

    /// Print one JSON document: a list of objects with pid, start_time (clock ticks since boot), path, build_id, symbol,
    /// address (hexadecimal; null for what has none), size and type; with --follow one object a line
    #[arg(long)]
    json: bool,
}

fn path_pattern(text: &str) -> Result<PathPattern, String> {
    PathPattern::new(text).map_err(|error| error.to_string())
}

/// Prints where the symbol is.
pub(super) fn run(args: &SymbolsArgs) -> Result<ExitCode> {
    let symbols = if args.regex {
        SymbolPattern::regex(&args.name)
    } else {
        SymbolPattern::exact(&args.name)
    };
    let query = Query {
        symbols: symbols.with_context(|| format!("cannot look for {:?}", args.name))?,
        path: args.path.clone(),
        pids: args.pid.clone(),
    };
    let mut scan = Scan::new(Resolver::new(), query);
    let mut inputs = Inputs::default();
    if args.follow {
        follow(scan, args, &mut inputs)?;
        return Ok(inputs.exit_code());
    }
    let hits: Vec<Hit> = scan
        .hits()
        .context("failed to list the processes")?
        .collect();
    tell(scan.take_problems(), args, &mut inputs);
    if args.json {
        print_json(&hits.iter().map(object).collect())?;
    } else if !hits.is_empty() {
        let rows: Vec<_> = hits.iter().map(cells).collect();
        print(table(TITLES, &rows))?;
    } else {
        let processes = scan.stats().processes;
        log::warn!("{:?} is in none of {processes} processes", args.name);
    }
    Ok(inputs.exit_code())
}

fn follow(scan: Scan, args: &SymbolsArgs, inputs: &mut Inputs) -> Result<()> {
    let stop = StopSignal::register().context("failed to take over Ctrl-C and SIGTERM")?;
    let (mut follow, watching) = Follow::new(scan);
    if let Watching::Listing(error) = watching {
        log::warn!(
            "the kernel does not tell of new processes ({error}): run as root in the initial namespaces; the list of \
             processes is read ten times a second instead, which misses what lives for less"
        );
    }
    if !args.json && !print(line(&TITLES.map(str::to_owned)))? {
        return Ok(());
    }
    let mut told = false;
    while let Some(hits) = follow
        .next(stop.as_fd())
        .context("failed to learn of new processes")?
    {
        let mut problems = follow.scan().take_problems();
        if told && args.pid.is_empty() {
            // That the rights do not suffice was said, and each process is looked at several times.
            for problems in problems.values_mut() {
                problems.retain(|problem| !is_denied(problem));
            }
        }
        told |= problems.values().flatten().any(is_denied);
        tell(problems, args, inputs);
        let text: String = hits
            .iter()
            .map(|hit| match args.json {
                true => format!("{}\n", object(hit)),
                false => line(&cells(hit)),
            })
            .collect();
        if !print(text)? {
            break;
        }
    }
    Ok(())
}

/// Tells what could not be read. Without the right to look into other people's processes there may be hundreds that
/// nobody has named; they are one message.
fn tell(problems: BTreeMap<u32, Vec<Problem>>, args: &SymbolsArgs, inputs: &mut Inputs) {
    let mut denied = Vec::new();
    for (pid, problems) in problems {
        for problem in problems {
            match problem {
                problem if is_denied(&problem) && args.pid.is_empty() => denied.push(pid),
                problem @ (Problem::Process(_) | Problem::NoProcess(_)) => {
                    inputs.fail(&problem.into());
                }
                problem => inputs.fail(&Error::new(problem).context(format!("pid {pid}"))),
            }
        }
    }
    if let [first, others @ ..] = denied.as_slice() {
        let others = match others.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        inputs.fail(&Error::msg(format!(
            "not allowed to read the mappings of pid {first}{others}: run as root or with the capability CAP_SYS_PTRACE"
        )));
    }
}

fn is_denied(problem: &Problem) -> bool {
    matches!(problem, Problem::Process(ProcessError::Denied { .. }))
}

fn cells(hit: &Hit) -> [String; 6] {
    let address = hit.address.map(|address| format!("{address:x}"));
    [
        hit.pid.to_string(),
        address.unwrap_or_else(|| "-".to_owned()),
        hit.symbol.size.to_string(),
        hit.symbol.kind.as_str().to_owned(),
        in_a_line(hit.symbol.to_string().as_ref()),
        in_a_line(&hit.path),
    ]
}

/// A row of a table whose other rows are not known yet.
fn line([pid, address, size, kind, symbol, path]: &[String; 6]) -> String {
    format!("{pid:<7}  {address:<12}  {size:<6}  {kind:<8}  {symbol:<24}  {path}\n")
}

fn object(hit: &Hit) -> Value {
    json!({
        "pid": hit.pid,
        "start_time": hit.start_time,
        "path": hit.path.to_string_lossy(),
        "build_id": hit.build_id.as_ref().map(ToString::to_string),
        "symbol": hit.symbol.to_string(),
        "address": hit.address.map(|address| format!("{:#x}", address.0)),
        "size": hit.symbol.size,
        "type": hit.symbol.kind.as_str(),
    })
}
