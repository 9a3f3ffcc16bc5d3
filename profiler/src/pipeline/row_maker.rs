//! Makes unwind rows beside the loop: a large library takes a twentieth of a second, and the ring must be read meanwhile.
//!
//! Binaries go in, tables come out, in the order in which they get done. Publishing them is left to `unwinding`.

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use profiler_common::Rule;
use rustix::event::{EventfdFlags, eventfd};

use crate::binary::{Binary, FileId};
use crate::unwind::{self, Table};

/// More threads than this are not worth their memory.
const MOST_THREADS: usize = 4;

/// What came of one binary.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: FileId,
    /// Its rows; `None` if it has none.
    pub(super) table: Option<Table>,
    /// The rule where it has no rows.
    pub(super) gap: Rule,
    /// How many rows there are.
    pub(super) rows: u64,
    /// What making them took.
    pub(super) time: Duration,
}

/// The threads, started when the first binary comes.
#[derive(Debug)]
pub(super) struct RowMaker {
    threads: Option<Threads>,
    /// Readable when something is done.
    done: Arc<OwnedFd>,
    /// How many binaries are not done.
    outstanding: usize,
    /// Done without a thread, because none could be had.
    made_here: Vec<Made>,
}

#[derive(Debug)]
struct Threads {
    wanted: Sender<Arc<Binary>>,
    made: Receiver<Made>,
    handles: Vec<JoinHandle<()>>,
}

impl RowMaker {
    /// Nothing is started yet.
    pub(super) fn new() -> rustix::io::Result<Self> {
        let done = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            threads: None,
            done: Arc::new(done),
            outstanding: 0,
            made_here: Vec::new(),
        })
    }

    /// Has the rows of a binary made.
    pub(super) fn ask(&mut self, binary: &Arc<Binary>) {
        if self.threads.is_none() {
            self.threads = Threads::start(&self.done);
        }
        self.outstanding += 1;
        let sent = self
            .threads
            .as_ref()
            .is_some_and(|threads| threads.wanted.send(Arc::clone(binary)).is_ok());
        if !sent {
            self.made_here.push(make(binary));
        }
    }

    /// Ends the threads, of which the next binary starts new ones: those that were started before rights are given up
    /// would keep them.
    pub(super) fn dismiss(&mut self) {
        let Some(Threads {
            wanted,
            made,
            handles,
        }) = self.threads.take()
        else {
            return;
        };
        drop(wanted);
        for handle in handles {
            // A panic has been reported by then.
            let _ = handle.join();
        }
        self.made_here.extend(made);
    }

    /// How many binaries are not done yet.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// What has been done by now.
    pub(super) fn take_made(&mut self) -> Vec<Made> {
        // Nothing to be read means that nothing was done.
        let _ = rustix::io::read(&*self.done, &mut [0u8; 8]);
        let mut made = std::mem::take(&mut self.made_here);
        if let Some(threads) = &self.threads {
            made.extend(threads.made.try_iter());
        }
        self.outstanding -= made.len();
        made
    }

    /// Waits for the next to be done, at most until `deadline`.
    pub(super) fn wait(&mut self, deadline: Instant) -> Vec<Made> {
        let mut made = self.take_made();
        if made.is_empty()
            && self.outstanding > 0
            && let Some(threads) = &self.threads
        {
            let left = deadline.saturating_duration_since(Instant::now());
            match threads.made.recv_timeout(left) {
                Ok(next) => made.push(next),
                Err(RecvTimeoutError::Timeout) => {}
                // All threads are gone, which only a panic outside of `make` could do.
                Err(RecvTimeoutError::Disconnected) => self.outstanding = 0,
            }
            self.outstanding = self.outstanding.saturating_sub(made.len());
        }
        made
    }
}

impl AsFd for RowMaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        (*self.done).as_fd()
    }
}

impl Threads {
    /// As many as there are CPUs to use; `None` if there is not even one.
    fn start(done: &Arc<OwnedFd>) -> Option<Self> {
        let (wanted, queue) = channel::<Arc<Binary>>();
        let (results, made) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut handles = Vec::new();
        for number in 0..cpus.min(MOST_THREADS) {
            let (queue, results, done) = (Arc::clone(&queue), results.clone(), Arc::clone(done));
            let thread = std::thread::Builder::new()
                .name(format!("rows-{number}"))
                .spawn(move || work(&queue, &results, &done));
            match thread {
                Ok(handle) => handles.push(handle),
                Err(error) => log::debug!("no thread for unwind rows: {error}"),
            }
        }
        (!handles.is_empty()).then_some(Self {
            wanted,
            made,
            handles,
        })
    }
}

fn work(queue: &Mutex<Receiver<Arc<Binary>>>, results: &Sender<Made>, done: &OwnedFd) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // The other side is gone: the recording is over.
        let Ok(binary) = next else { return };
        if results.send(make(&binary)).is_err() {
            return;
        }
        // Fails only when the counter is full, and then the reader is awake.
        let _ = rustix::io::write(done, &1u64.to_ne_bytes());
    }
}

/// The table of one binary. Whatever goes wrong costs this binary only.
fn make(binary: &Binary) -> Made {
    let began = Instant::now();
    let mut made = Made {
        id: binary.id(),
        table: None,
        gap: Rule::NO_TABLE,
        rows: 0,
        time: Duration::ZERO,
    };
    let rows = catch_unwind(AssertUnwindSafe(|| {
        unwind::for_binary(binary).map(|rows| {
            let table = (!rows.is_empty()).then(|| Table::new(&rows));
            (table, rows.gap(), rows.len() as u64)
        })
    }));
    let name = binary.path().display();
    match rows {
        Ok(Ok((table, gap, rows))) => {
            made.table = table;
            made.gap = gap;
            made.rows = rows;
        }
        Ok(Err(error)) => log::debug!("no unwind rows of {name}: {error}"),
        Err(panic) => log::warn!(
            "the unwind information of {name} could not be read: {}; its stacks may be cut",
            message(&*panic)
        ),
    }
    made.time = began.elapsed();
    made
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("an error inside of the reader")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_binary() -> Arc<Binary> {
        Arc::new(Binary::open("/proc/self/exe").unwrap())
    }

    /// What was asked for comes back, once, and the descriptor tells when.
    #[test]
    fn rows_come_back() {
        let mut maker = RowMaker::new().unwrap();
        let binary = own_binary();
        assert!(maker.take_made().is_empty());
        maker.ask(&binary);
        assert_eq!(maker.outstanding(), 1);
        let mut fds = [rustix::event::PollFd::new(
            &maker,
            rustix::event::PollFlags::IN,
        )];
        assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
        let made = maker.take_made();
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].id, binary.id());
        assert!(made[0].table.is_some() && made[0].rows > 100);
        assert_eq!(maker.outstanding(), 0);
        assert!(maker.take_made().is_empty());
    }

    /// Waiting ends with the last result, and when there is nothing to wait for.
    #[test]
    fn waiting_ends() {
        let mut maker = RowMaker::new().unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        assert!(maker.wait(far).is_empty());
        let binary = own_binary();
        for _ in 0..3 {
            maker.ask(&binary);
        }
        let mut made = 0;
        while maker.outstanding() > 0 {
            made += maker.wait(far).len();
        }
        assert_eq!(made, 3);
        maker.ask(&binary);
        maker.dismiss();
        assert_eq!(maker.wait(far).len(), 1);
        assert!(maker.wait(far).is_empty());
    }
}
