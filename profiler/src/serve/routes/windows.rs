//! `/profiles` and `/profiles/NAME`: which windows there are, and each as it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::{Value, json};

use super::{Refusal, Routes, Span};
use crate::output::http::{self as answers, Answer, Asked};
use crate::output::store::{ReadError, StoredWindow};
use crate::serve::query::Query;

impl Routes {
    /// The list.
    pub(super) fn windows(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let query = Query::parse(&asked.query, &["from", "to"])?;
        let span = Span::of(&query, "from", "to", SystemTime::now())?;
        let windows = self.store.list(span.from, span.to);
        let windows: Vec<Value> = windows.iter().map(described).collect();
        Ok(answers::json(&json!({ "windows": windows })))
    }

    /// One.
    pub(super) async fn window(&self, name: &str) -> Result<Answer, Refusal> {
        let (store, name) = (Arc::clone(&self.store), name.to_owned());
        let file_name = name.clone();
        let read = tokio::task::spawn_blocking(move || store.read(&name)).await;
        let profile = read??;
        Ok(answers::profile(
            &file_name,
            bytes::Bytes::from_owner(profile),
        ))
    }
}

fn described(window: &StoredWindow) -> Value {
    json!({
        "name": *window.name,
        "started_at_ms": millis(window.started_at),
        "duration_ms": window.duration.as_millis() as u64,
        "program": window.program.as_deref(),
        "samples": window.samples,
        "bytes": window.bytes,
    })
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_millis() as u64
}

/// A task ended by itself.
impl From<tokio::task::JoinError> for Refusal {
    fn from(error: tokio::task::JoinError) -> Self {
        log::error!("an answer could not be made: {error}");
        Self::Because(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be made; the profiler's log says more".to_owned(),
        )
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let status = match &error {
            ReadError::Unknown(_) => StatusCode::NOT_FOUND,
            ReadError::Damaged(_) => StatusCode::GONE,
            ReadError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Because(status, error.to_string())
    }
}
