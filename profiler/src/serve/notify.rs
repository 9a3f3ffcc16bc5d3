//! What systemd wants to know of a service (`sd_notify(3)`): that it is ready, that it lives, that it stops.
//!
//! The protocol is a datagram with a line for each word; a library for it would be longer than this.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Who manages the service, if anybody does.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the service lives.
    every: Option<Duration>,
    told_at: Option<Instant>,
}

impl Manager {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, which systemd sets.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            open(&name)
                .inspect_err(|error| {
                    log::warn!(
                        "NOTIFY_SOCKET is {}, which cannot be used: {error}; unset it, or name a socket",
                        name.display()
                    );
                })
                .ok()
        });
        let is_for_us =
            std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let usec = std::env::var("WATCHDOG_USEC").ok();
        let usec = usec.and_then(|text| text.parse().ok());
        Self {
            socket,
            // sd_watchdog_enabled(3) recommends half of the time.
            every: usec
                .filter(|_| is_for_us)
                .map(|usec: u64| Duration::from_micros(usec / 2)),
            told_at: None,
        }
    }

    /// Sampling has begun.
    pub(super) fn ready(&mut self) {
        self.tell("READY=1");
    }

    /// The loop that matters goes round; told as often as it is wanted.
    pub(super) fn alive(&mut self, now: Instant) {
        let Some(every) = self.every else {
            return;
        };
        if self
            .told_at
            .is_none_or(|told| now.duration_since(told) >= every)
        {
            self.told_at = Some(now);
            self.tell("WATCHDOG=1");
        }
    }

    /// The last window is being written.
    pub(super) fn stopping(&mut self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, word: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(word.as_bytes(), address) {
            log::debug!("systemd was not told {word}: {error}");
        }
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop sampling.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manager hears each word, and that the service lives only as often as it wants.
    #[test]
    fn manager_hears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut manager = Manager {
            socket: Some(open(path.as_os_str()).unwrap()),
            every: Some(Duration::from_secs(10)),
            told_at: None,
        };
        let now = Instant::now();
        manager.ready();
        for seconds in [0, 1, 9, 10, 11, 20] {
            manager.alive(now + Duration::from_secs(seconds));
        }
        manager.stopping();
        let mut heard = Vec::new();
        let mut bytes = [0; 64];
        while let Ok(count) = listener.recv(&mut bytes) {
            heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
        assert_eq!(
            heard,
            [
                "READY=1",
                "WATCHDOG=1",
                "WATCHDOG=1",
                "WATCHDOG=1",
                "STOPPING=1"
            ]
        );
    }
}
