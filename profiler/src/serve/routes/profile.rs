//! `/debug/pprof/profile`: a profile taken for who asks.

use std::time::Duration;

use http::StatusCode;

use super::{Refusal, Routes};
use crate::config::ConfigError;
use crate::output::http::{self as answers, Answer, Asked};
use crate::serve::demand::{DemandError, Order};
use crate::serve::query::Query;

/// As Go's net/http/pprof has it.
const USUAL_SECONDS: f64 = 30.0;
/// What is wanted for longer is in the windows.
const MOST_SECONDS: f64 = 600.0;
/// More than the windows have, and still little for one process.
const USUAL_FREQUENCY: u32 = 99;
/// The kernel may allow less, and says so.
const HIGHEST_FREQUENCY: u32 = 10_000;

impl Routes {
    /// Takes it.
    pub(super) async fn profile(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let query = Query::parse(&asked.query, &["pid", "seconds", "frequency"])?;
        let seconds = query.number("seconds", 0.1, MOST_SECONDS)?;
        let order = Order {
            pid: query.number("pid", 1, u32::MAX)?,
            duration: Duration::from_secs_f64(seconds.unwrap_or(USUAL_SECONDS)),
            frequency_hz: query
                .number("frequency", 1, HIGHEST_FREQUENCY)?
                .unwrap_or(USUAL_FREQUENCY),
        };
        let profile = self.demand.profile(order).await?;
        let of = order
            .pid
            .map_or_else(|| "all".to_owned(), |pid| pid.to_string());
        Ok(answers::profile(&format!("cpu-{of}.pb.gz"), profile))
    }
}

impl From<DemandError> for Refusal {
    fn from(error: DemandError) -> Self {
        match error {
            DemandError::Busy => Self::Because(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            DemandError::Failed(error) => {
                let status = match error.downcast_ref::<ConfigError>() {
                    Some(ConfigError::NoSuchProcess(_) | ConfigError::Zombie(_)) => {
                        StatusCode::NOT_FOUND
                    }
                    Some(error) if error.is_usage() => StatusCode::BAD_REQUEST,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Self::Because(status, format!("{error:#}"))
            }
        }
    }
}
