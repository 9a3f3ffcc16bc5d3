//! `bench continuous`: what profiling a busy machine all the time costs, and whether it grows.
//!
//! Goals are printed and never asserted: a slow machine is no error.

mod crowd;
mod service;
mod soak;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::figures::median_of;
use super::measure;
use super::options::{self, positive};
use super::recording::{Patience, make_empty};
use super::sysctl::Setting;
use super::target::Target;
use super::unwind::goal;
use super::workload::Workload;
use super::workloads::WORKLOADS;
use super::{machine, peers, processes, report};
use crate::{command, setup, workspace};
use crowd::Crowd;
use service::{Service, Spent};

/// The word behind `cargo xtask bench` that asks for this one.
pub(super) const NAME: &str = "continuous";

const USAGE: &str = "usage: cargo xtask bench continuous [--seconds S] [--windows N] [--soak MINUTES] [--name WHAT]
  --seconds   how long a window is (default 60)
  --windows   how many are measured at each frequency, after the first, 0 for the soak alone (default 3)
  --soak      how long the profiler runs beside 100 new programs a second, 0 for not at all (default 10)
  --name      what the file of results is called behind the date (default continuous)";

/// Programs of the crowd beside the workloads.
const PROGRAMS: usize = 200;

/// Frequency in Hz, and how much of a core everything may take, in percent.
const GOALS: [(u32, f64); 2] = [(19, 0.5), (99, 1.0)];
/// Bytes of a window of [`PROGRAMS`] at 99 Hz, in KiB, and resident memory, in MiB.
const MOST_KIB: f64 = 300.0 * 1000.0 / 1024.0;
const MOST_MIB: f64 = 150.0;

/// What is measured, and with what.
struct Bench {
    profiler: PathBuf,
    perf: PathBuf,
    directory: PathBuf,
    patience: Patience,
    window: Duration,
    windows: usize,
    soak: Duration,
    name: String,
}

/// Measures all of it and keeps the results.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let bench = prepare(arguments)?;
    let load = machine::load();
    let mut text = String::new();
    if bench.windows > 0 {
        text += &bench.costs()?;
    }
    if !bench.soak.is_zero() {
        text += &bench.soak()?;
    }
    let text = report::heading_of_file(&bench.name, &load)? + &text;
    println!(
        "\nresults in {}",
        report::save(&bench.name, &text)?.display()
    );
    Ok(())
}

fn prepare(arguments: &[String]) -> Result<Bench> {
    let (mut seconds, mut windows, mut minutes) = (60, 3, 10);
    let mut name = NAME.to_owned();
    options::each(arguments, USAGE, |option, value| {
        match option {
            "--seconds" => seconds = positive(option, value)?,
            "--windows" if value == "0" => windows = 0,
            "--windows" => windows = positive(option, value)? as usize,
            "--soak" if value == "0" => minutes = 0,
            "--soak" => minutes = positive(option, value)?,
            "--name" => name.clone_from(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if !command::is_root() {
        bail!(
            "profiling all processes needs root: `sudo env PATH=\"$PATH\" cargo xtask bench {NAME}`"
        );
    }
    setup::for_bench()?;
    Ok(Bench {
        // What machines run all the time is what is handed out.
        profiler: crate::profiler::build_static()?,
        perf: peers::perf()?,
        directory: workspace::target().join("bench/continuous"),
        patience: Patience::new()?,
        window: Duration::from_secs(seconds.into()),
        windows,
        soak: Duration::from_secs(60 * u64::from(minutes)),
        name,
    })
}

impl Bench {
    /// Costs beside workloads that keep the CPUs busy and programs that do a little now and then.
    fn costs(&self) -> Result<String> {
        let mut text = format!(
            "\n## Cost\n\nThe program that is handed out, beside the workloads of the suite ({}), which keep all CPUs busy, and {PROGRAMS} programs that do a little now and \
             then. Medians of {} windows of {} s, after the first one. CPU time in percent of one core; threads by their names; BPF as the \
             kernel accounts it to the programs, over the whole run, with its statistics on. perf writes its data and names nothing.\n\n\
             | | CPU % | recorder | writer | others | BPF % | in all % | window KiB | samples | MiB | BPF MiB |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
            names(),
            self.windows,
            self.window.as_secs()
        );
        let _statistics = Setting::set("kernel/bpf_stats_enabled", "1")?;
        let mut goals = String::new();
        for (frequency, most) in GOALS {
            let _load = Load::start()?;
            let spent = self.serve(frequency)?;
            text += &spent.row(frequency);
            goals += &goal(
                &format!("CPU time in all at {frequency} Hz"),
                spent.in_all(),
                most,
                "% of a core",
            );
            goals += &goal(
                &format!("resident memory at {frequency} Hz"),
                spent.mib,
                MOST_MIB,
                "MiB",
            );
            if frequency == 99 {
                goals += &goal("window at 99 Hz", spent.window_kib, MOST_KIB, "KiB");
            }
            let perf = self.perf(frequency)?;
            text +=
                &format!("| perf record -a -g, {frequency} Hz | {perf:.2} | | | | | | | | | |\n");
        }
        Ok(text + "\n" + &goals)
    }

    fn serve(&self, frequency: u32) -> Result<Spent> {
        eprintln!("serve at {frequency} Hz");
        let mut service = Service::start(&self.profiler, &self.directory, self.window, frequency)?;
        // The first window has what is seen for the first time.
        service.next_window(&self.patience)?;
        let mut spent = Vec::new();
        for _ in 0..self.windows {
            let before = service.spent()?;
            service.next_window(&self.patience)?;
            spent.push(service.spent()?.since(&before));
        }
        let bpf = service.stop()?;
        Ok(Spent::median(&spent, bpf))
    }

    /// CPU time of perf in the same situation, in percent of a core.
    fn perf(&self, frequency: u32) -> Result<f64> {
        eprintln!("perf at {frequency} Hz");
        make_empty(&self.directory)?;
        let mut perf = Command::new(&self.perf);
        perf.args(["record", "-a", "-q", "-e", "cpu-clock", "-g", "-F"]);
        perf.arg(frequency.to_string()).arg("-o");
        perf.arg(self.directory.join("perf.data"));
        let files = super::files::Files(&self.directory);
        let running = measure::start(&perf, &files.stdout(), &files.stderr())?;
        self.patience.wait(self.window)?;
        let cpu_s = processes::cpu_s(running.pid)?;
        running.interrupt()?;
        running.finish()?;
        Ok(100.0 * cpu_s / self.window.as_secs_f64())
    }
}

/// Workloads and a crowd that run as long as this lives.
struct Load {
    _targets: Vec<Target>,
    _crowd: Crowd,
}

impl Load {
    fn start() -> Result<Self> {
        let start = |workload: &Workload| {
            let mut target = Target::start(&mut workload.build()?)?;
            target.load()?;
            Ok(target)
        };
        Ok(Self {
            _targets: WORKLOADS.iter().map(start).collect::<Result<_>>()?,
            _crowd: Crowd::start(PROGRAMS)?,
        })
    }
}

fn names() -> String {
    let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
    names.join(", ")
}

/// The middle one of each figure.
fn median(spent: &[Spent], figure: impl Fn(&Spent) -> Option<f64>) -> Option<f64> {
    median_of(spent.iter().filter_map(figure).collect())
}
