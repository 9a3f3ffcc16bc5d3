//! Which socket to listen on, and why that cannot be.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listen {
    /// Nowhere.
    Nowhere,
    /// On this address.
    On(SocketAddr),
}

impl Listen {
    /// The port that Go's programs have in their examples, for this machine only.
    pub(crate) const DEFAULT: Self =
        Self::On(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6060));
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        numeric.parse().map(Self::On).map_err(|_| {
            format!(
                "`{text}` is no address with a port; write one as 127.0.0.1:6060 or [::1]:6060, or none"
            )
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => formatter.write_str("none"),
            Self::On(address) => address.fmt(formatter),
        }
    }
}

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else does.
    #[error(
        "somebody listens on {0} already; look who: sudo ss -ltnp 'sport = :{port}', or take another port: --listen {next}",
        port = .0.port(), next = SocketAddr::new(.0.ip(), .0.port().wrapping_add(1))
    )]
    Taken(SocketAddr),
    /// Nobody does.
    #[error(
        "cannot listen on {address}: {cause}; name an address of this machine, with a port: --listen 127.0.0.1:6060"
    )]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// Opens the socket. Port 0 is any that is free.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken(address),
        _ => ListenError::Other { address, cause },
    })
}
