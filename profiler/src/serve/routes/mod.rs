//! What is answered to which path.

mod exposition;
mod flame;
mod health;
mod index;
mod merged;
mod metrics;
mod profile;
mod totals;
mod windows;

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use tokio::sync::Semaphore;

use super::demand::Demand;
use super::page;
use super::query::{Query, QueryError};
use super::status::Status;
use super::writer::Waiting;
use crate::output::http::{Answer, Asked, HttpCounts, refuse, text};
use crate::output::push::Pushers;
use crate::output::store::Store;
use totals::TotalsMemory;

/// Answers at once that read windows: each may take some hundred MiB while it is made.
const MOST_READING: usize = 1;

/// Where pprof asks for names that a profile lacks, by addresses that it sends: beside `/debug/pprof/profile`, and beside
/// profiles from elsewhere (its `symbolz.go`). Without an answer it shows nothing at all.
pub(super) const POSTED: &[&str] = &["/debug/pprof/symbol", "/profiles/symbolz", "/symbolz"];

/// All that answers are made of.
pub(super) struct Routes {
    pub(super) store: Arc<Store>,
    pub(super) status: Arc<Status>,
    pub(super) waiting: Waiting,
    pub(super) demand: Demand,
    pub(super) http: Arc<HttpCounts>,
    pub(super) pushers: Arc<Pushers>,
    pub(super) reading: Arc<Semaphore>,
    pub(super) totals: Arc<TotalsMemory>,
}

impl Routes {
    pub(super) fn new(
        store: Arc<Store>,
        status: Arc<Status>,
        waiting: Waiting,
        demand: Demand,
        http: Arc<HttpCounts>,
        pushers: Arc<Pushers>,
    ) -> Self {
        Self {
            store,
            status,
            waiting,
            demand,
            http,
            pushers,
            reading: Arc::new(Semaphore::new(MOST_READING)),
            totals: Arc::default(),
        }
    }

    /// Answers.
    pub(super) async fn answer(self: Arc<Self>, asked: Asked) -> Answer {
        let answer = match asked.path.as_str() {
            "/healthz" => self.health(),
            // What can be named is named in the profile.
            path if POSTED.contains(&path) => Ok(plain("num_symbols: 0\n".to_owned())),
            "/metrics" => Ok(self.metrics()),
            "/debug/pprof" | "/debug/pprof/" => Ok(self.index(&asked)),
            "/debug/pprof/profile" => self.profile(&asked).await,
            "/profiles" | "/profiles/" => self.windows(&asked),
            "/profiles/merge" => self.merged(&asked).await,
            "/profiles/totals" => self.totals(&asked).await,
            "/profiles/tree" => self.flame(&asked).await,
            path => match path.strip_prefix("/profiles/") {
                Some(name) => self.window(name).await,
                None => page::at(path)
                    .map(|part| text(part.content_type, part.body))
                    .ok_or_else(|| Refusal::Nothing(asked.path.clone())),
            },
        };
        answer.unwrap_or_else(Refusal::into_answer)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// What was asked makes no sense.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Nothing is there.
    #[error(
        "there is nothing at {0}; what there is: /, /profiles, /debug/pprof/, /metrics, /healthz"
    )]
    Nothing(String),
    /// As the sentence says.
    #[error("{1}")]
    Because(StatusCode, String),
}

impl Refusal {
    fn into_answer(self) -> Answer {
        let status = match &self {
            Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::Nothing(_) => StatusCode::NOT_FOUND,
            Self::Because(status, _) => *status,
        };
        refuse(status, self.to_string())
    }
}

/// A stretch of time, as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

impl Span {
    /// From these keys of a query.
    fn of(query: &Query, from: &str, to: &str, now: SystemTime) -> Result<Self, Refusal> {
        let (start, end) = (query.time(from, now)?, query.time(to, now)?);
        if start.zip(end).is_some_and(|(start, end)| start >= end) {
            return Err(Refusal::Because(
                StatusCode::BAD_REQUEST,
                format!(
                    "`{from}` is not before `{to}`, so there is no time between them; exchange them"
                ),
            ));
        }
        Ok(Self {
            from: start,
            to: end,
        })
    }
}

/// Plain text that is no refusal.
fn plain(body: String) -> Answer {
    text("text/plain; charset=utf-8", body)
}
