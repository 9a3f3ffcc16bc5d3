//! `bench processes`: what profiling a whole machine costs on which processes come and go, or are many, or large.
//!
//! Goals are printed and never asserted: a slow machine is no error.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::files::Files;
use super::measure::{self, Running, children_s};
use super::options::{self, positive};
use super::recording::{Patience, make_empty};
use super::unwind::goal;
use super::{machine, peers, report};
use crate::{command, setup, workspace};

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "processes";

const USAGE: &str = "usage: cargo xtask bench processes [--processes N] [--name WHAT]
  --processes   how many are started and ended (default 10000)
  --name        what the file of results is called behind the date (default processes)";

/// Processes that are alive together, and what each of them has mapped to run.
const ALIVE: usize = 1_000;
const MAPPINGS: usize = 100;
/// What one large process has mapped, half of it to run; the kernel allows 65,530 (`vm.max_map_count`).
const LARGE: usize = 60_000;
/// Until a profiler samples, and until one has settled after what happened.
const SETTLE: Duration = Duration::from_secs(4);
/// How long a profiler is let run beside processes that only wait.
const AWHILE: Duration = Duration::from_secs(2);

/// Processes of a crowd that do not wait.
const BUSY: usize = 4;

/// Maps every other page to run, so that the kernel does not make one mapping of them; forks, and waits. Some children
/// use the CPU instead, and so does the parent when it is to map and unmap all the time.
const MAPPER: &str = "
import mmap, os, signal, sys
count, children, busy, storm = (int(argument) for argument in sys.argv[1:])
flags, rights = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_EXEC)
kept = [mmap.mmap(-1, 4096, flags=flags, prot=rights[i % 2]) for i in range(count)]
for child in range(children):
    if os.fork() == 0:
        while child < busy:
            pass
        signal.pause()
print('ready', flush=True)
while storm:
    mmap.mmap(-1, 4096, flags=flags, prot=rights[1]).close()
signal.pause()
";

/// Measures all of them and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let (processes, name) = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "profiling all processes needs root: `sudo env PATH=\"$PATH\" cargo xtask bench {NAME}`"
        );
    }
    setup::for_bench()?;
    let bench = Bench {
        profiler: crate::profiler::build()?,
        perf: peers::perf()?,
        directory: workspace::target().join("bench/processes"),
        patience: Patience::new()?,
    };
    let load = machine::load();
    let mut text = bench.storm(processes)?;
    text += &bench.many()?;
    text += &bench.large()?;
    text += &bench.large_and_busy()?;
    let text = report::heading_of_file(&name, &load)? + &text;
    println!("\nresults in {}", report::save(&name, &text)?.display());
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(usize, String)> {
    let (mut processes, mut name) = (10_000, NAME.to_owned());
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--processes" => processes = positive(option, value)? as usize,
            "--name" => name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((processes, name))
}

struct Bench {
    profiler: PathBuf,
    perf: PathBuf,
    directory: PathBuf,
    patience: Patience,
}

/// What became of the processes that came and went beside a profiler.
struct Storm {
    /// CPU time of the profiler meanwhile and until it has settled, and in all; of the processes.
    meanwhile_s: f64,
    all_s: f64,
    processes_s: f64,
    /// Resident memory before and afterwards.
    before_kib: u64,
    afterwards_kib: u64,
}

impl Bench {
    /// Processes that come and go.
    fn storm(&self, processes: usize) -> Result<String> {
        let mut text = format!(
            "\n## {processes} processes that come and go\n\nEach is /bin/true, one after the other, beside a profiler of all processes at \
             999 Hz. CPU time as a share of what the processes used themselves: meanwhile and in the {} s afterwards, and from the \
             profiler's start to its end. Resident memory before them, and {} s after the last one.\n\n\
             | | CPU meanwhile % | CPU in all % | MiB before | MiB afterwards |\n|---|---|---|---|---|\n",
            SETTLE.as_secs(),
            SETTLE.as_secs()
        );
        let mut perf = Command::new(&self.perf);
        perf.args(["record", "-a", "-q", "-F", "999", "-e", "cpu-clock", "-g"]);
        perf.arg("-o").arg(self.directory.join("perf.data"));
        let ours = self.beside("profiler", &self.ours(&["-a", "-F", "999"]), processes)?;
        let summary = self.summary()?;
        let theirs = self.beside("perf record -g", &perf, processes)?;
        for (name, storm) in [("profiler", &ours), ("perf record -g", &theirs)] {
            text += &format!(
                "| {name} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
                100.0 * storm.meanwhile_s / storm.processes_s,
                100.0 * storm.all_s / storm.processes_s,
                storm.before_kib as f64 / 1024.0,
                storm.afterwards_kib as f64 / 1024.0,
            );
        }
        let number = |key: &str| summary[key].as_u64().unwrap_or_default();
        let (tried, samples) = (number("samples_tried"), number("samples"));
        let (in_between, cut) = cut(&summary);
        text += &format!(
            "\n{samples} samples of {} processes, {in_between} of them in exec or exit, without user memory; of the others {:.2} % have a \
             stack that is cut.\n\n",
            number("processes"),
            100.0 * cut as f64 / samples.saturating_sub(in_between).max(1) as f64
        );
        let share = 100.0 * ours.meanwhile_s / ours.processes_s;
        let growth = 100.0 * (ours.afterwards_kib as f64 / ours.before_kib as f64 - 1.0);
        text += &goal(
            "samples lost",
            Some(tried.saturating_sub(samples) as f64),
            0.0,
            "",
        );
        text += &goal("CPU time meanwhile", Some(share), 3.0, "%");
        text += &goal("memory afterwards, more by", Some(growth), 20.0, "%");
        Ok(text)
    }

    /// Starts and ends processes beside a profiler that is at work.
    fn beside(&self, name: &str, profiler: &Command, processes: usize) -> Result<Storm> {
        eprintln!("{processes} processes beside {name}");
        let running = self.start(profiler)?;
        self.patience.wait(SETTLE)?;
        let before_kib = resident_kib(running.pid)?;
        let (profiler_before, children_before) = (cpu_s(running.pid)?, children_s()?);
        for _ in 0..processes {
            let mut process = Command::new("/bin/true");
            let status = process.stdin(Stdio::null()).status();
            ensure!(status.context("no process could be started")?.success());
        }
        let processes_s = children_s()? - children_before;
        self.patience.wait(SETTLE)?;
        let meanwhile_s = cpu_s(running.pid)? - profiler_before;
        let afterwards_kib = resident_kib(running.pid)?;
        running.interrupt()?;
        Ok(Storm {
            meanwhile_s,
            all_s: running.finish()?.cpu_s,
            processes_s,
            before_kib,
            afterwards_kib,
        })
    }

    /// Many processes that are there from the beginning.
    fn many(&self) -> Result<String> {
        eprintln!("{ALIVE} processes with {MAPPINGS} mappings each");
        let _crowd = Mapper::start(2 * MAPPINGS, ALIVE - 1, BUSY, false)?;
        let mut text = format!(
            "\n## {ALIVE} processes with {MAPPINGS} mappings each\n\nAll but {BUSY} wait. `profiler -a` for {} s.\n\n",
            AWHILE.as_secs()
        );
        text += &self.started(&["-a"], "start of -a")?;
        Ok(text)
    }

    /// One process with as many mappings as the kernel allows.
    fn large(&self) -> Result<String> {
        eprintln!("a process with {LARGE} mappings");
        let large = Mapper::start(LARGE, 0, 0, false)?;
        let mut text = format!(
            "\n## One process with {LARGE} mappings\n\nHalf of them can be run. It waits. `profiler --pid` for {} s.\n\n",
            AWHILE.as_secs()
        );
        let pid = large.0.id().to_string();
        text += &self.started(&["--pid", &pid], "start of --pid")?;
        Ok(text)
    }

    /// The same one, when it maps and unmaps all the time.
    fn large_and_busy(&self) -> Result<String> {
        eprintln!("a process with {LARGE} mappings that maps and unmaps");
        let large = Mapper::start(LARGE, 0, 0, true)?;
        let mut text = format!(
            "\n## The same, mapping and unmapping\n\nOne page to run after the other, as fast as it can. `profiler --pid -F 999` \
             for {} s.\n\n",
            AWHILE.as_secs()
        );
        let pid = large.0.id();
        let before_s = cpu_s(pid)?;
        text += &self.started(&["--pid", &pid.to_string(), "-F", "999"], "start of --pid")?;
        let process_s = cpu_s(pid)? - before_s;
        let summary = self.summary()?;
        let lost = summary["lost"].as_object().into_iter().flatten();
        let lost: u64 = lost.filter_map(|(_, count)| count.as_u64()).sum();
        let (_, cut) = cut(&summary);
        text += &goal("samples lost", Some(lost as f64), 0.0, "");
        text += &format!(
            "- of {} samples {cut} have a stack that is cut, {} records of mappings were lost\n- CPU time of the process \
             meanwhile: {process_s:.2} s\n",
            summary["samples"], summary["lost_memory_events"]
        );
        Ok(text)
    }

    /// What it takes until a profiler samples, and what it has used in the end.
    fn started(&self, options: &[&str], what: &str) -> Result<String> {
        let mut profiler = self.ours(options);
        profiler.args(["-v", "-d"]);
        profiler.arg(format!("{}s", AWHILE.as_secs()));
        let usage = self.start(&profiler)?.finish()?;
        let said = Files(&self.directory).said("sampling began ")?;
        let began_ms = said.first().context("no time is said")?;
        Ok(format!(
            "{}- CPU time: {:.2} s\n- resident memory at its peak: {:.1} MiB\n",
            goal(what, Some(*began_ms as f64 / 1e3), 1.5, "s"),
            usage.cpu_s,
            usage.peak_kib as f64 / 1024.0
        ))
    }

    fn ours(&self, options: &[&str]) -> Command {
        let mut profiler = Command::new(&self.profiler);
        profiler.args(["--log-format", "json"]).args(options);
        profiler.arg("-o").arg(self.directory.join("cpu.pb.gz"));
        profiler
    }

    fn start(&self, profiler: &Command) -> Result<Running> {
        make_empty(&self.directory)?;
        let files = Files(&self.directory);
        measure::start(profiler, &files.stdout(), &files.stderr())
    }

    /// What our own profiler said at its end.
    fn summary(&self) -> Result<Value> {
        let log = fs::read_to_string(Files(&self.directory).stderr())?;
        let messages = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut summaries = messages.filter(|message: &Value| message["message"] == "summary");
        summaries
            .next()
            .with_context(|| format!("no summary: {log}"))
    }
}

/// Processes that have much mapped, and end when this goes.
struct Mapper(Child);

impl Mapper {
    fn start(mappings: usize, children: usize, busy: usize, is_storm: bool) -> Result<Self> {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", MAPPER]);
        let arguments = [mappings, children, busy, is_storm.into()];
        python.args(arguments.map(|argument| argument.to_string()));
        python
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = Self(python.spawn().context("could not start /usr/bin/python3")?);
        let stdout = child.0.stdout.take().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "mapping so much failed");
        Ok(child)
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(group) = Pid::from_raw(pid)
        {
            // Those that have ended by themselves are as well.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Samples without user memory, and those whose stack is not whole for another reason.
fn cut(summary: &Value) -> (u64, u64) {
    let reasons = summary["stacks_cut"].as_object();
    let counts = |is_wanted: fn(&str) -> bool| -> u64 {
        let reasons = reasons.into_iter().flatten();
        let wanted = reasons.filter(|(reason, _)| is_wanted(reason));
        wanted.filter_map(|(_, count)| count.as_u64()).sum()
    };
    (
        counts(|reason| reason == "no user stack"),
        counts(|reason| reason != "no user stack"),
    )
}

/// Resident memory of a process.
pub(super) fn resident_kib(pid: u32) -> Result<u64> {
    let size = machine::value_in(&format!("/proc/{pid}/status"), "VmRSS", ':');
    let number = size
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number.with_context(|| format!("process {pid} has no memory"))
}

/// User and system time of a process so far, in seconds, with threads that have ended: fields 14 and 15 of `stat`, in ticks
/// (proc_pid_stat(5)).
pub(super) fn cpu_s(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, behind_name) = stat.rsplit_once(')').context("stat is not as it was")?;
    let fields = behind_name.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}
