//! Where windows are pushed: what people type, and what of it cannot be right.
//!
//! Nothing is opened here.

use std::path::PathBuf;
use std::str::FromStr;
use std::{fmt, iter};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri};

/// The shortest value of a header that is taken for a secret, in bytes.
const SHORTEST_SECRET: usize = 4;

/// Who takes profiles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Receiver {
    /// Grafana Pyroscope, by its push API over HTTP.
    Pyroscope,
    /// A collector of OpenTelemetry, or whoever takes OTLP profiles over gRPC.
    Otlp,
    /// Parca, by `WriteRaw` over gRPC.
    Parca,
}

impl Receiver {
    const ALL: [Self; 3] = [Self::Pyroscope, Self::Otlp, Self::Parca];

    /// The name on the command line and in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pyroscope => "pyroscope",
            Self::Otlp => "otlp",
            Self::Parca => "parca",
        }
    }

    /// The port where it listens unless told otherwise.
    fn usual_port(self) -> u16 {
        match self {
            Self::Pyroscope => 4040,
            Self::Otlp => 4317,
            Self::Parca => 7070,
        }
    }
}

/// What is wrong with a target.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not of the form `RECEIVER=URL`.
    #[error(
        "`{0}` does not say who takes the profiles; write pyroscope=URL, otlp=URL or parca=URL"
    )]
    NoReceiver(String),
    /// A receiver that is not known.
    #[error("there is no receiver `{0}`; it is one of pyroscope, otlp and parca")]
    UnknownReceiver(String),
    /// The URL cannot be read. It is not repeated, since it may have a password in it.
    #[error("the URL of {receiver} cannot be read: {cause}; write {receiver}=http://HOST:{port}")]
    Url {
        /// Whose URL.
        receiver: &'static str,
        /// What the parser said.
        cause: String,
        /// The usual port.
        port: u16,
    },
    /// A password in the URL, where every list of processes shows it.
    #[error(
        "the URL of {0} has a user or a password in it, which everybody sees in the list of processes; put USER:PASSWORD \
         into a file that only you can read, and name that file"
    )]
    Password(&'static str),
    /// gRPC has no place for a path.
    #[error(
        "{0} is spoken to by gRPC, which has no path: leave out `{1}` behind the host and port"
    )]
    Path(&'static str, String),
    /// Something behind a comma that is not known.
    #[error(
        "`{0}` is not known behind a URL; what is: token-file=FILE, password-file=FILE, ca-file=FILE, header=NAME:VALUE"
    )]
    UnknownKey(String),
    /// Something behind a comma that has no value.
    #[error("`{0}` has no value; write KEY=VALUE")]
    NoValue(String),
    /// A key that can be there only once.
    #[error("`{0}` is there twice; which of the files is meant?")]
    Twice(String),
    /// Not of the form `NAME: VALUE`.
    #[error("a header is written NAME: VALUE, for example X-Scope-OrgID: team-a; {0} is wrong")]
    Header(&'static str),
}

/// One receiver, with what it needs to let us in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PushTarget {
    /// Which protocol.
    pub(crate) receiver: Receiver,
    /// Scheme, host and port; for Pyroscope a path as well, when it lies behind a proxy.
    pub(super) url: Uri,
    /// A file with a bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// A file with `USER:PASSWORD`.
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates of who may vouch for the receiver, in PEM; otherwise those that the system trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// Sent along with each window. Values are never shown.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl PushTarget {
    /// Adds `KEY=VALUE`.
    fn add(&mut self, part: &str) -> Result<(), TargetError> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let file = || PathBuf::from(value);
        match key.trim() {
            _ if value.is_empty() => return Err(TargetError::NoValue(key.to_owned())),
            "token-file" => once(&mut self.token_file, key, file())?,
            "password-file" => once(&mut self.password_file, key, file())?,
            "ca-file" => once(&mut self.ca_file, key, file())?,
            "header" => self.add_header(value)?,
            _ => return Err(TargetError::UnknownKey(key.to_owned())),
        }
        Ok(())
    }

    /// Sends `NAME: VALUE` along with each window.
    pub(super) fn add_header(&mut self, header: &str) -> Result<(), TargetError> {
        let (name, value) = header
            .split_once(':')
            .ok_or(TargetError::Header("the colon"))?;
        let name =
            HeaderName::from_str(name.trim()).map_err(|_| TargetError::Header("the name"))?;
        let mut value =
            HeaderValue::from_str(value.trim()).map_err(|_| TargetError::Header("the value"))?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Ok(())
    }

    /// `message` without the values of headers, in case that the receiver repeats what it was sent. Very short ones hide
    /// nothing, and would hide other words.
    pub(super) fn redact(&self, message: &str) -> String {
        let values = self
            .headers
            .iter()
            .filter_map(|(_, value)| value.to_str().ok());
        // `Bearer abc` comes back as `abc`, too.
        let parts = values.flat_map(|value| iter::once(value).chain(value.split_whitespace()));
        let secrets = parts.filter(|part| part.len() >= SHORTEST_SECRET);
        secrets.fold(message.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// What is sent along with each window.
    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Whether others on the way can read what is sent.
    pub(super) fn is_clear_text(&self) -> bool {
        let host = self.url.host().unwrap_or_default();
        let is_here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        self.url.scheme() != Some(&Scheme::HTTPS) && !is_here
    }
}

impl FromStr for PushTarget {
    type Err = TargetError;

    /// Reads `RECEIVER=URL`, and what is needed there behind commas; without a scheme the URL is one of `http`, without a port
    /// it gets the usual one.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (text, more) = text.split_once(',').unwrap_or((text, ""));
        let Some((name, url)) = text.split_once('=').filter(|(name, _)| !name.contains('/')) else {
            let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
            return Err(TargetError::NoReceiver(shown.to_owned()));
        };
        let receiver = Receiver::ALL
            .into_iter()
            .find(|receiver| receiver.name() == name.trim())
            .ok_or_else(|| TargetError::UnknownReceiver(name.to_owned()))?;
        let mut target = Self {
            receiver,
            url: url_of(receiver, url.trim())?,
            token_file: None,
            password_file: None,
            ca_file: None,
            headers: Vec::new(),
        };
        for part in more.split(',').filter(|part| !part.is_empty()) {
            target.add(part)?;
        }
        Ok(target)
    }
}

fn once(file: &mut Option<PathBuf>, key: &str, path: PathBuf) -> Result<(), TargetError> {
    match file.replace(path) {
        None => Ok(()),
        Some(_) => Err(TargetError::Twice(key.to_owned())),
    }
}

fn url_of(receiver: Receiver, text: &str) -> Result<Uri, TargetError> {
    let wrong = |cause: String| TargetError::Url {
        receiver: receiver.name(),
        cause,
        port: receiver.usual_port(),
    };
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Scheme::HTTP, rest),
        Some(("https", rest)) => (Scheme::HTTPS, rest),
        Some((other, _)) => return Err(wrong(format!("`{other}` is neither http nor https"))),
        None => (Scheme::HTTP, text),
    };
    let (host, path) = match rest.find(['/', '?', '#']) {
        Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
        None => (rest, ""),
    };
    if host.contains('@') {
        return Err(TargetError::Password(receiver.name()));
    }
    if path.contains(['?', '#']) {
        return Err(wrong("it has a query".to_owned()));
    }
    if !path.is_empty() && receiver != Receiver::Pyroscope {
        return Err(TargetError::Path(receiver.name(), path.to_owned()));
    }
    let mut authority = Authority::from_str(host).map_err(|cause| wrong(cause.to_string()))?;
    if authority.host().is_empty() {
        return Err(wrong("it has no host".to_owned()));
    }
    // A URL of https without a port is one behind a proxy; one of http is most likely the server itself.
    if authority.port().is_none() && scheme == Scheme::HTTP {
        let with_port = format!("{host}:{}", receiver.usual_port());
        authority = Authority::from_str(&with_port).map_err(|cause| wrong(cause.to_string()))?;
    }
    let path = if path.is_empty() { "/" } else { path };
    let path = PathAndQuery::from_str(path).map_err(|cause| wrong(cause.to_string()))?;
    let url = Uri::builder().scheme(scheme).authority(authority);
    url.path_and_query(path)
        .build()
        .map_err(|cause| wrong(cause.to_string()))
}

impl fmt::Display for PushTarget {
    /// Receiver and URL; what else it needs is nobody's business.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.to_string();
        write!(
            formatter,
            "{}={}",
            self.receiver.name(),
            url.trim_end_matches('/')
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people type becomes what is meant, with the usual port where none is named.
    #[test]
    fn targets_are_read() {
        let cases = [
            ("pyroscope=https://host:4040", "pyroscope=https://host:4040"),
            ("pyroscope=http://host", "pyroscope=http://host:4040"),
            (
                "pyroscope=https://host/pyroscope/",
                "pyroscope=https://host/pyroscope",
            ),
            ("otlp=collector", "otlp=http://collector:4317"),
            ("otlp=https://collector", "otlp=https://collector"),
            ("parca=http://[::1]/", "parca=http://[::1]:7070"),
        ];
        for (given, wanted) in cases {
            let target: PushTarget = given.parse().unwrap();
            assert_eq!(target.to_string(), wanted);
        }
    }

    /// What stands behind commas is taken apart.
    #[test]
    fn more_is_read() {
        let text = "pyroscope=https://host,token-file=/a/b,ca-file=c.pem,header=X-Scope-OrgID: team=a,header=X-B:c";
        let target: PushTarget = text.parse().unwrap();
        assert_eq!(target.to_string(), "pyroscope=https://host");
        assert_eq!(target.token_file.unwrap().to_str(), Some("/a/b"));
        assert_eq!(target.ca_file.unwrap().to_str(), Some("c.pem"));
        assert_eq!(target.headers[0].1, "team=a");
        assert_eq!(target.headers[1].0, "x-b");
    }

    /// What cannot be meant is refused with the remedy, and a password is not repeated.
    #[test]
    fn wrong_targets_are_refused() {
        let cases = [
            ("http://host:4040", "write pyroscope=URL"),
            ("loki=http://host", "one of pyroscope, otlp and parca"),
            ("otlp=ftp://host", "neither http nor https"),
            ("otlp=http://", "otlp=http://HOST:4317"),
            ("otlp=http://a b", "otlp=http://HOST:4317"),
            ("otlp=http://host/v1/profiles", "leave out `/v1/profiles`"),
            ("pyroscope=http://host/?a=b", "it has a query"),
            (
                "pyroscope=https://me:secret@host",
                "put USER:PASSWORD into a file",
            ),
            ("https://me:secret@host", "write pyroscope=URL"),
            ("otlp=http://host,token=secret", "token-file=FILE"),
            ("otlp=http://host,token-file", "has no value"),
            ("otlp=http://host,header=secret", "NAME: VALUE"),
            (
                "otlp=http://host,ca-file=a,ca-file=b",
                "`ca-file` is there twice",
            ),
        ];
        for (given, wanted) in cases {
            let error = given.parse::<PushTarget>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{given}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    /// Headers are taken apart, and their values are not shown.
    #[test]
    fn headers_are_read() {
        let mut target: PushTarget = "otlp=http://host".parse().unwrap();
        target.add_header("X-Scope-OrgID: team-a").unwrap();
        assert_eq!(target.headers()[0].0, "x-scope-orgid");
        assert_eq!(target.headers()[0].1, "team-a");
        assert!(!format!("{target:?}").contains("team-a"));
        target.add_header("Authorization: Key abcdef").unwrap();
        assert_eq!(
            target.redact("no team-a, no Key abcdef, no abcdef"),
            "no …, no …, no …"
        );
        for wrong in ["team-a", "a b: c", ": c", "a: \u{7}"] {
            assert!(target.add_header(wrong).is_err(), "{wrong}");
        }
    }

    /// Only what goes over a network unencrypted counts as readable by others.
    #[test]
    fn clear_text_is_known() {
        for (target, wanted) in [
            ("otlp=http://collector", true),
            ("otlp=https://collector", false),
            ("otlp=http://localhost", false),
            ("otlp=http://127.0.0.1:1", false),
            ("otlp=http://[::1]:1", false),
        ] {
            let target: PushTarget = target.parse().unwrap();
            assert_eq!(target.is_clear_text(), wanted, "{target}");
        }
    }
}
