//! Profiles that somebody asks for, of one process or of all, beside the continuous one and independent of it.
//!
//! Each is a recording of its own in a thread of its own. A thread that kept its rights starts them: that which talks to
//! clients has given up its own.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Result;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::Phase;
use super::writer::NAMING_MEMORY;
use crate::config::Config;
use crate::pipeline::{NameMemory, Recording, naming_options};
use crate::resident;

/// Profiles at once. Each has BPF programs and tables of its own.
const MOST: usize = 4;

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    /// Which process; all without.
    pub(super) pid: Option<u32>,
    /// For how long.
    pub(super) duration: Duration,
    /// Samples per second on each CPU.
    pub(super) frequency_hz: u32,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemandError {
    /// As many as there may be are being taken.
    #[error("{MOST} profiles are being taken, which is the most at once; ask again in a while")]
    Busy,
    /// It cannot be taken, or has failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Takes profiles.
pub(super) struct Demand {
    config: Config,
    asks: Sender<Ask>,
    room: Arc<Semaphore>,
    taken: AtomicU64,
    /// When the service ends, what there is by then is the profile.
    phase: watch::Receiver<Phase>,
}

struct Ask {
    config: Config,
    /// Becomes readable, or has nobody at its other end, when it should stop.
    stop: OwnedFd,
    answer: oneshot::Sender<Result<Vec<u8>>>,
    /// Given back when the recording has ended, not when the client has gone.
    permit: OwnedSemaphorePermit,
}

impl Demand {
    /// Starts the thread that starts them, with the rights of this one. They are as `config` says but for what is ordered.
    pub(super) fn start(config: Config, phase: watch::Receiver<Phase>) -> io::Result<Self> {
        let (asks, receiver) = channel();
        std::thread::Builder::new()
            .name("demand".to_owned())
            .spawn(move || start_all(&receiver))?;
        Ok(Self {
            config,
            asks,
            room: Arc::new(Semaphore::new(MOST)),
            taken: AtomicU64::new(0),
            phase,
        })
    }

    /// Takes a profile and returns it gzipped. It ends when this future is dropped.
    pub(super) async fn profile(&self, order: Order) -> Result<Vec<u8>, DemandError> {
        let permit = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| DemandError::Busy)?;
        let (stop, going_on) = pipe_with(PipeFlags::CLOEXEC).map_err(anyhow::Error::from)?;
        let (answer, mut answered) = oneshot::channel();
        let ask = Ask {
            config: self
                .config
                .on_demand(order.pid, order.duration, order.frequency_hz),
            stop,
            answer,
            permit,
        };
        let ended = || {
            anyhow::anyhow!(
                "the thread that takes profiles has ended by itself; start the profiler again"
            )
        };
        self.asks.send(ask).map_err(|_| ended())?;
        let stopped = Phase::reached(self.phase.clone(), Phase::Stopping);
        let profile = tokio::select! {
            profile = &mut answered => profile,
            () = stopped => {
                drop(going_on);
                answered.await
            }
        };
        let profile = profile.map_err(|_| ended())??;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(profile)
    }

    /// Profiles that are being taken, now.
    pub(super) fn running(&self) -> usize {
        MOST - self.room.available_permits()
    }

    /// Profiles that have been taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

fn start_all(asks: &Receiver<Ask>) {
    for ask in asks {
        let thread = std::thread::Builder::new()
            .name("on-demand".to_owned())
            .spawn(move || {
                let Ask {
                    config,
                    stop,
                    answer,
                    permit,
                } = ask;
                // Whether the client is still there does not matter.
                let _ = answer.send(take(config, &stop));
                resident::give_back();
                drop(permit);
            });
        if let Err(error) = thread {
            log::warn!(
                "a profile that was asked for cannot be taken: no thread to be had: {error}"
            );
        }
    }
}

fn take(mut config: Config, stop: &OwnedFd) -> Result<Vec<u8>> {
    config.check()?;
    let mut recording = Recording::start(config)?;
    recording.run(stop.as_fd(), |_| std::ops::ControlFlow::Continue(()))?;
    let mut names = NameMemory::default();
    let (profiles, summary) = recording
        .finish()
        .write_up_each(&mut names, &naming_options(NAMING_MEMORY));
    log::debug!(
        "a profile on demand has {} samples, {} lost",
        summary.samples,
        summary.lost()
    );
    let profile = profiles.into_iter().next().map(|one| one.profile);
    Ok(profile.unwrap_or_default())
}
