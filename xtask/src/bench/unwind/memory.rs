//! Memory of the profiler at its peak, with what the kernel holds for it, beside programs of several sizes.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Kind, Plan, goal, median};
use crate::bench::background::Background;
use crate::bench::files::Files;
use crate::bench::target::Target;
use crate::bench::workloads::WORKLOADS;
use crate::bench::{measure, recording};
use crate::command;

/// A second of a JIT compiler with garbage collection, again and again.
const NODE: &str = "let all = []; for (let i = 0; ; i++) { all.push(JSON.parse(JSON.stringify({i, a: [i, i + 1]}))); if (all.length > 1e5) all = []; }";

/// How long a program runs before it is recorded.
const WARM_UP: Duration = Duration::from_millis(700);

/// What is recorded: a line of the table.
struct Subject {
    name: &'static str,
    goal_mib: f64,
    who: Who,
}

#[derive(Clone, Copy)]
enum Who {
    Workload(&'static str),
    Node,
    Everyone,
}

const SUBJECTS: [Subject; 4] = [
    subject("the C workload", 40.0, Who::Workload("c")),
    subject("python3", 60.0, Who::Workload("python")),
    subject("node", 60.0, Who::Node),
    subject(
        "every process, with all of these running",
        150.0,
        Who::Everyone,
    ),
];

const fn subject(name: &'static str, goal_mib: f64, who: Who) -> Subject {
    Subject {
        name,
        goal_mib,
        who,
    }
}

/// Measures and tells.
pub(super) fn measure(plan: &Plan) -> Result<String> {
    let mut text = format!(
        "\n## Memory\n\n{} s at 99 Hz, symbols and all; peak of resident memory, and what the kernel accounts to BPF maps and \
         programs, rows included; medians.\n\n| beside | resident MiB | BPF MiB | together |\n| --- | --- | --- | --- |\n",
        plan.seconds
    );
    let mut goals = String::new();
    for subject in SUBJECTS {
        eprintln!("memory: {}", subject.name);
        let rounds: Vec<(f64, f64)> = (0..plan.rounds.min(3))
            .map(|_| peak(plan, subject.who))
            .collect::<Result<_>>()?;
        let resident = median(rounds.iter().map(|round| round.0)).unwrap_or(f64::NAN);
        let bpf = median(rounds.iter().map(|round| round.1)).unwrap_or(f64::NAN);
        let together = resident + bpf;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {resident:.1} | {bpf:.1} | {together:.1} |",
            subject.name
        );
        goals += &goal(subject.name, Some(together), subject.goal_mib, "MiB");
    }
    Ok(text + "\n" + &goals)
}

/// Resident memory and memory in the kernel at their peaks, in MiB.
fn peak(plan: &Plan, who: Who) -> Result<(f64, f64)> {
    let _others: Vec<Running> = match who {
        Who::Everyone => vec![
            start(Who::Workload("c"))?,
            start(Who::Workload("python"))?,
            start(Who::Node)?,
        ],
        _ => Vec::new(),
    };
    let target = match who {
        Who::Everyone => None,
        _ => Some(start(who)?),
    };
    plan.patience.wait(WARM_UP)?;
    let directory = super::below(plan, "memory")?;
    let files = Files(&directory);
    let mut command = Command::new(&plan.profiler);
    match &target {
        Some(target) => command.args(["-p", &target.pid().to_string()]),
        None => command.arg("-a"),
    };
    command.arg("-o").arg(files.profile(Kind::Ours));
    let running = measure::start(&command, &files.stdout(), &files.stderr())?;
    plan.patience
        .wait(Duration::from_secs(plan.seconds.into()))?;
    let bpf = recording::bpf_memory_kib(&running) as f64 / 1024.0;
    running.interrupt()?;
    let usage = running.finish()?;
    Ok((usage.peak_kib as f64 / 1024.0, bpf))
}

enum Running {
    Workload(Target),
    Other(Background),
}

impl Running {
    fn pid(&self) -> u32 {
        match self {
            Self::Workload(target) => target.pid,
            Self::Other(process) => process.pid(),
        }
    }
}

fn start(who: Who) -> Result<Running> {
    match who {
        Who::Workload(name) => {
            let workload = WORKLOADS.iter().find(|workload| workload.name == name);
            let mut how = workload.context("no such workload")?.build()?;
            Ok(Running::Workload(Target::start(&mut how)?))
        }
        Who::Node | Who::Everyone => {
            let node: PathBuf = command::find("node").context("there is no node here")?;
            let process = Background::start(Command::new(node).args(["-e", NODE]))?;
            Ok(Running::Other(process))
        }
    }
}
