//! What the loop waits for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Recording;

/// What ended a wait.
pub(super) struct Woken {
    /// Somebody asked for the end.
    pub(super) stop: bool,
    /// A sample that is to be read at once has come. Others wait to be read whenever the time is over, and are nothing to hurry
    /// for.
    pub(super) by_sample: bool,
}

impl Recording {
    /// Waits until there is something to do, and forgets the roots that have ended.
    pub(super) fn wait(&mut self, stop: BorrowedFd<'_>, timeout: Duration) -> Result<Woken> {
        let began = Instant::now();
        let limit = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut fds = vec![
            PollFd::new(&stop, PollFlags::IN),
            PollFd::from_borrowed_fd(self.sampler.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.unwinding.as_fd(), PollFlags::IN),
        ];
        let side_band = self.sampler.side_band_fd();
        fds.extend(side_band.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let others = fds.len();
        fds.extend(self.roots.poll_fds());
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("failed to wait for samples"),
        }
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let is_early = began.elapsed() < timeout;
        self.roots.forget_ended(&readable[others..]);
        Ok(Woken {
            stop: readable[0],
            by_sample: is_early && readable[1],
        })
    }
}
