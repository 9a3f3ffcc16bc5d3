//! `doctor`: what this kernel and these rights allow, a line for each thing, and the command that mends what is wrong.

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::inputs::{print, print_json};
use crate::doctor::{self, Examination, Finding, State};

/// What can be typed behind `doctor`.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// Print one JSON document: kernel, machine, version, can_sample, and findings, a list of objects with name, state
    /// (ok, limited, missing), needed, found, means and mend
    #[arg(long)]
    json: bool,
}

/// Examines this machine. Fails when nothing could be profiled.
pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let examination = doctor::examine();
    if args.json {
        print_json(&document(&examination))?;
    } else {
        print(text(&examination))?;
    }
    Ok(match examination.can_sample() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn document(examination: &Examination) -> Value {
    json!({
        "kernel": examination.kernel,
        "machine": examination.machine,
        "version": env!("CARGO_PKG_VERSION"),
        "can_sample": examination.can_sample(),
        "findings": examination.findings.iter().map(object).collect::<Value>(),
    })
}

fn object(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "state": finding.state.word(),
        "needed": finding.needed,
        "found": finding.found,
        "means": Some(&finding.means).filter(|means| !means.is_empty()),
        "mend": finding.mend,
    })
}

/// A line for each finding; below those that are not well, what that means, and the command.
fn text(examination: &Examination) -> String {
    let names = examination
        .findings
        .iter()
        .map(|finding| finding.name.len());
    let width = names.max().unwrap_or(0);
    let mut text = format!(
        "profiler {} on Linux {}, {}\n\n",
        env!("CARGO_PKG_VERSION"),
        examination.kernel,
        examination.machine
    );
    let mut told = HashSet::new();
    for finding in &examination.findings {
        let (state, name) = (finding.state.word(), finding.name);
        text += &format!("{state:7}  {name:width$}  {}\n", finding.found);
        let margin = " ".repeat(7 + 2 + width + 2);
        if !finding.means.is_empty() {
            text += &format!("{margin}{}\n", finding.means);
        }
        // One command may mend several things, and need not be read several times.
        if let Some(mend) = finding.mend.as_ref().filter(|mend| told.insert(*mend)) {
            text += &format!("{margin}$ {mend}\n");
        }
    }
    text + "\n" + &conclusion(examination)
}

fn conclusion(examination: &Examination) -> String {
    if !examination.can_sample() {
        return "nothing can be profiled here; what is needed is missing, see above\n".to_owned();
    }
    match examination.count(State::Limited) {
        0 => "everything can be profiled here\n".to_owned(),
        1 => "programs can be profiled here, with one limitation\n".to_owned(),
        count => format!("programs can be profiled here, with {count} limitations\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &'static str, state: State, needed: bool, mend: Option<&str>) -> Finding {
        Finding {
            name,
            state,
            needed,
            found: format!("{name} was looked at"),
            means: match state {
                State::Ok => String::new(),
                State::Limited | State::Missing => "less is seen".to_owned(),
            },
            mend: mend.map(str::to_owned),
        }
    }

    fn examination(findings: Vec<Finding>) -> Examination {
        Examination {
            kernel: "6.1.0".to_owned(),
            machine: "x86_64".to_owned(),
            findings,
        }
    }

    /// A line for each finding, what it means below it, and a command once even if it mends several things.
    #[test]
    fn lines_for_people() {
        let shown = text(&examination(vec![
            finding("sampling", State::Ok, true, None),
            finding("map_files", State::Limited, false, Some("sudo mend")),
            finding("cgroups", State::Limited, false, Some("sudo mend")),
            finding("cycles", State::Missing, false, None),
        ]));
        let (head, body) = shown.split_once("\n\n").unwrap();
        assert!(head.starts_with("profiler ") && head.ends_with(" on Linux 6.1.0, x86_64"));
        let expected = "\
ok       sampling   sampling was looked at
limited  map_files  map_files was looked at
                    less is seen
                    $ sudo mend
limited  cgroups    cgroups was looked at
                    less is seen
missing  cycles     cycles was looked at
                    less is seen

programs can be profiled here, with 2 limitations
";
        assert_eq!(body, expected);
    }

    /// The last line says whether anything can be profiled, and the document says the same.
    #[test]
    fn conclusions() {
        let cases = [
            (State::Ok, true, "everything can be", true),
            (State::Limited, false, "with one limitation", true),
            (State::Missing, false, "everything can be", true),
            (State::Missing, true, "nothing can be profiled", false),
        ];
        for (state, needed, expected, can_sample) in cases {
            let examined = examination(vec![finding("x", state, needed, Some("sudo mend"))]);
            let shown = text(&examined);
            assert!(
                shown.trim_end().lines().last().unwrap().contains(expected),
                "{shown}"
            );
            let document = document(&examined);
            assert_eq!(document["can_sample"], can_sample, "{document}");
            assert_eq!(document["findings"][0]["state"], state.word());
            assert_eq!(document["findings"][0]["mend"], "sudo mend");
        }
    }
}
