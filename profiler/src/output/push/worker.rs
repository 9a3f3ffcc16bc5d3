//! The task of one target: takes windows out of the queue, and tries until they have arrived or never will.
//!
//! One line of the log for each change, not for each try.

use std::sync::Arc;

use super::backoff::{Backoff, Pauses};
use super::failure::{Failure, Verdict};
use super::message::Message;
use super::queue::{End, Number, Queue};
use super::sender::Sender;
use super::{Machine, Receiver};
use crate::output::Window;

/// How a target has done lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Untried,
    Works,
    Waits,
    Refuses,
}

/// Moves windows from a queue to a receiver.
pub(super) struct Worker {
    receiver: Receiver,
    /// For messages.
    name: String,
    queue: Arc<Queue>,
    machine: Arc<Machine>,
    sender: Sender,
    backoff: Backoff,
    tries_of_unclear: u32,
    standing: Standing,
    /// How many windows had been dropped when it last worked.
    dropped_before: u64,
}

impl Worker {
    pub(super) fn new(
        receiver: Receiver,
        name: String,
        queue: Arc<Queue>,
        machine: Arc<Machine>,
        sender: Sender,
        pauses: Pauses,
        tries_of_unclear: u32,
    ) -> Self {
        Self {
            receiver,
            name,
            queue,
            machine,
            sender,
            backoff: Backoff::new(pauses),
            tries_of_unclear,
            standing: Standing::Untried,
            dropped_before: 0,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some((number, window)) = self.queue.next().await {
            self.deliver(number, window).await;
        }
    }

    /// The message for a window, made where it holds up nobody, for one target after the other: all get their windows at
    /// the same time, and a message is many times larger than its window while it is made.
    async fn prepare(&self, window: Window) -> Result<Message, String> {
        let _turn = self.machine.turn.lock().await;
        let machine = Arc::clone(&self.machine);
        let receiver = self.receiver;
        let made =
            tokio::task::spawn_blocking(move || Message::of(receiver, &machine.labels, &window));
        match made.await {
            Ok(message) => message.map_err(|cause| cause.to_string()),
            Err(cause) => Err(format!("making the message failed: {cause}")),
        }
    }

    /// Tries until the window has left the queue. The message is made for each try, as it is much larger than the window
    /// and pauses are long.
    async fn deliver(&mut self, number: Number, window: Window) {
        let mut unclear = 0;
        while self.queue.begin(number) {
            let message = match self.prepare(window.clone()).await {
                Ok(message) => message,
                Err(why) => {
                    log::warn!("a window cannot be pushed to {}: {why}", self.name);
                    self.queue.settle(number, End::Unreadable(why));
                    return;
                }
            };
            let size = message.size();
            let Err(failure) = self.sender.send(message).await else {
                self.queue.settle(number, End::Sent(size));
                self.backoff.reset();
                self.works();
                return;
            };
            let pause = match failure.verdict {
                Verdict::Later(asked) => self.backoff.next(asked),
                Verdict::NoAnswer => self.backoff.next(None),
                Verdict::Unclear if unclear + 1 < self.tries_of_unclear => {
                    unclear += 1;
                    self.backoff.next(None)
                }
                Verdict::Unauthorized if self.sender.has_new_credentials().await => {
                    self.queue.retry_later(&failure.why);
                    continue;
                }
                Verdict::Unauthorized | Verdict::Misconfigured => self.backoff.long(),
                Verdict::Unclear | Verdict::Refused => {
                    self.refuses(&failure);
                    self.queue.settle(number, End::Refused(failure.why));
                    self.backoff.reset();
                    return;
                }
            };
            self.waits(&failure);
            self.queue.retry_later(&failure.why);
            // Whether the pause was cut short does not matter.
            let _ = tokio::time::timeout(pause, self.queue.hurry()).await;
        }
    }

    fn works(&mut self) {
        let dropped = self.queue.tally().dropped.total();
        match self.standing {
            Standing::Works => {}
            Standing::Untried => log::info!("windows are pushed to {}", self.name),
            Standing::Waits | Standing::Refuses => log::info!(
                "pushing to {} works again; {} windows were lost to it meanwhile",
                self.name,
                dropped - self.dropped_before
            ),
        }
        self.standing = Standing::Works;
        self.dropped_before = dropped;
    }

    fn waits(&mut self, failure: &Failure) {
        if self.standing != Standing::Waits {
            log::warn!(
                "pushing to {} fails: {}; windows are kept and tried again",
                self.name,
                failure.why
            );
        }
        self.standing = Standing::Waits;
    }

    fn refuses(&mut self, failure: &Failure) {
        if self.standing != Standing::Refuses {
            log::warn!("{} does not take windows: {}", self.name, failure.why);
        }
        self.standing = Standing::Refuses;
    }
}
