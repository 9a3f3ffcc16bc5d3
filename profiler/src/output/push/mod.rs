//! Pushes each window to the engines that keep the profiles of many machines: Pyroscope, OpenTelemetry's collector, Parca.
//!
//! Each target has a task and a bounded queue of its own, so that one that is down costs the others nothing, and sampling
//! never waits. A window is sent at least once: one whose answer got lost is sent again, with the same id where the
//! receiver's form has one. What is in a profile is left to [`crate::pprof`]; here it is put into the receiver's form.

mod backoff;
mod client;
mod credentials;
mod failure;
mod files;
mod grpc;
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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// A target that there is already.
    #[error("{0} is there twice; name it once, or each window goes there twice")]
    Twice(String),
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
    /// To make a message.
    turn: tokio::sync::Mutex<()>,
}

/// A target and its queue.
struct Pusher {
    receiver: Receiver,
    name: String,
    queue: Arc<Queue>,
}

/// Targets of which everything that can be wrong has been looked at; nothing is connected to yet, as a receiver may come
/// later than the profiler.
pub(crate) struct PreparedPushers {
    pushers: Vec<Pusher>,
    workers: Vec<Worker>,
}

/// All targets.
pub(crate) struct Pushers {
    pushers: Vec<Pusher>,
    /// Their tasks, until somebody waits for them.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl PreparedPushers {
    /// Reads the files that targets name. `labels` are of the machine: [`HOST_LABEL`], and what the user adds.
    pub(crate) fn new(
        targets: Vec<PushTarget>,
        labels: Vec<(String, String)>,
    ) -> Result<Self, PushError> {
        Self::with(targets, labels, PushSettings::default())
    }

    /// [`Self::new`] with other bounds and times.
    fn with(
        targets: Vec<PushTarget>,
        labels: Vec<(String, String)>,
        settings: PushSettings,
    ) -> Result<Self, PushError> {
        series::check(&labels)?;
        let machine = Arc::new(Machine {
            labels,
            turn: tokio::sync::Mutex::default(),
        });
        let mut prepared = Self {
            pushers: Vec::with_capacity(targets.len()),
            workers: Vec::with_capacity(targets.len()),
        };
        for target in targets {
            prepared.add(target, &machine, settings)?;
        }
        Ok(prepared)
    }

    fn add(
        &mut self,
        target: PushTarget,
        machine: &Arc<Machine>,
        settings: PushSettings,
    ) -> Result<(), PushError> {
        let receiver = target.receiver;
        let name = target.to_string();
        if self.pushers.iter().any(|other| other.name == name) {
            return Err(PushError::Twice(name));
        }
        let is_secret_sent = target.token_file.is_some() || target.password_file.is_some();
        if is_secret_sent && target.is_clear_text() {
            log::warn!("credentials go to {name} unencrypted; use https");
        }
        let sender = Sender::new(target, settings.timeouts).map_err(|cause| {
            let target = name.clone();
            PushError::Target { target, cause }
        })?;
        let queue = Arc::new(Queue::new(settings.queue));
        self.workers.push(Worker::new(
            receiver,
            name.clone(),
            Arc::clone(&queue),
            Arc::clone(machine),
            sender,
            settings.pauses,
            settings.tries_of_unclear,
        ));
        self.pushers.push(Pusher {
            receiver,
            name,
            queue,
        });
        Ok(())
    }

    /// Starts a task on `runtime` for each target.
    pub(crate) fn start(self, runtime: &Handle) -> Pushers {
        let workers = self.workers.into_iter();
        let tasks = workers.map(|worker| runtime.spawn(worker.run())).collect();
        Pushers {
            pushers: self.pushers,
            tasks: Mutex::new(tasks),
        }
    }
}

impl Pushers {
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
    pub(crate) async fn drain(&self, patience: Duration) -> Vec<PushCounts> {
        for pusher in &self.pushers {
            pusher.queue.close();
        }
        let tasks = std::mem::take(&mut *self.lock_tasks());
        let end = tokio::time::Instant::now() + patience;
        for mut task in tasks {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
                // What was being sent is not counted as sent behind our back.
                let _ = task.await;
            }
        }
        for pusher in &self.pushers {
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

    fn lock_tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        // A list of handles is whole whoever panicked.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pushers {
    fn drop(&mut self) {
        for task in &*self.lock_tasks() {
            task.abort();
        }
    }
}
