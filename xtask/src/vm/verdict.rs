//! What a guest's console proves.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::guest::{DEPTH, END, EXIT_CODE, INSIDE, PROFILE_BEGINS, PROFILE_ENDS, RECORDINGS};
use super::kernels::Kernel;
use super::{doctor, limits};
use crate::bench::pprof_text;
use crate::bench::profile::{Profile, Stack};
use crate::command;

/// Fewer samples than this prove nothing; an emulated processor gives some 300.
pub(super) const LEAST_SAMPLES: u64 = 50;
/// Share of stacks that must be as they are known to be. The rest is for what starts and ends.
const LEAST_SHARE: f64 = 0.97;
/// The first series with `bpf_loop`; before it a program that calls it must be refused.
const BPF_LOOP_SINCE: (u64, u64) = (5, 17);

/// What came of one kernel.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) version: String,
    pub(super) failures: Vec<String>,
    seconds: f64,
    /// The walk that `--unwind auto` took.
    walk: &'static str,
    shares: HashMap<&'static str, f64>,
    /// Instructions verified, by program.
    verified: HashMap<String, u64>,
    /// The most memory of `serve` that its control group counted, in MiB.
    serve_mib: Option<u64>,
}

impl Verdict {
    /// Nothing could be read.
    pub(super) fn failed(kernel: &Kernel, why: String) -> Self {
        Self {
            version: kernel.version.clone(),
            failures: vec![why],
            seconds: 0.0,
            walk: "-",
            shares: HashMap::new(),
            verified: HashMap::new(),
            serve_mib: None,
        }
    }

    /// The line of the table.
    pub(super) fn row(&self) -> String {
        let share = |name| {
            let share = self.shares.get(name);
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
        };
        let verified = |names: &[&str]| {
            let numbers: Vec<String> = names
                .iter()
                .filter_map(|name| self.verified.get(*name).map(u64::to_string))
                .collect();
            if numbers.is_empty() {
                "-".to_owned()
            } else {
                numbers.join(" + ")
            }
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} | {} |",
            self.version,
            self.walk,
            share("auto"),
            share("kernel"),
            share("calls"),
            verified(&["on_cpu"]),
            verified(&["on_cpu_by_calls", "walk_on"]),
            verified(&["on_cpu_by_fp"]),
            verified(&["process_fork", "process_exec", "process_exit"]),
            self.serve_mib
                .map_or_else(|| "-".to_owned(), |mib| mib.to_string()),
            self.seconds,
            self.failures.join("; "),
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.failures.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        write!(
            f,
            "Linux {}: {said}, {}, {:.0} s",
            self.version, self.walk, self.seconds
        )?;
        for (name, share) in &self.shares {
            write!(f, ", {name} {:.1} %", share * 100.0)?;
        }
        if let Some(mib) = self.serve_mib {
            write!(f, ", serve {mib} MiB")?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| write!(f, "; {failure}"))
    }
}

/// Reads the console of a guest that has ended.
pub(super) fn read(kernel: &Kernel, log: &Path, seconds: f64) -> Result<Verdict> {
    let text = fs::read(log).with_context(|| format!("could not read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let has_loop = series(&kernel.version) >= BPF_LOOP_SINCE;
    let mut verdict = Verdict {
        version: kernel.version.clone(),
        failures: Vec::new(),
        seconds,
        walk: if has_loop {
            "by bpf_loop"
        } else {
            "by tail calls"
        },
        shares: HashMap::new(),
        verified: verified(&text),
        serve_mib: None,
    };
    if !text.contains(END) {
        verdict
            .failures
            .push("the guest did not come to its end".to_owned());
    }
    for name in RECORDINGS
        .map(|(name, ..)| name)
        .into_iter()
        .chain([INSIDE])
    {
        let must_fail = name == "loop" && !has_loop;
        match (examine(&text, log, name), must_fail) {
            (Ok(None), true) => {}
            (Ok(Some(_)), true) => verdict.failures.push(
                "a program that calls bpf_loop was accepted, so this kernel proves nothing about kernels without it".to_owned(),
            ),
            (Ok(None), false) => verdict.failures.push(format!("{name}: no profile")),
            (Ok(Some(share)), false) => {
                verdict.shares.insert(name, share);
                if share < LEAST_SHARE {
                    verdict.failures.push(format!("{name}: only {:.1} % of the stacks are right", share * 100.0));
                }
            }
            (Err(error), _) => verdict.failures.push(format!("{name}: {error:#}")),
        }
    }
    verdict
        .failures
        .extend(doctor::failures(&text, series(&kernel.version)));
    match limits::examine(&text) {
        Ok(mib) => verdict.serve_mib = Some(mib),
        Err(failure) => verdict.failures.push(failure),
    }
    let used = if has_loop { "on_cpu" } else { "walk_on" };
    let ran = text.contains(&format!("BPF program {used}: "));
    if !ran {
        verdict.failures.push(format!("{used} was not run"));
    }
    Ok(verdict)
}

/// The share of right stacks in one recording; `None` if the profiler failed.
fn examine(text: &str, log: &Path, name: &str) -> Result<Option<f64>> {
    let code = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{EXIT_CODE}{name}: ")));
    if code.context("it was not run")?.trim() != "0" {
        return Ok(None);
    }
    let begins = format!("{PROFILE_BEGINS}{name}");
    let lines = text.lines().skip_while(|line| *line != begins).skip(1);
    let encoded: String = lines.take_while(|line| *line != PROFILE_ENDS).collect();
    let coded = log.with_extension(format!("{name}.base64"));
    let decoded = log.with_extension(format!("{name}.pb.gz"));
    fs::write(&coded, encoded)?;
    command::check(
        Command::new("sh")
            .args(["-c", "base64 -d < \"$0\" > \"$1\""])
            .args([&coded, &decoded]),
    )?;
    let profile = pprof_text::read(&decoded)?;
    let samples = profile.samples();
    anyhow::ensure!(samples >= LEAST_SAMPLES, "only {samples} samples");
    Ok(Some(match name {
        "kernel" => share(
            &profile,
            |stack| stack.frames.iter().any(|frame| frame.is_kernel),
            reaches_start,
        ),
        // There are no frame pointers to go by: what is sure is the innermost frame.
        "fp" => share(
            &profile,
            |_| true,
            |stack| is(stack.user().next(), "bottom"),
        ),
        _ => share(&profile, |_| true, is_recursion),
    }))
}

/// How many of the samples that count are right.
fn share(
    profile: &Profile,
    counts: impl Fn(&Stack) -> bool,
    is_right: impl Fn(&Stack) -> bool,
) -> f64 {
    let sum = |wanted: &dyn Fn(&Stack) -> bool| -> u64 {
        let stacks = profile
            .stacks
            .iter()
            .filter(|stack| counts(stack) && wanted(stack));
        stacks.map(|stack| stack.count).sum()
    };
    sum(&is_right) as f64 / sum(&|_| true).max(1) as f64
}

/// From the innermost function to libc, which starts threads in two functions.
fn is_recursion(stack: &Stack) -> bool {
    let frames: Vec<_> = stack.user().collect();
    let [bottom, rest @ ..] = &frames[..] else {
        return false;
    };
    let Some((descents, [work, libc @ ..])) = rest.split_at_checked(DEPTH + 1) else {
        return false;
    };
    is(Some(bottom), "bottom")
        && descents.iter().all(|frame| is(Some(frame), "descend"))
        && is(Some(work), "work")
        && libc.len() == 2
        && libc.iter().all(|frame| frame.is_in(&["libc.so"]))
}

fn reaches_start(stack: &Stack) -> bool {
    is(stack.user().last(), "_start")
}

fn is(frame: Option<&crate::bench::profile::Frame>, name: &str) -> bool {
    frame
        .and_then(|frame| frame.functions.last())
        .is_some_and(|function| function == name)
}

/// What the verifier looked at, by program: the most of all recordings, which differ in nothing but options.
fn verified(text: &str) -> HashMap<String, u64> {
    let mut all = HashMap::new();
    for line in text.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let said = message["message"].as_str().and_then(|said| {
            let (program, rest) = said.strip_prefix("BPF program ")?.split_once(": ")?;
            let (rest, _) = rest.split_once(" instructions verified")?;
            let number = rest.rsplit(' ').next()?.parse::<u64>().ok()?;
            Some((program.to_owned(), number))
        });
        if let Some((program, number)) = said {
            let most = all.entry(program).or_insert(0);
            *most = number.max(*most);
        }
    }
    all
}

/// `5.10.223-1` is of the series 5.10.
fn series(version: &str) -> (u64, u64) {
    let mut numbers = version
        .split(['.', '-', '~'])
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::profile::Frame;

    fn stack(frames: &[(&str, &str)]) -> Stack {
        let frame = |(name, binary): &(&str, &str)| Frame {
            functions: vec![(*name).to_owned()],
            binary: (*binary).to_owned(),
            ..Frame::default()
        };
        Stack {
            count: 1,
            frames: frames.iter().map(frame).collect(),
            cut: None,
        }
    }

    /// A stack is right with exactly its frames: one too few, one too many, or another is wrong.
    #[test]
    fn recursions() {
        let mut frames = vec![("bottom", "recursion")];
        frames.extend([("descend", "recursion"); DEPTH + 1]);
        frames.extend([("work", "recursion"), ("", "libc.so.6"), ("", "libc.so.6")]);
        assert!(is_recursion(&stack(&frames)));
        for missing in [0, 1, DEPTH + 2, DEPTH + 3] {
            let mut frames = frames.clone();
            frames.remove(missing);
            assert!(!is_recursion(&stack(&frames)), "without {missing}");
        }
        frames.insert(5, ("descend", "recursion"));
        assert!(!is_recursion(&stack(&frames)));
        assert!(!is_recursion(&stack(&[])));
    }

    /// The program and its number are found among other messages; the largest counts.
    #[test]
    fn instruction_counts() {
        let text = "x\n{\"message\":\"BPF program on_cpu: 12 ns in 3 runs, 400 instructions verified\"}\n\
                    {\"message\":\"BPF program on_cpu: 12 ns in 3 runs, 500 instructions verified\"}\n\
                    {\"message\":\"BPF program walk_on: 12 ns in 3 runs\"}\n";
        assert_eq!(verified(text), HashMap::from([("on_cpu".to_owned(), 500)]));
    }

    /// Series compare as numbers.
    #[test]
    fn series_of_versions() {
        assert!(series("5.10.223-1") < BPF_LOOP_SINCE);
        assert!(series("6.1.192-1") >= BPF_LOOP_SINCE);
        assert_eq!(series("7.3~rc7-1"), (7, 3));
    }
}
