//! One try to send one window: the request, the answer, and what it means.
//!
//! How often to try is left to [`super::worker`].

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use prost::Message as _;

use super::client::{Client, ClientError, Connecting};
use super::credentials::{Credentials, CredentialsError};
use super::failure::{Failure, Verdict, one_line};
use super::files::Files;
use super::grpc::{GrpcClient, export, write_raw};
use super::message::Message;
use super::proto::push::v1::PushResponse;
use super::{PushTarget, Receiver};

/// Who we say that we are.
const USER_AGENT: &str = concat!("profiler/", env!("CARGO_PKG_VERSION"));
/// The call that Pyroscope documents for profiles from outside; the older `/ingest` loses file names and build-ids.
const PYROSCOPE_CALL: &str = "/push.v1.PusherService/Push";
/// The longest answer that is read; a right one is empty.
const LONGEST_ANSWER: usize = 64 << 10;

/// How long to wait for a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timeouts {
    /// For the connection.
    pub(crate) connect: Duration,
    /// For everything, connection and answer included.
    pub(crate) request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(60),
        }
    }
}

/// Clients by what their bodies are.
enum Clients {
    Plain(Client<Full<Bytes>>),
    Grpc(GrpcClient),
}

/// Sends to one target.
pub(super) struct Sender {
    target: PushTarget,
    connecting: Connecting,
    clients: Clients,
    credentials: Credentials,
    files: Files,
    timeout: Duration,
    /// Whether a remark of the receiver has been passed on.
    has_remarked: bool,
}

impl Sender {
    /// Reads the files that the target names.
    pub(super) fn new(target: PushTarget, timeouts: Timeouts) -> Result<Self, SenderError> {
        let connecting = Connecting::to(&target, timeouts.connect);
        Ok(Self {
            clients: clients(&target, &connecting)?,
            credentials: Credentials::of(&target)?,
            files: Files::within(timeouts.connect),
            timeout: timeouts.request,
            has_remarked: false,
            connecting,
            target,
        })
    }

    /// Sends a message once.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Failure> {
        self.look_at_credentials(Credentials::refresh).await;
        let headers = self.headers();
        let answer = tokio::time::timeout(self.timeout, self.call(message, headers)).await;
        let result = answer.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            Err(Failure::no_answer(format!("no answer within {seconds} s")))
        });
        match result {
            Ok(remark) => {
                self.pass_on(&remark);
                Ok(())
            }
            Err(mut failure) => {
                failure.why = self.redact(&failure.why);
                if failure.verdict == Verdict::NoAnswer {
                    self.start_over().await;
                }
                Err(failure)
            }
        }
    }

    /// Reads the credentials again, and says whether they are others now.
    pub(super) async fn has_new_credentials(&mut self) -> bool {
        let before = self.credentials.header();
        self.look_at_credentials(Credentials::reread).await;
        self.credentials.header() != before
    }

    /// While their file does not answer, the old ones have to do.
    async fn look_at_credentials(&mut self, look: fn(&mut Credentials)) {
        if !self.credentials.are_in_a_file() {
            return;
        }
        let mut credentials = self.credentials.clone();
        let found = self.files.ask(move || {
            look(&mut credentials);
            credentials
        });
        if let Some(found) = found.await {
            self.credentials = found;
        }
    }

    /// Forgets connections. If that cannot be (certificates are being replaced), the old ones have to do.
    async fn start_over(&mut self) {
        let target = self.target.clone();
        let connecting = self.connecting.clone();
        match self.files.ask(move || clients(&target, &connecting)).await {
            Some(Ok(clients)) => self.clients = clients,
            Some(Err(cause)) => log::debug!("{}: {cause}", self.target),
            None => log::debug!("{}: the files of certificates do not answer", self.target),
        }
    }

    /// Other people's words without what we told them in confidence.
    fn redact(&self, words: &str) -> String {
        self.target.redact(&self.credentials.redact(words))
    }

    /// What a receiver says along with its thanks, the first time.
    fn pass_on(&mut self, remark: &str) {
        if !remark.is_empty() && !self.has_remarked {
            self.has_remarked = true;
            let remark = one_line(&self.redact(remark));
            log::warn!("{} takes windows, but remarks: {remark}", self.target);
        }
    }

    /// What is sent along.
    fn headers(&self) -> HeaderMap {
        let mut headers: HeaderMap = self.target.headers().iter().cloned().collect();
        headers.insert(
            header::USER_AGENT,
            header::HeaderValue::from_static(USER_AGENT),
        );
        if let Some(authorization) = self.credentials.header() {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        headers
    }

    /// Returns what the receiver remarks, mostly nothing.
    async fn call(&self, message: Message, headers: HeaderMap) -> Result<String, Failure> {
        match (message, &self.clients) {
            (Message::Pyroscope(body), Clients::Plain(client)) => {
                let url = self.pyroscope_url();
                push(client, url, body, headers).await?;
                Ok(String::new())
            }
            (Message::Otlp(message), Clients::Grpc(client)) => {
                export(client.clone(), self.target.url.clone(), *message, headers).await
            }
            (Message::Parca(message), Clients::Grpc(client)) => {
                let url = self.target.url.clone();
                write_raw(client.clone(), url, *message, headers).await?;
                Ok(String::new())
            }
            _ => unreachable!("messages and clients are made for the receiver of the same target"),
        }
    }

    fn pyroscope_url(&self) -> Uri {
        let prefix = self.target.url.path().trim_end_matches('/');
        let path = PathAndQuery::try_from(format!("{prefix}{PYROSCOPE_CALL}"))
            .expect("a path and a path make a path");
        let mut parts = self.target.url.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("a URL with another path is a URL")
    }
}

/// Why a target cannot be sent to at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SenderError {
    /// Certificates.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

fn clients(target: &PushTarget, connecting: &Connecting) -> Result<Clients, ClientError> {
    Ok(match target.receiver {
        Receiver::Pyroscope => Clients::Plain(connecting.client()?),
        Receiver::Otlp | Receiver::Parca => Clients::Grpc(GrpcClient(connecting.client()?)),
    })
}

/// A unary call of the Connect protocol: a POST of the message.
async fn push(
    client: &Client<Full<Bytes>>,
    url: Uri,
    body: Bytes,
    headers: HeaderMap,
) -> Result<(), Failure> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url;
    *request.headers_mut() = headers;
    let content = header::HeaderValue::from_static("application/proto");
    request.headers_mut().insert(header::CONTENT_TYPE, content);
    let version = header::HeaderValue::from_static("1");
    request
        .headers_mut()
        .insert("connect-protocol-version", version);
    let answer = client.request(request).await;
    let (parts, body) = answer
        .map_err(|cause| Failure::on_the_way(&cause))?
        .into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await;
    let body = body
        .map_err(|cause| Failure::on_the_way(&*cause))?
        .to_bytes();
    if !parts.status.is_success() {
        return Err(Failure::of_http(
            parts.status,
            &parts.headers,
            &words(&body),
        ));
    }
    // Any web server might answer 200 to this.
    let content = parts.headers.get(header::CONTENT_TYPE);
    let is_proto = content.is_some_and(|content| content == "application/proto");
    if !is_proto || PushResponse::decode(body).is_err() {
        return Err(Failure::misconfigured(
            "it answers 200 OK, but not as Pyroscope does; look at the URL",
        ));
    }
    Ok(())
}

/// The message of an error of the Connect protocol, or as much of another answer as is text.
fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = json.as_ref().and_then(|json| json["message"].as_str());
    message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}
