//! `/healthz`: whether the service does what it is there for.

use http::StatusCode;

use super::{Refusal, Routes, plain};
use crate::output::http::Answer;

impl Routes {
    /// 200 while samples are read and windows written up. A disk that refuses is told, but to start the service anew would not
    /// mend that, and would lose what is in memory.
    pub(super) fn health(&self) -> Result<Answer, Refusal> {
        let unwell = |sentence| Err(Refusal::Because(StatusCode::SERVICE_UNAVAILABLE, sentence));
        if let Some(silent) = self.status.hangs_for() {
            return unwell(format!(
                "samples have not been read for {} s; look at the log, and start the service anew",
                silent.as_secs()
            ));
        }
        let counts = self.store.counts();
        if counts.is_paused {
            return Ok(plain(format!(
                "ok, but windows cannot be written: {} wait in memory, {} were dropped; look at the log\n",
                counts.in_memory, counts.dropped
            )));
        }
        let waiting = self.waiting.count();
        if !self.waiting.has_room() {
            return Ok(plain(format!(
                "ok, but {waiting} windows wait to be written, and the next one is longer; look at the disk\n"
            )));
        }
        Ok(plain("ok\n".to_owned()))
    }
}
