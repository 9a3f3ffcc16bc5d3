//! `/profiles/merge`: the windows of a time, as one profile.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::oneshot;

use super::{Refusal, Routes, Span};
use crate::output::http::{self as answers, Answer, Asked};
use crate::output::store::{Store, StoredWindow};
use crate::pprof::{Filter, Merge, MergeError};
use crate::serve::query::Query;

/// How many windows of those that were asked for could not be read.
const SKIPPED: HeaderName = HeaderName::from_static("x-profiler-skipped-windows");

/// Which samples are wanted.
pub(super) fn filter(query: &Query) -> Result<Filter, Refusal> {
    Ok(Filter {
        pid: query.number("pid", 1, u64::from(u32::MAX))?,
        comm: query.text("comm").map(str::to_owned),
        cgroup: query.text("cgroup").map(str::to_owned),
    })
}

/// Windows that have been read and merged.
pub(super) struct Read {
    pub(super) merge: Merge,
    /// Windows that are in it.
    pub(super) windows: u64,
    /// Windows that could not be read: removed meanwhile, or damaged.
    pub(super) skipped: u64,
}

/// Reads and merges windows, until nobody waits for it any more.
pub(super) fn read(
    store: &Store,
    windows: &[StoredWindow],
    filter: Filter,
    is_wanted: impl Fn() -> bool,
) -> Result<Read, MergeError> {
    let mut read = Read {
        merge: Merge::new(filter),
        windows: 0,
        skipped: 0,
    };
    for window in windows.iter().take_while(|_| is_wanted()) {
        let added = match store.read(&window.name) {
            Ok(profile) => read.merge.add(&profile),
            Err(error) => {
                log::debug!("{error}");
                read.skipped += 1;
                continue;
            }
        };
        match added {
            Ok(()) => read.windows += 1,
            Err(error @ MergeError::TooLarge) => return Err(error),
            Err(error) => {
                log::warn!("the window {} is left out: {error}", window.name);
                read.skipped += 1;
            }
        }
    }
    Ok(read)
}

impl Routes {
    /// Has something made of windows by a thread that may take its time; one at a time, because of the memory.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        make: impl FnOnce(&Store, &dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        let store = Arc::clone(&self.store);
        // Its other end goes with this future, when the client has gone.
        let (wanted, _waits) = oneshot::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            make(&store, &|| !wanted.is_closed())
        });
        Ok(thread.await?)
    }

    /// The merged profile.
    pub(super) async fn merged(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let query = Query::parse(&asked.query, &["from", "to", "pid", "comm", "cgroup"])?;
        let span = Span::of(&query, "from", "to", SystemTime::now())?;
        let filter = filter(&query)?;
        let is_chosen = !filter.is_empty();
        let windows = self.store.list(span.from, span.to);
        if windows.is_empty() {
            return Err(self.no_windows());
        }
        let read = self
            .reading(move |store, is_wanted| {
                let read = read(store, &windows, filter, is_wanted)?;
                let is_empty = read.merge.is_empty();
                Ok::<_, MergeError>((read.windows, read.skipped, is_empty, read.merge.finish()))
            })
            .await?;
        let (windows, skipped, is_empty, profile) = read?;
        // Of an idle machine nothing is the right answer; of one program it is most likely mistyped.
        if is_empty && is_chosen {
            return Err(Refusal::Because(
                StatusCode::NOT_FOUND,
                format!(
                    "nothing that was asked for has a sample in {windows} windows; GET /profiles/totals says which programs have some"
                ),
            ));
        }
        let mut answer = answers::profile("merged.pb.gz", profile);
        if skipped > 0 {
            answer
                .headers_mut()
                .insert(SKIPPED, HeaderValue::from(skipped));
        }
        Ok(answer)
    }

    fn no_windows(&self) -> Refusal {
        let all = self.store.list(None, None);
        let sentence = match (all.first(), all.last()) {
            (Some(first), Some(last)) => format!(
                "there is no window in that time; the first began at {}, and the last at {}",
                humantime::format_rfc3339_seconds(first.started_at),
                humantime::format_rfc3339_seconds(last.started_at)
            ),
            _ => "there is no window yet; the first one comes when its time is over".to_owned(),
        };
        Refusal::Because(StatusCode::NOT_FOUND, sentence)
    }
}

/// There is more than fits.
impl From<MergeError> for Refusal {
    fn from(error: MergeError) -> Self {
        Self::Because(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
    }
}
