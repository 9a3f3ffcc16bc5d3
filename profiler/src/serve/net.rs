//! The thread that talks to others: it answers over HTTP. It has given up every right that it does not need for that.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::routes::Routes;
use crate::output::http::{self, Access, HttpCounts, Limits, Listen, Server};
use crate::privileges;

/// How long clients may take for answers that are being made when the service ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to talk on, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct NetSettings {
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// What they have to know.
    pub(crate) token_file: Option<PathBuf>,
}

/// Everything that can be wrong has been looked at; nobody is answered yet.
pub(super) struct Prepared {
    http: Option<(TcpListener, Access)>,
    runtime: Runtime,
    pub(super) counts: Arc<HttpCounts>,
}

/// The thread.
pub(super) struct Net {
    thread: JoinHandle<()>,
}

impl Prepared {
    /// Opens the socket, while it can be told that it is somebody else's.
    pub(super) fn new(settings: &NetSettings) -> Result<Self> {
        let http = match settings.listen {
            Listen::Nowhere => None,
            Listen::On(address) => {
                let access = Access::new(address, settings.token_file.as_deref())?;
                Some((http::listen(address)?, access))
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // What waits for disks; what needs memory is bounded by itself.
            .max_blocking_threads(8)
            .thread_name("net-work")
            .build()
            .context("failed to prepare for talking to others")?;
        Ok(Self {
            http,
            runtime,
            counts: Arc::default(),
        })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let (listener, _) = self.http.as_ref()?;
        listener.local_addr().ok()
    }

    /// Begins to answer, until `stopping` becomes true.
    pub(super) fn begin(self, routes: Routes, stopping: watch::Receiver<bool>) -> Result<Net> {
        let thread = std::thread::Builder::new()
            .name("net".to_owned())
            .spawn(move || self.run(routes, stopping))
            .context("failed to start a thread")?;
        Ok(Net { thread })
    }

    fn run(self, routes: Routes, mut stopping: watch::Receiver<bool>) {
        if let Err(error) = privileges::drop_to_talk() {
            log::warn!("the thread that answers clients keeps its capabilities: {error}");
        }
        let routes = Arc::new(routes);
        let Self {
            http,
            runtime,
            counts,
        } = self;
        runtime.block_on(async move {
            let stop = async move {
                // An error means that the service is gone, too.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            };
            let Some((listener, access)) = http else {
                return stop.await;
            };
            let server = Server {
                listener,
                access,
                limits: Limits::default(),
                counts,
            };
            let answered = server
                .run(
                    move |asked| Arc::clone(&routes).answer(asked),
                    stop,
                    PATIENCE,
                )
                .await;
            if let Err(error) = answered {
                log::error!("nobody is answered any more: {error}; start the profiler again");
            }
        });
        runtime.shutdown_timeout(Duration::ZERO);
    }
}

impl Net {
    /// Waits until it has ended, for `patience` at most.
    pub(super) fn finish(self, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !self.thread.is_finished() {
            log::debug!("some clients were not waited for");
        }
    }
}
