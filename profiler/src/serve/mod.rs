//! Continuous profiling: the main job's line, run once per window, for as long as nobody says stop.
//!
//! ```text
//! recorder (this thread) ──▶ Counted ──▶ writer (names, pprof, gzip) ──▶ store ──▶ routes ──▶ net (HTTP)
//!                                             demand (profiles that are asked for) ──┘
//! ```
//!
//! The recorder never waits for anything but samples. While the writer is busy a window goes on and is longer; while it
//! hangs, as with a disk that does not answer, what there is no room for is given up and counted.

mod demand;
mod net;
mod notify;
mod own;
mod page;
pub mod query;
mod routes;
mod status;
mod windows;
mod writer;

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::output::store::{Store, StoreSettings};
use crate::pipeline::Recording;
use crate::privileges;
use demand::Demand;
pub(crate) use net::NetSettings;
use net::Prepared;
use notify::Manager;
use routes::Routes;
use status::Status;
use tokio::sync::watch;
use windows::Cutter;
use writer::Writer;

/// Bytes of windows that are kept in memory while the disk refuses: an hour of an ordinary machine.
const BACKLOG: u64 = 16 << 20;

/// How long the last window may take to be written after the signal to stop; systemd kills after 90 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far the service is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Serving,
    /// Sampling has ended; the last window is being written.
    Stopping,
    /// There will be no more windows.
    Ended,
}

impl Phase {
    /// Waits until it has come so far.
    async fn reached(mut follow: watch::Receiver<Self>, phase: Self) {
        // An error means that the service is gone, too.
        let _ = follow.wait_for(|now| *now >= phase).await;
    }
}

/// Waits for the end of a thread, for `patience` at most, and tells whether it has come.
fn ended_within(thread: &JoinHandle<()>, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while !thread.is_finished() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// What can be changed while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// How long a window is.
    pub(crate) window: Duration,
    /// How long windows are kept.
    pub(crate) retain: Duration,
    /// How many bytes they may have together.
    pub(crate) max_size: u64,
}

/// What is served.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What is sampled.
    pub(crate) config: Config,
    /// Where windows are kept.
    pub(crate) dir: PathBuf,
    /// How long, and how many.
    pub(crate) limits: Limits,
    /// Who is answered, and where.
    pub(crate) net: NetSettings,
}

/// Profiles until `stop` becomes readable. Asks `reload` for other limits each time that something was read.
///
/// # Errors
///
/// When it cannot begin, with what mends it; later only when sampling or writing has ended by itself.
pub(crate) fn run(
    settings: Settings,
    stop: BorrowedFd<'_>,
    mut reload: impl FnMut() -> Option<Limits>,
) -> Result<()> {
    let Settings {
        mut config,
        dir,
        mut limits,
        net,
    } = settings;
    config.check()?;
    let net = Prepared::new(net)?;
    let frequency_hz = config.frequency_hz;
    let store = Arc::new(Store::open(StoreSettings {
        dir: dir.clone(),
        retain: limits.retain,
        max_size: limits.max_size,
        backlog: BACKLOG,
    })?);
    let mut manager = Manager::from_environment();
    let mut recording = Recording::start(config.clone())?;
    privileges::drop_to_serve().context("failed to drop capabilities")?;
    let status = Arc::new(Status::new());
    let pushers = Arc::clone(&net.pushers);
    let writer = Writer::start(
        Arc::clone(&store),
        Arc::clone(&status),
        Arc::clone(&pushers),
    )
    .context("failed to start a thread")?;
    let (phase, followed) = watch::channel(Phase::Serving);
    let demand = Demand::start(config, followed.clone()).context("failed to start a thread")?;
    let address = net.address();
    let routes = Routes::new(
        Arc::clone(&store),
        Arc::clone(&status),
        writer.waiting(),
        demand,
        Arc::clone(&net.counts),
        pushers,
    );
    let net = net.begin(routes, followed)?;
    log::info!(
        "sampling all processes at {frequency_hz} Hz; windows of {} go to {}",
        humantime::format_duration(limits.window),
        dir.display()
    );
    if let Some(address) = address {
        log::info!("listening on http://{address}");
    }
    manager.ready();

    let mut cutter = Cutter::new(&writer, &status, &dir);
    recording.run(stop, |recording| {
        manager.alive(Instant::now());
        status.is_recording(|| recording.gauges());
        if let Some(new) = reload().filter(|new| *new != limits) {
            limits = new;
            writer.limit(limits);
        }
        if writer.has_ended() {
            return ControlFlow::Break(());
        }
        cutter.look(recording, limits.window);
        ControlFlow::Continue(())
    })?;
    manager.stopping();
    phase.send_replace(Phase::Stopping);
    if writer.has_ended() {
        bail!(
            "the thread that writes windows has ended by itself; start the profiler again, and report what it said"
        );
    }
    let (tried, mut lost) = recording.tried_and_lost();
    lost += status.sums().given_up;
    writer.write(recording.finish());
    if !writer.finish(PATIENCE) {
        bail!(
            "the last window could not be written in {}; look at the disk of {}",
            humantime::format_duration(PATIENCE),
            dir.display()
        );
    }
    phase.send_replace(Phase::Ended);
    net.finish();
    let counts = store.counts();
    log::info!(
        "stopped; {tried} samples tried, {lost} lost; {} windows written, {} on disk with {} bytes",
        counts.written,
        counts.on_disk,
        counts.bytes
    );
    Ok(())
}
