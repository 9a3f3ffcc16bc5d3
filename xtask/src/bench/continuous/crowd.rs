//! Many programs beside each other, and many that come and go.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::super::recording::make_empty;

/// Forks; each child has a name of its own and works for some 2 ms twice a second.
const PROGRAM: &str = "
import hashlib, json, os, re, sys, time, zlib
data = os.urandom(4096)
work = [lambda: hashlib.sha256(data).digest(), lambda: zlib.compress(data), lambda: json.dumps(list(data[:500])),
        lambda: re.findall(rb'[a-z]+', data), lambda: sorted(data), lambda: os.stat('/')]
for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        open('/proc/self/comm', 'w').write('program-%03d' % number)
        time.sleep(0.5 * number / int(sys.argv[1]))
        while True:
            end = time.process_time() + 0.002
            while time.process_time() < end:
                work[number % len(work)]()
            time.sleep(0.5)
print('ready', flush=True)
time.sleep(100000)
";

/// Programs that are there all the time; ended when this is dropped.
pub(super) struct Crowd(Child);

impl Crowd {
    /// Starts so many.
    pub(super) fn start(programs: usize) -> Result<Self> {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", PROGRAM, &programs.to_string()]);
        python
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut crowd = Self(python.spawn().context("could not start /usr/bin/python3")?);
        let stdout = crowd.0.stdout.take().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "the programs could not be started");
        Ok(crowd)
    }
}

impl Drop for Crowd {
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

/// Different files that are started.
const FILES: u64 = 100;

/// Starts programs and waits for them, so many a second, until it is dropped. Every second one of the files is replaced, so
/// that new binaries come all the time.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    started: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// Starts them, from files below `directory`.
    pub(super) fn start(directory: &Path, a_second: u32) -> Result<Self> {
        make_empty(directory)?;
        let files: Vec<PathBuf> = (0..FILES)
            .map(|number| directory.join(format!("short-{number}")))
            .collect();
        for file in &files {
            replace(file)?;
        }
        let (stop, started) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&started));
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let file = &files[(number % FILES) as usize];
                if number % u64::from(a_second) == 0 {
                    // What cannot be replaced is started as it is.
                    let _ = replace(file);
                }
                let _ = Command::new(file).stdin(Stdio::null()).status();
                let due = Duration::from_secs_f64((number + 1) as f64 / f64::from(a_second));
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        });
        Ok(Self {
            stop,
            started,
            thread: Some(thread),
        })
    }

    /// How many have been started so far.
    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that has failed has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Puts a new file with the program there; the one before stays with who runs it.
fn replace(file: &Path) -> Result<()> {
    let beside = file.with_extension("new");
    fs::copy("/bin/true", &beside).context("/bin/true cannot be copied")?;
    fs::rename(&beside, file)?;
    Ok(())
}
