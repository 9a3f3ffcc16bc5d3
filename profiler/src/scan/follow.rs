//! Going on with processes that start after the first look.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::newcomers::{Newcomers, News, Watching};
use super::{Hit, Scan};

/// When a process is looked at after it has begun to run a program. At first it has the program and its loader, libraries
/// come within milliseconds, and what a program loads by itself comes while it starts.
const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
/// A child that is forked mostly runs another program at once, and is not worth a look before.
const FIRST_OF_FORKED: usize = 1;

/// A scan that goes on: first over the processes that there are, then over each that starts.
///
/// A hit is given once for each process, and again only for another program or another address. Libraries that a program loads later than five seconds after
/// its start are not seen.
#[derive(Debug)]
pub struct Follow {
    scan: Scan,
    newcomers: Newcomers,
    processes: HashMap<u32, Process>,
    /// The next look at each process that has one before it.
    due: BTreeSet<(Instant, u32)>,
    started: bool,
}

/// What is known of a process.
#[derive(Debug)]
struct Process {
    given: HashSet<Hit>,
    since: Instant,
    /// Index of the next look.
    look: usize,
}

impl Follow {
    /// Begins to watch, so that nothing is missed between the first look and the second. Also says how that is done.
    pub fn new(scan: Scan) -> (Self, Watching) {
        let (newcomers, watching) = Newcomers::watch(scan.resolver().procfs());
        let follow = Self {
            scan,
            newcomers,
            processes: HashMap::new(),
            due: BTreeSet::new(),
            started: false,
        };
        (follow, watching)
    }

    /// Waits for the next hits; `None` when `stop` has become readable. The first call gives those of the processes that
    /// there are, if only an empty list.
    ///
    /// # Errors
    ///
    /// The list of processes, or the news of them, cannot be read.
    pub fn next(&mut self, stop: impl AsFd) -> io::Result<Option<Vec<Hit>>> {
        if !self.started {
            self.started = true;
            let pids = self.scan.pids()?;
            return Ok(Some(
                pids.into_iter().flat_map(|pid| self.look_at(pid)).collect(),
            ));
        }
        loop {
            let hits = self.look();
            if !hits.is_empty() || !self.scan.problems().is_empty() {
                return Ok(Some(hits));
            }
            if self.wait(&stop)? {
                return Ok(None);
            }
            for news in self.newcomers.read()? {
                self.take(news)?;
            }
        }
    }

    /// The scan, for its problems.
    pub fn scan(&mut self) -> &mut Scan {
        &mut self.scan
    }

    /// Looks at all processes that are due.
    fn look(&mut self) -> Vec<Hit> {
        let now = Instant::now();
        let mut hits = Vec::new();
        while let Some((at, pid)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, pid));
            hits.append(&mut self.look_at(pid));
            if let Some(process) = self.processes.get_mut(&pid) {
                process.look += 1;
                self.due.extend(process.due(pid));
            }
        }
        hits
    }

    /// What was not given yet of a process.
    fn look_at(&mut self, pid: u32) -> Vec<Hit> {
        let mut hits = self.scan.look_at(pid);
        if hits.is_empty() && !self.processes.contains_key(&pid) {
            return hits;
        }
        let process = self
            .processes
            .entry(pid)
            .or_insert_with(|| Process::new(LOOKS.len()));
        hits.retain(|hit| process.given.insert(hit.clone()));
        hits
    }

    fn take(&mut self, news: News) -> io::Result<()> {
        match news {
            News::Started(pid) => self.expect(pid, FIRST_OF_FORKED),
            News::Executed(pid) => self.expect(pid, 0),
            News::Ended(pid) => drop(self.forget(pid)),
            News::Lost => {
                log::warn!(
                    "the kernel has dropped news of processes; looking at all of them again"
                );
                let now = Instant::now();
                self.due
                    .extend(self.scan.pids()?.into_iter().map(|pid| (now, pid)));
            }
        }
        Ok(())
    }

    /// Looks at a process from now on.
    fn expect(&mut self, pid: u32, look: usize) {
        if !self.scan.asks_for(pid) {
            return;
        }
        let mut process = Process::new(look);
        // A look may have seen the new program before the kernel told of it: its news comes when all of it is mapped.
        if let Some(known) = self.forget(pid) {
            process.given = known.given;
        }
        self.due.extend(process.due(pid));
        self.processes.insert(pid, process);
    }

    fn forget(&mut self, pid: u32) -> Option<Process> {
        let process = self.processes.remove(&pid)?;
        if let Some(due) = process.due(pid) {
            self.due.remove(&due);
        }
        Some(process)
    }

    /// Waits for news or until a look is due; says whether it was asked to stop.
    fn wait(&self, stop: &impl AsFd) -> io::Result<bool> {
        let now = Instant::now();
        let until_due = self
            .due
            .first()
            .map(|(at, _)| at.saturating_duration_since(now));
        let timeout = match (until_due, self.newcomers.patience()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut descriptors = vec![PollFd::new(stop, PollFlags::IN)];
        let news = self.newcomers.descriptor();
        descriptors.extend(news.map(|news| PollFd::from_borrowed_fd(news, PollFlags::IN)));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => Ok(!descriptors[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Process {
    fn new(look: usize) -> Self {
        Self {
            given: HashSet::new(),
            since: Instant::now(),
            look,
        }
    }

    fn due(&self, pid: u32) -> Option<(Instant, u32)> {
        Some((self.since + *LOOKS.get(self.look)?, pid))
    }
}
