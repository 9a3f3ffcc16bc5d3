//! The windows that wait for one receiver, within bounds, and what has become of those that came before.
//!
//! Each window that was offered is sent, dropped with a reason, or still here: the numbers always add up.
//! How windows are sent is left to [`super::worker`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::output::Window;

/// How much may wait. What is being sent at the time does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QueueBounds {
    /// Windows.
    pub(crate) windows: usize,
    /// Bytes of their profiles.
    pub(crate) bytes: usize,
}

impl Default for QueueBounds {
    /// An hour of windows of a busy machine, and less memory than three of them may take together.
    fn default() -> Self {
        Self {
            windows: 1024,
            bytes: 16 << 20,
        }
    }
}

/// Windows that were not sent and never will be, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Dropped {
    /// There were too many newer ones while the receiver took none.
    pub(crate) overflow: u64,
    /// The receiver said no, or could not make up its mind.
    pub(crate) refused: u64,
    /// The profile could not be put into the receiver's form.
    pub(crate) unreadable: u64,
    /// The profiler ended first.
    pub(crate) ended: u64,
}

impl Dropped {
    /// Reasons and numbers, for metrics.
    pub(crate) fn by_reason(&self) -> [(&'static str, u64); 4] {
        [
            ("overflow", self.overflow),
            ("refused", self.refused),
            ("unreadable", self.unreadable),
            ("ended", self.ended),
        ]
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, number)| number).sum()
    }
}

/// What has happened to the windows for one receiver.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) offered: u64,
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    pub(super) retried: u64,
    pub(super) dropped: Dropped,
    pub(super) queued: u64,
    pub(super) queued_bytes: u64,
    pub(super) last_error: Option<String>,
}

/// How a window left the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Sent, in so many bytes.
    Sent(u64),
    /// The receiver does not want it.
    Refused(String),
    /// It is no profile.
    Unreadable(String),
}

/// Names a window in a queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Number(u64);

#[derive(Debug)]
pub(super) struct Queue {
    bounds: QueueBounds,
    state: Mutex<State>,
    /// Something was offered, or the end has come.
    news: Notify,
    /// The end has come: waiting for a better time makes no sense any more.
    hurry: Notify,
}

#[derive(Debug, Default)]
struct State {
    windows: VecDeque<(Number, Window)>,
    /// Whether the first one is being sent.
    is_in_flight: bool,
    is_closed: bool,
    tally: Tally,
}

impl State {
    fn front(&self) -> Option<Number> {
        self.windows.front().map(|(number, _)| *number)
    }

    fn is_over(&self, bounds: QueueBounds) -> bool {
        let waiting = self.windows.iter().skip(usize::from(self.is_in_flight));
        let bytes: usize = waiting
            .clone()
            .map(|(_, window)| window.profile.len())
            .sum();
        waiting.len() > bounds.windows || bytes > bounds.bytes
    }
}

impl Queue {
    pub(super) fn new(bounds: QueueBounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            news: Notify::new(),
            hurry: Notify::new(),
        }
    }

    /// The lock is held for moments only; a panic in one of them leaves nothing half-done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a window. When there are too many then, the oldest that is not being sent goes.
    pub(super) fn offer(&self, window: &Window) {
        let mut state = self.state();
        let number = Number(state.tally.offered);
        state.tally.offered += 1;
        if state.is_closed {
            state.tally.dropped.ended += 1;
            return;
        }
        state.windows.push_back((number, window.clone()));
        let oldest = usize::from(state.is_in_flight);
        while state.is_over(self.bounds) {
            state.windows.remove(oldest);
            state.tally.dropped.overflow += 1;
        }
        drop(state);
        self.news.notify_one();
    }

    /// The oldest window, when there is one; `None` when there never will be.
    pub(super) async fn next(&self) -> Option<(Number, Window)> {
        loop {
            {
                let state = self.state();
                if let Some((number, window)) = state.windows.front() {
                    return Some((*number, window.clone()));
                }
                if state.is_closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// The window is about to be sent; false when it had to make room in the meantime.
    pub(super) fn begin(&self, number: Number) -> bool {
        let mut state = self.state();
        state.is_in_flight = state.front() == Some(number);
        state.is_in_flight
    }

    /// A try has failed, and there will be another one.
    pub(super) fn retry_later(&self, why: &str) {
        let mut state = self.state();
        state.is_in_flight = false;
        state.tally.retried += 1;
        state.tally.last_error = Some(why.to_owned());
        // What came meanwhile was let in because this one did not count.
        while state.is_over(self.bounds) {
            state.windows.pop_front();
            state.tally.dropped.overflow += 1;
        }
    }

    /// The window leaves.
    pub(super) fn settle(&self, number: Number, end: End) {
        let mut state = self.state();
        state.is_in_flight = false;
        if state.front() != Some(number) {
            // It has made room already, and is counted.
            return;
        }
        state.windows.pop_front();
        match end {
            End::Sent(bytes) => {
                state.tally.sent += 1;
                state.tally.sent_bytes += bytes;
            }
            End::Refused(why) => {
                state.tally.dropped.refused += 1;
                state.tally.last_error = Some(why);
            }
            End::Unreadable(why) => {
                state.tally.dropped.unreadable += 1;
                state.tally.last_error = Some(why);
            }
        }
    }

    /// Resolves when waiting makes no sense any more.
    pub(super) async fn hurry(&self) {
        self.hurry.notified().await;
    }

    /// Nothing more will be offered: [`Self::next`] ends with what is there, and pauses are cut short once.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_one();
        self.hurry.notify_one();
    }

    /// Drops what is left.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.is_in_flight = false;
        let left = state.windows.len() as u64;
        state.windows.clear();
        state.tally.dropped.ended += left;
    }

    pub(super) fn tally(&self) -> Tally {
        let state = self.state();
        let bytes = state.windows.iter().map(|(_, window)| window.profile.len());
        Tally {
            queued: state.windows.len() as u64,
            queued_bytes: bytes.sum::<usize>() as u64,
            ..state.tally.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn window(size: usize) -> Window {
        Window {
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs(60),
            program: None,
            samples: 1,
            profile: vec![0; size].into(),
        }
    }

    fn adds_up(tally: &Tally) -> bool {
        tally.offered == tally.sent + tally.dropped.total() + tally.queued
    }

    fn queue(windows: usize, bytes: usize) -> Queue {
        Queue::new(QueueBounds { windows, bytes })
    }

    /// The oldest window makes room, for number and for bytes, and one that is larger than all room is not kept.
    #[tokio::test]
    async fn oldest_goes_first() {
        let queue = queue(3, 10);
        for size in [1, 2, 3, 4] {
            queue.offer(&window(size));
        }
        assert_eq!(queue.next().await.unwrap().1, window(2));
        queue.offer(&window(6));
        assert_eq!(queue.next().await.unwrap().1, window(4));
        queue.offer(&window(11));
        let tally = queue.tally();
        assert_eq!((tally.dropped.overflow, tally.queued), (6, 0));
        assert!(adds_up(&tally), "{tally:?}");
    }

    /// What is being sent does not make room, and does not count; when it has failed it is the oldest again.
    #[tokio::test]
    async fn window_in_flight_stays() {
        let queue = queue(2, 100);
        queue.offer(&window(1));
        let (first, _) = queue.next().await.unwrap();
        assert!(queue.begin(first));
        for size in [2, 3, 4] {
            queue.offer(&window(size));
        }
        assert_eq!(queue.tally().queued, 3);
        queue.retry_later("down");
        assert!(!queue.begin(first));
        let (second, oldest) = queue.next().await.unwrap();
        assert_eq!(oldest, window(3));
        assert!(queue.begin(second));
        queue.settle(second, End::Sent(3));
        let tally = queue.tally();
        assert_eq!(
            (tally.sent, tally.dropped.overflow, tally.queued),
            (1, 2, 1)
        );
        assert_eq!(tally.last_error.as_deref(), Some("down"));
        assert!(adds_up(&tally), "{tally:?}");
    }

    /// After the end what is there is still given out, what comes is counted, and what is left is dropped.
    #[tokio::test]
    async fn ends_are_counted() {
        let queue = queue(5, 100);
        queue.offer(&window(1));
        queue.offer(&window(2));
        queue.close();
        queue.offer(&window(3));
        let (number, _) = queue.next().await.unwrap();
        assert!(queue.begin(number));
        queue.settle(number, End::Unreadable("not gzip".to_owned()));
        queue.abandon();
        assert_eq!(queue.next().await, None);
        let dropped = queue.tally().dropped;
        assert_eq!((dropped.ended, dropped.unreadable), (2, 1));
        assert!(adds_up(&queue.tally()));
    }
}
