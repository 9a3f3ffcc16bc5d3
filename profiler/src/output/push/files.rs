//! Reads of small files that nobody has to wait for longer than for a network: they may lie on one.
//!
//! All targets share a thread with whoever asks over HTTP. What is read is the caller's business.

use std::time::Duration;

use tokio::task::JoinHandle;

/// Asks the files of one target, in one other thread at most.
#[derive(Debug)]
pub(super) struct Files {
    patience: Duration,
    /// A read that took too long, and may still.
    stuck: Option<JoinHandle<()>>,
}

impl Files {
    pub(super) fn within(patience: Duration) -> Self {
        Self {
            patience,
            stuck: None,
        }
    }

    /// What `read` returns; `None` when it takes too long, or an earlier one still does. A thread that waits for a
    /// server that is gone cannot be ended, so there is never a second one.
    pub(super) async fn ask<T: Send + 'static>(
        &mut self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.stuck.as_ref().is_some_and(|task| !task.is_finished()) {
            return None;
        }
        let (sender, answer) = tokio::sync::oneshot::channel();
        let task = tokio::task::spawn_blocking(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(read());
        });
        let answer = tokio::time::timeout(self.patience, answer).await;
        self.stuck = answer.is_err().then_some(task);
        answer.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A read that does not end is left behind, nothing else is begun until it does, and then all is as before.
    #[tokio::test]
    async fn stuck_file_is_left_behind() {
        let mut files = Files::within(Duration::from_millis(20));
        let (release, held) = mpsc::channel::<()>();
        let stuck = files.ask(move || held.recv().is_err()).await;
        assert_eq!(stuck, None);
        assert_eq!(files.ask(|| panic!("begun besides")).await, None::<()>);
        drop(release);
        files.patience = Duration::from_secs(60);
        while files.stuck.as_ref().is_some_and(|task| !task.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(files.ask(|| 7).await, Some(7));
    }
}
