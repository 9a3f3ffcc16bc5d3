//! How the service is, in numbers that others may look at while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pipeline::Gauges;
use crate::summary::{Counts, Summary};

/// Sampling reads at least ten times a second; when it has not for so long, something holds it.
const HANGS: Duration = Duration::from_secs(30);

/// What recorder and writer say of themselves.
pub(super) struct Status {
    started: Instant,
    /// When the recorder went round last, in milliseconds since the start.
    seen_at: AtomicU64,
    gauges: Mutex<Gauges>,
    sums: Mutex<Sums>,
}

/// Sums over all windows that have been written up.
#[derive(Clone, Default, Debug)]
pub(super) struct Sums {
    /// Windows.
    pub(super) windows: u64,
    /// What they are made of, and what is missing.
    pub(super) counts: Counts,
    /// Samples that were counted and given up, because windows were not written for too long.
    pub(super) given_up: u64,
    /// Time that writing up took.
    pub(super) writing: Duration,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            seen_at: AtomicU64::new(0),
            gauges: Mutex::default(),
            sums: Mutex::default(),
        }
    }

    /// The recorder has gone round. Its gauges are asked for each second.
    pub(super) fn is_recording(&self, gauges: impl FnOnce() -> Gauges) {
        let now = self.started.elapsed().as_millis() as u64;
        let before = self.seen_at.swap(now, Ordering::Relaxed);
        if now / 1000 != before / 1000 || before == 0 {
            *lock(&self.gauges) = gauges();
        }
    }

    /// A window has been written up in so long.
    pub(super) fn wrote(&self, summary: &Summary, took: Duration) {
        let mut sums = lock(&self.sums);
        sums.windows += 1;
        sums.counts.add(summary);
        sums.writing += took;
    }

    /// What was counted since the last window is given up.
    pub(super) fn gave_up(&self, summary: &Summary) {
        let mut sums = lock(&self.sums);
        sums.counts.losses = sums.counts.losses.plus(&summary.losses);
        sums.given_up += summary.samples;
    }

    /// For how long the recorder has not gone round, if that is too long.
    pub(super) fn hangs_for(&self) -> Option<Duration> {
        let seen = Duration::from_millis(self.seen_at.load(Ordering::Relaxed));
        Some(self.started.elapsed().saturating_sub(seen)).filter(|silent| *silent > HANGS)
    }

    /// What the recorder has at hand.
    pub(super) fn gauges(&self) -> Gauges {
        *lock(&self.gauges)
    }

    /// The sums.
    pub(super) fn sums(&self) -> Sums {
        lock(&self.sums).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Numbers are right one by one, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
