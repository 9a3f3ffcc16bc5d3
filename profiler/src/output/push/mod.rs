//! Pushes each window to the engines that keep the profiles of many machines: Pyroscope, OpenTelemetry's collector, Parca.
//!
//! Each target has a task and a bounded queue of its own, so that one that is down costs the others nothing, and sampling
//! never waits. A window is sent at least once: one whose answer got lost is sent again, with the same id where the
//! receiver's form has one. What is in a profile is left to [`crate::pprof`]; here it is put into the receiver's form.

mod backoff;
mod client;
mod credentials;
mod failure;
mod message;
mod otlp;
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    reason = "generated, and more than is sent"
)]
mod proto;
mod queue;
mod sender;
mod series;
mod target;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub(crate) use backoff::Pauses;
pub(crate) use queue::{Dropped, QueueBounds};
pub(crate) use sender::{SenderError, Timeouts};
pub(crate) use series::{HOST_LABEL, LabelError};
pub(crate) use target::{PushTarget, Receiver};

use queue::Queue;
use sender::Sender;
use worker::Worker;

use super::Window;

/// How much waits, how long, how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PushSettings {
    /// Of each target.
    pub(crate) queue: QueueBounds,
    /// Of each try.
    pub(crate) timeouts: Timeouts,
    /// Between tries.
    pub(crate) pauses: Pauses,
    /// How often a window is tried whose answers say neither yes, nor no, nor later (as 500 does), before it is
    /// dropped: it may be the window that breaks the receiver, and others wait behind it.
    pub(crate) tries_of_unclear: u32,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            queue: QueueBounds::default(),
            timeouts: Timeouts::default(),
            pauses: Pauses::default(),
            tries_of_unclear: 6,
        }
    }
}

/// Why nothing can be pushed; found before anything is sampled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// A label that not every receiver can take.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// A file that a target needs.
    #[error("cannot push to {target}: {cause}")]
    Target {
        /// Which one.
        target: String,
        /// What is wrong.
        cause: SenderError,
    },
}

/// What is known of one target, for metrics: `offered` = `sent` + all of `dropped` + `queued`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PushCounts {
    /// The target, as it was typed.
    pub(crate) target: String,
    /// Its protocol.
    pub(crate) receiver: Receiver,
    /// Windows that came.
    pub(crate) offered: u64,
    /// Windows that arrived.
    pub(crate) sent: u64,
    /// Bytes of their messages, before HTTP compressed them.
    pub(crate) sent_bytes: u64,
    /// Tries that failed and were followed by another one.
    pub(crate) retried: u64,
    /// Windows that never will arrive.
    pub(crate) dropped: Dropped,
    /// Windows that wait or are being sent.
    pub(crate) queued: u64,
    /// Bytes of their profiles.
    pub(crate) queued_bytes: u64,
    /// Why the last try that failed did so, even if others have succeeded since.
    pub(crate) last_error: Option<String>,
}

/// What all windows of this machine have in common.
#[derive(Debug)]
struct Machine {
    labels: Vec<(String, String)>,
}

/// A target, its queue, and its task.
struct Pusher {
    receiver: Receiver,
    name: String,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// All targets.
pub(crate) struct Pushers {
    pushers: Vec<Pusher>,
}

impl Pushers {
    /// Starts a task on `runtime` for each target. `labels` are of the machine: [`HOST_LABEL`], and what the user adds.
    ///
    /// Nothing is connected to yet: a receiver may come later than the profiler. But files that are named must be right.
    pub(crate) fn start(
        targets: Vec<PushTarget>,
        labels: Vec<(String, String)>,
        runtime: &Handle,
    ) -> Result<Self, PushError> {
        Self::start_with(targets, labels, PushSettings::default(), runtime)
    }

    /// [`Self::start`] with other bounds and times.
    fn start_with(
        targets: Vec<PushTarget>,
        labels: Vec<(String, String)>,
        settings: PushSettings,
        runtime: &Handle,
    ) -> Result<Self, PushError> {
        series::check(&labels)?;
        let machine = Arc::new(Machine { labels });
        let mut pushers = Vec::with_capacity(targets.len());
        for target in targets {
            let receiver = target.receiver;
            let name = target.to_string();
            let is_secret_sent = target.token_file.is_some() || target.password_file.is_some();
            if is_secret_sent && target.is_clear_text() {
                log::warn!("credentials go to {name} unencrypted; use https");
            }
            let sender = Sender::new(target, settings.timeouts).map_err(|cause| {
                let target = name.clone();
                PushError::Target { target, cause }
            })?;
            let queue = Arc::new(Queue::new(settings.queue));
            let worker = Worker::new(
                receiver,
                name.clone(),
                Arc::clone(&queue),
                Arc::clone(&machine),
                sender,
                settings.pauses,
                settings.tries_of_unclear,
            );
            pushers.push(Pusher {
                receiver,
                name,
                queue,
                task: runtime.spawn(worker.run()),
            });
        }
        Ok(Self { pushers })
    }

    /// Hands a window to every target. Never waits, and copies no profile.
    pub(crate) fn offer(&self, window: &Window) {
        for pusher in &self.pushers {
            pusher.queue.offer(window);
        }
    }

    /// What has become of the windows, target by target.
    pub(crate) fn counts(&self) -> Vec<PushCounts> {
        let counts = self.pushers.iter().map(|pusher| {
            let tally = pusher.queue.tally();
            PushCounts {
                target: pusher.name.clone(),
                receiver: pusher.receiver,
                offered: tally.offered,
                sent: tally.sent,
                sent_bytes: tally.sent_bytes,
                retried: tally.retried,
                dropped: tally.dropped,
                queued: tally.queued,
                queued_bytes: tally.queued_bytes,
                last_error: tally.last_error,
            }
        });
        counts.collect()
    }

    /// Sends what waits, for `patience` at most, drops and counts the rest, and returns the last counts.
    pub(crate) async fn drain(mut self, patience: Duration) -> Vec<PushCounts> {
        for pusher in &self.pushers {
            pusher.queue.close();
        }
        let end = tokio::time::Instant::now() + patience;
        for pusher in &mut self.pushers {
            let finished = tokio::time::timeout_at(end, &mut pusher.task).await;
            if finished.is_err() {
                pusher.task.abort();
                // What was being sent is not counted as sent behind our back.
                let _ = (&mut pusher.task).await;
            }
            pusher.queue.abandon();
            let ended = pusher.queue.tally().dropped.ended;
            if ended > 0 {
                log::warn!(
                    "{ended} windows could not be pushed to {} in time",
                    pusher.name
                );
            }
        }
        self.counts()
    }
}

impl Drop for Pushers {
    fn drop(&mut self) {
        for pusher in &self.pushers {
            pusher.task.abort();
        }
    }
}
