//! A service that is measured: how much it has spent, thread by thread, and what its windows are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::files::Files;
use super::super::measure::{self, Running, now_ns};
use super::super::processes;
use super::super::recording::{Patience, bpf_memory_kib, make_empty};
use super::median;

/// After so many lengths of a window there is none.
const LATE: u32 = 3;

/// A running service.
pub(super) struct Service {
    running: Running,
    directory: PathBuf,
    window: Duration,
    seen: usize,
}

/// What a service has used up to a time, or between two; figures are per window then.
#[derive(Clone, Default)]
pub(super) struct Spent {
    at_ns: u64,
    cpu_s: f64,
    /// By the name of threads.
    threads_s: BTreeMap<String, f64>,
    /// Percent of a core, of the process.
    pub(super) percent: Option<f64>,
    threads: BTreeMap<String, f64>,
    bpf_percent: Option<f64>,
    pub(super) window_kib: Option<f64>,
    samples: Option<f64>,
    pub(super) mib: Option<f64>,
    pub(super) bpf_mib: Option<f64>,
}

impl Service {
    pub(super) fn start(
        profiler: &Path,
        directory: &Path,
        window: Duration,
        frequency: u32,
    ) -> Result<Self> {
        make_empty(directory)?;
        let windows = directory.join("windows");
        let mut command = Command::new(profiler);
        command.args([
            "serve",
            "-v",
            "--log-format",
            "json",
            "--listen",
            "127.0.0.1:0",
        ]);
        command.arg("--dir").arg(&windows);
        command.args(["--window", &format!("{}s", window.as_secs())]);
        command.args(["--frequency", &frequency.to_string()]);
        let files = Files(directory);
        Ok(Self {
            running: measure::start(&command, &files.stdout(), &files.stderr())?,
            directory: windows,
            window,
            seen: 0,
        })
    }

    /// Waits until there is one more window.
    pub(super) fn next_window(&mut self, patience: &Patience) -> Result<()> {
        let begun = now_ns();
        while self.files()?.len() <= self.seen {
            let late = u128::from(now_ns() - begun) > (self.window * LATE).as_nanos();
            ensure!(
                !late,
                "no window comes; look at {}",
                self.directory.with_file_name("stderr").display()
            );
            patience.wait(Duration::from_millis(100))?;
        }
        self.seen += 1;
        Ok(())
    }

    /// What it has used so far, and what it has.
    pub(super) fn spent(&self) -> Result<Spent> {
        let pid = self.running.pid;
        let newest = self.files()?.into_iter().last();
        let bytes = newest.as_ref().and_then(|path| fs::metadata(path).ok());
        let samples = newest.as_deref().and_then(samples_of);
        Ok(Spent {
            at_ns: now_ns(),
            cpu_s: processes::cpu_s(pid)?,
            threads_s: threads_s(pid)?,
            window_kib: bytes.map(|meta| meta.len() as f64 / 1024.0),
            samples,
            mib: Some(self.mib()?),
            bpf_mib: Some(self.bpf_mib()),
            ..Spent::default()
        })
    }

    /// Its resident memory.
    pub(super) fn mib(&self) -> Result<f64> {
        Ok(processes::resident_kib(self.running.pid)? as f64 / 1024.0)
    }

    /// Open files, binaries and BPF among them.
    pub(super) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.running.pid))?.count())
    }

    /// What the kernel accounts to its maps and programs.
    pub(super) fn bpf_mib(&self) -> f64 {
        bpf_memory_kib(&self.running) as f64 / 1024.0
    }

    /// Ends it, and says how much of a core its BPF programs took from its start to its end.
    pub(super) fn stop(self) -> Result<Option<f64>> {
        let started_ns = self.running.started_ns;
        self.running.interrupt()?;
        let ended_ns = self.running.finish()?.ended_ns;
        let stderr = self.directory.with_file_name("stderr");
        let log = fs::read_to_string(stderr)?;
        // Each line is `BPF program NAME: N ns in …`.
        let times = log.split("BPF program ").skip(1).filter_map(|line| {
            let (_, rest) = line.split_once(": ")?;
            rest.split(' ').next()?.parse::<f64>().ok()
        });
        let times: Vec<f64> = times.collect();
        let all_ns: f64 = times.iter().sum();
        Ok((!times.is_empty()).then(|| 100.0 * all_ns / (ended_ns - started_ns) as f64))
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Ok(Vec::new());
        };
        let paths = entries.map(|entry| Ok(entry?.path()));
        let mut paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
        paths.retain(|path| path.to_string_lossy().ends_with(".pb.gz"));
        paths.sort();
        Ok(paths)
    }
}

impl Spent {
    /// What was used since `before`, and what there is now.
    pub(super) fn since(&self, before: &Self) -> Self {
        let seconds = (self.at_ns - before.at_ns) as f64 / 1e9;
        let threads = self.threads_s.iter().map(|(name, now_s)| {
            let before_s = before.threads_s.get(name).unwrap_or(&0.0);
            (name.clone(), 100.0 * (now_s - before_s) / seconds)
        });
        Self {
            percent: Some(100.0 * (self.cpu_s - before.cpu_s) / seconds),
            threads: threads.collect(),
            ..self.clone()
        }
    }

    /// The medians, with what BPF took.
    pub(super) fn median(spent: &[Self], bpf_percent: Option<f64>) -> Self {
        let names: Vec<&String> = spent.iter().flat_map(|one| one.threads.keys()).collect();
        let threads = names.into_iter().filter_map(|name| {
            let percent = median(spent, |one| one.threads.get(name).copied())?;
            Some((name.clone(), percent))
        });
        Self {
            percent: median(spent, |one| one.percent),
            threads: threads.collect(),
            bpf_percent,
            window_kib: median(spent, |one| one.window_kib),
            samples: median(spent, |one| one.samples),
            mib: median(spent, |one| one.mib),
            bpf_mib: median(spent, |one| one.bpf_mib),
            ..Self::default()
        }
    }

    /// Process and BPF together.
    pub(super) fn in_all(&self) -> Option<f64> {
        Some(self.percent? + self.bpf_percent?)
    }

    pub(super) fn row(&self, frequency: u32) -> String {
        let thread = |name: &str| self.threads.get(name).copied().unwrap_or(0.0);
        let (recorder, writer) = (thread("profiler"), thread("writer"));
        let others = self.percent.map(|all| (all - recorder - writer).max(0.0));
        let figures = [
            (self.percent, 2),
            (Some(recorder), 2),
            (Some(writer), 2),
            (others, 2),
            (self.bpf_percent, 2),
            (self.in_all(), 2),
            (self.window_kib, 0),
            (self.samples, 0),
            (self.mib, 1),
            (self.bpf_mib, 1),
        ];
        let mut row = format!("| serve, {frequency} Hz |");
        for (figure, digits) in figures {
            row += &figure.map_or_else(
                || " - |".to_owned(),
                |figure| format!(" {figure:.digits$} |"),
            );
        }
        row + "\n"
    }
}

/// The samples that a window has, as its name says.
fn samples_of(path: &Path) -> Option<f64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".pb.gz")?
        .rsplit('-')
        .next()?
        .parse()
        .ok()
}

/// CPU time of threads by their names: the first field of `schedstat`, in nanoseconds.
fn threads_s(pid: u32) -> Result<BTreeMap<String, f64>> {
    let mut threads = BTreeMap::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the service has ended")?;
    for task in tasks {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"));
        let time = fs::read_to_string(task.join("schedstat"));
        // Threads come and go.
        let (Ok(name), Ok(time)) = (name, time) else {
            continue;
        };
        let ns = time.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        *threads.entry(name.trim().to_owned()).or_insert(0.0) += ns.unwrap_or(0.0) / 1e9;
    }
    Ok(threads)
}
