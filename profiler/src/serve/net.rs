//! The thread that talks to others: it answers over HTTP, and pushes windows. It has given up every right that it does not
//! need for that.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::routes::{self, Routes};
use super::{Phase, ended_within};
use crate::output::http::{self, Access, HttpCounts, Limits, Listen, Server};
use crate::output::push::{HOST_LABEL, PreparedPushers, PushTarget, Pushers};
use crate::privileges;

/// How long clients may take for answers that are being made when the service ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long receivers may take for the last windows.
const LAST_PUSHES: Duration = Duration::from_secs(5);

/// What to talk on, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct NetSettings {
    /// Where clients connect.
    pub(crate) listen: Listen,
    /// What they have to know.
    pub(crate) token_file: Option<PathBuf>,
    /// Where windows go besides.
    pub(crate) push: Vec<PushTarget>,
    /// What receivers are told of this machine besides its name.
    pub(crate) push_labels: Vec<(String, String)>,
}

/// Everything that can be wrong has been looked at; nobody is answered yet.
pub(super) struct Prepared {
    http: Option<(TcpListener, Access)>,
    runtime: Runtime,
    pub(super) counts: Arc<HttpCounts>,
    pub(super) pushers: Arc<Pushers>,
}

/// The thread.
pub(super) struct Net {
    thread: JoinHandle<()>,
}

impl Prepared {
    /// Opens the socket and reads the files that are needed, while it can be told what is wrong with them.
    pub(super) fn new(settings: NetSettings) -> Result<Self> {
        let mut labels = settings.push_labels;
        if !labels.iter().any(|(name, _)| name == HOST_LABEL) {
            let uname = rustix::system::uname();
            let host = uname.nodename().to_string_lossy().into_owned();
            labels.push((HOST_LABEL.to_owned(), host));
        }
        let pushers = PreparedPushers::new(settings.push, labels)?;
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
        // They run as soon as the thread does.
        let pushers = Arc::new(pushers.start(runtime.handle()));
        Ok(Self {
            http,
            runtime,
            counts: Arc::default(),
            pushers,
        })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let (listener, _) = self.http.as_ref()?;
        listener.local_addr().ok()
    }

    /// Begins to answer and to push, until the service ends.
    pub(super) fn begin(self, routes: Routes, phase: watch::Receiver<Phase>) -> Result<Net> {
        let thread = std::thread::Builder::new()
            .name("net".to_owned())
            .spawn(move || self.run(routes, phase))
            .context("failed to start a thread")?;
        Ok(Net { thread })
    }

    fn run(self, routes: Routes, phase: watch::Receiver<Phase>) {
        if let Err(error) = privileges::drop_to_talk() {
            log::warn!("the thread that talks to others keeps its capabilities: {error}");
        }
        let Self {
            http,
            runtime,
            counts,
            pushers,
        } = self;
        let stop = Phase::reached(phase.clone(), Phase::Stopping);
        runtime.block_on(async move {
            if let Some((listener, access)) = http {
                let server = Server {
                    listener,
                    access,
                    limits: Limits::default(),
                    posted: routes::POSTED,
                    counts,
                };
                let routes = Arc::new(routes);
                let answer = move |asked| Arc::clone(&routes).answer(asked);
                if let Err(error) = server.run(answer, stop, PATIENCE).await {
                    log::error!("nobody is answered any more: {error}; start the profiler again");
                }
            }
            Phase::reached(phase, Phase::Ended).await;
            pushers.drain(LAST_PUSHES).await;
        });
        runtime.shutdown_timeout(Duration::ZERO);
    }
}

impl Net {
    /// Waits until it has ended, which it does by itself soon after the service has.
    pub(super) fn finish(self) {
        if !ended_within(&self.thread, PATIENCE + LAST_PUSHES + PATIENCE) {
            log::debug!("some clients were not waited for");
        }
    }
}
