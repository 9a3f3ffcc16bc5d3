//! Asks a service over HTTP.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// After so long there is no answer.
const HANGS: Duration = Duration::from_secs(60);

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One that asks. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Where it asks.
    pub(crate) address: SocketAddr,
}

impl Client {
    /// Asks at `HOST:PORT`.
    pub(crate) fn new(address: &str) -> Self {
        let address = address.parse();
        Self {
            address: address.expect("an address with a port"),
        }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks with these headers, whatever the answer is.
    pub(crate) fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent(HANGS).get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request
            .call()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        Answer {
            status: answer.status().as_u16(),
            body: answer.body_mut().read_to_vec().unwrap(),
        }
    }

    /// The body of an answer that must be a good one.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        let answer = self.ask(path, &[]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }

    /// The same as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The number of a metric, with its labels as they are written.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics")).unwrap();
        let line = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')
        });
        let number = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        number.parse().unwrap()
    }

    /// A connection to say anything on.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        stream
    }
}

/// What asks, and waits so long; an answer that is a refusal is an answer.
pub(super) fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .build();
    config.into()
}
