//! Who may ask: those with the token, or, without one, those of this machine who know whom they are talking to.
//!
//! A page of somebody else, open in a browser on this machine, can send requests to addresses of this machine. It cannot read
//! the answers, unless its own name is made to lead here (DNS rebinding); then `Host` has that name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use subtle::ConstantTimeEq as _;

use super::answer::{Answer, refuse};

/// Fewer characters can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Who may ask.
#[derive(Debug)]
pub(crate) enum Access {
    /// Whoever has the token.
    Token(Token),
    /// Whoever can connect, and calls this machine by a name that always leads to it.
    Here(SocketAddr),
}

/// What clients have to know.
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("the token in {} cannot be read: {cause}; make one: (umask 077; openssl rand -hex 32 > {})", path.display(), path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It cannot be a token.
    #[error("{} holds no token: one line of at least {SHORTEST_TOKEN} characters without spaces; make one: openssl rand -hex 32", .0.display())]
    Wrong(PathBuf),
    /// There has to be one.
    #[error(
        "{0} can be reached from other machines, so a token is needed that clients have to know: --token-file FILE; or listen on 127.0.0.1"
    )]
    Missing(SocketAddr),
}

impl Access {
    /// By the token in `file`, or, without one, for this machine only.
    pub(crate) fn new(address: SocketAddr, file: Option<&Path>) -> Result<Self, TokenError> {
        match file {
            Some(file) => Token::read(file).map(Self::Token),
            None if is_loopback(address.ip()) => Ok(Self::Here(address)),
            None => Err(TokenError::Missing(address)),
        }
    }

    /// Returns how the client calls this server.
    pub(super) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, Box<Answer>> {
        if let Self::Token(token) = self
            && !token.is_in(headers)
        {
            return Err(Box::new(ask_for_token()));
        }
        // Browsers say so when a page of somebody else asks; they would send a password that they remember, too.
        let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
        if says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate") {
            return Err(Box::new(refuse(
                StatusCode::FORBIDDEN,
                "a page of another site asked for this; only pages of this server may",
            )));
        }
        // RFC 9112, 3.2.2: a whole URI comes before the header.
        let host = match (uri.authority(), headers.get(HOST)) {
            (Some(authority), _) => Some(authority.clone()),
            (None, Some(host)) => host.to_str().ok().and_then(|host| host.parse().ok()),
            (None, None) => None,
        };
        match (self, &host) {
            (Self::Token(_), Some(host)) => Ok(host.to_string()),
            // HTTP 1.0 has no such header, and browsers do not speak it.
            (Self::Here(address), None) if !headers.contains_key(HOST) => Ok(address.to_string()),
            (Self::Here(address), Some(host)) if is_here(host, *address) => Ok(host.to_string()),
            _ => Err(Box::new(refuse(
                StatusCode::FORBIDDEN,
                "this server is not called that; ask for it by the address that it listens on, or as localhost",
            ))),
        }
    }
}

/// Whether a name can only mean this machine.
fn is_here(host: &Authority, address: SocketAddr) -> bool {
    let name = host.host();
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(ip) => is_loopback(ip) || ip == address.ip(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether only this machine can be reached by it.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn ask_for_token() -> Answer {
    let mut answer = refuse(
        StatusCode::UNAUTHORIZED,
        "a token is needed: as bearer token, or as the password of any user (http://x:TOKEN@HOST:PORT/)",
    );
    // Browsers ask for user and password then.
    let challenge = HeaderValue::from_static("Basic realm=\"profiler: token as password\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

impl Token {
    fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |cause| TokenError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let token = text.trim();
        if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Wrong(path.to_owned()));
        }
        if std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o004 != 0) {
            log::warn!(
                "everybody on this machine can read the token in {}; chmod o-r it",
                path.display()
            );
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether the client has said it: `Bearer TOKEN`, or `Basic` with it for a password, as URLs have it.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let Some((scheme, rest)) = said.and_then(|said| {
            let space = said.iter().position(|byte| *byte == b' ')?;
            Some((&said[..space], said[space..].trim_ascii()))
        }) else {
            return false;
        };
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return self.is(rest);
        }
        let decoded = STANDARD.decode(rest).unwrap_or_default();
        let colon = decoded.iter().position(|byte| *byte == b':');
        scheme.eq_ignore_ascii_case(b"basic")
            && colon.is_some_and(|colon| self.is(&decoded[colon + 1..]))
    }

    fn is(&self, said: &[u8]) -> bool {
        // In the same time whatever is wrong with it, so that it cannot be found out bit by bit.
        self.0.as_bytes().ct_eq(said).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn status(access: &Access, headers: &HeaderMap) -> u16 {
        let checked = access.check(headers, &Uri::from_static("/"));
        checked.map_or_else(|answer| answer.status().as_u16(), |_| 200)
    }

    /// On this machine only names that can be nobody else's are answered.
    #[test]
    fn names_of_this_machine() {
        let access = Access::new("127.0.0.1:6060".parse().unwrap(), None).unwrap();
        for (host, expected) in [
            ("localhost:6060", 200),
            ("LOCALHOST", 200),
            ("127.0.0.1:6060", 200),
            ("127.8.9.1", 200),
            ("[::1]:6060", 200),
            ("[::ffff:127.0.0.1]", 200),
            ("evil.example:6060", 403),
            ("localhost.evil.example", 403),
            ("10.0.0.1", 403),
            ("", 403),
            ("a b", 403),
        ] {
            assert_eq!(status(&access, &said(HOST, host)), expected, "{host}");
        }
        assert_eq!(status(&access, &HeaderMap::new()), 200);
        let mut foreign = said(HOST, "localhost");
        foreign.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
        foreign.insert("sec-fetch-mode", HeaderValue::from_static("no-cors"));
        assert_eq!(status(&access, &foreign), 403);
        foreign.insert("sec-fetch-mode", HeaderValue::from_static("navigate"));
        assert_eq!(status(&access, &foreign), 200);
        let evil = Uri::from_static("http://evil.example/");
        assert!(access.check(&said(HOST, "localhost"), &evil).is_err());
    }

    /// With a token it is what counts, in either form, whole.
    #[test]
    fn tokens() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let access = Access::new("0.0.0.0:0".parse().unwrap(), Some(file.path())).unwrap();
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (authorization, expected) in [
            ("Bearer 0123456789abcdef".to_owned(), 200),
            ("bearer  0123456789abcdef".to_owned(), 200),
            (basic("x:0123456789abcdef"), 200),
            (basic(":0123456789abcdef"), 200),
            (basic("0123456789abcdef"), 401),
            (basic("x:0123456789abcdef0"), 401),
            ("Bearer 0123456789abcde".to_owned(), 401),
            ("Bearer".to_owned(), 401),
            ("Basic !".to_owned(), 401),
            ("Digest 0123456789abcdef".to_owned(), 401),
        ] {
            let mut headers = said(AUTHORIZATION, &authorization);
            headers.insert(HOST, HeaderValue::from_static("any.example"));
            assert_eq!(status(&access, &headers), expected, "{authorization}");
        }
        assert_eq!(status(&access, &said(HOST, "any.example")), 401);
        assert!(!format!("{access:?}").contains("0123"));
    }

    /// Other machines are let in by a token only, and it has to be one.
    #[test]
    fn tokens_are_needed() {
        for open in ["0.0.0.0:6060", "[::]:6060", "192.0.2.1:6060"] {
            let error = Access::new(open.parse().unwrap(), None).unwrap_err();
            assert!(error.to_string().contains("--token-file"), "{error}");
        }
        for here in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            Access::new(here.parse().unwrap(), None).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdef\nmore"] {
            std::fs::write(file.path(), text).unwrap();
            let error = Token::read(file.path()).unwrap_err().to_string();
            assert!(error.contains("openssl rand"), "{error}");
        }
        let error = Token::read(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
