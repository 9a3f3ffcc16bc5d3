//! Ctrl-C and SIGTERM: the first ends sampling, the second ends the program. SIGHUP, where it asks to read anew.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// Becomes readable with the first signal.
#[derive(Debug)]
pub(super) struct StopSignal {
    reader: OwnedFd,
}

impl StopSignal {
    /// Takes the signals over from now on.
    pub(super) fn register() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the second signal finds the flag that the first has set, and exits like a program
            // that was killed by it, as a shell reports that.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&seen))?;
            flag::register(signal, Arc::clone(&seen))?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { reader })
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Whether SIGHUP has come, which does not end the program any more.
#[derive(Debug)]
pub(super) struct ReloadSignal {
    seen: Arc<AtomicBool>,
}

impl ReloadSignal {
    /// Takes the signal over from now on.
    pub(super) fn register() -> io::Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&seen))?;
        Ok(Self { seen })
    }

    /// Whether it has come since the last call.
    pub(super) fn take(&self) -> bool {
        self.seen.swap(false, Ordering::Relaxed)
    }
}
