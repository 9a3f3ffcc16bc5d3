//! The thread that names and writes windows, so that sampling does not wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::status::Status;
use super::{Limits, ended_within};
use crate::output::Window;
use crate::output::push::Pushers;
use crate::output::store::Store;
use crate::pipeline::{Counted, NameMemory, naming_options};
use crate::resident;

/// Windows that wait or are being written, beyond which none is cut. The last one may be one more.
const MOST_WAITING: usize = 2;

/// Bytes that naming the addresses of one binary may take: less than for a single profile, as this runs beside the work
/// of the machine for ever. What needs more is named by symbol tables alone.
pub(super) const NAMING_MEMORY: u64 = 48 << 20;

/// How many windows wait or are being written.
#[derive(Clone, Default, Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// The number, now.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Whether another window may be cut now.
    pub(super) fn has_room(&self) -> bool {
        self.count() < MOST_WAITING
    }
}

/// What the thread is asked to do.
enum Job {
    Write(Box<Counted>),
    /// Other limits hold. Removing what is too much is up to this thread, as the disk may take its time.
    Limit(Limits),
}

/// The thread and what waits for it.
pub(super) struct Writer {
    waiting: Waiting,
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        store: Arc<Store>,
        status: Arc<Status>,
        pushers: Arc<Pushers>,
    ) -> io::Result<Self> {
        // Its bound is `has_room`: who asks first never waits.
        let (jobs, receiver) = channel();
        let waiting = Waiting::default();
        let waiting_there = waiting.clone();
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let to = Destinations {
                    store,
                    status,
                    pushers,
                };
                do_all(&receiver, &waiting_there, &to);
            })?;
        Ok(Self {
            waiting,
            jobs,
            thread,
        })
    }

    /// Whether another window may be cut now.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.has_room()
    }

    /// What waits for it, for others to look at.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Whether the thread has ended by itself, as it never should.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Hands over a window; never waits.
    pub(super) fn write(&self, window: Counted) {
        self.waiting.0.fetch_add(1, Ordering::AcqRel);
        if self.jobs.send(Job::Write(Box::new(window))).is_err() {
            log::error!("a window is lost, because the thread that writes windows has ended");
        }
    }

    /// Has other limits hold; never waits.
    pub(super) fn limit(&self, limits: Limits) {
        // Without the thread there is nothing to limit; that it has ended is said elsewhere.
        let _ = self.jobs.send(Job::Limit(limits));
    }

    /// Has what waits written, for `patience` at most; tells whether all of it was.
    pub(super) fn finish(self, patience: Duration) -> bool {
        drop(self.jobs);
        ended_within(&self.thread, patience) && self.thread.join().is_ok()
    }
}

/// Where windows go, and who is told.
struct Destinations {
    store: Arc<Store>,
    status: Arc<Status>,
    pushers: Arc<Pushers>,
}

fn do_all(jobs: &Receiver<Job>, waiting: &Waiting, to: &Destinations) {
    let mut names = NameMemory::lasting();
    for job in jobs {
        match job {
            Job::Write(window) => {
                write(*window, &mut names, to);
                resident::give_back();
                waiting.0.fetch_sub(1, Ordering::AcqRel);
            }
            Job::Limit(limits) => to.store.set(limits.retain, limits.max_size),
        }
    }
}

fn write(window: Counted, names: &mut NameMemory, to: &Destinations) {
    let began = Instant::now();
    let started_at = window.started_at();
    let (profiles, summary) = window.write_up_each(names, &naming_options(NAMING_MEMORY));
    for one in profiles {
        let window = Window {
            started_at,
            duration: summary.elapsed,
            program: one.program,
            samples: one.samples,
            profile: one.profile.into(),
        };
        to.pushers.offer(&window);
        to.store.put(window);
    }
    to.status.wrote(&summary, began.elapsed());
    let lost = summary.losses.samples();
    if lost > 0 {
        log::warn!(
            "{lost} samples of a window were lost, beside {} that it has",
            summary.samples
        );
    }
    for cost in &summary.costs {
        log::debug!("{cost}");
    }
    for note in &summary.notes {
        log::debug!("{note}");
    }
    log::debug!(
        "window of {} s with {} samples written in {} ms; {} names remembered, {} forgotten for lack of room",
        summary.elapsed.as_secs(),
        summary.samples,
        began.elapsed().as_millis(),
        names.len(),
        names.forgotten()
    );
}
