//! One try to send one window: the request, the answer, and what it means.
//!
//! How often to try is left to [`super::worker`].

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;

use super::client::{Client, ClientError, Connecting};
use super::credentials::{Credentials, CredentialsError};
use super::failure::{Failure, Verdict};
use super::message::Message;
use super::proto::opentelemetry::proto::collector::profiles::v1development as otlp_service;
use super::proto::parca::profilestore::v1alpha1 as parca;
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
    Grpc(Client<tonic::body::Body>),
}

/// Sends to one target.
pub(super) struct Sender {
    target: PushTarget,
    connecting: Connecting,
    clients: Clients,
    credentials: Credentials,
    timeout: Duration,
}

impl Sender {
    /// Reads the files that the target names.
    pub(super) fn new(target: PushTarget, timeouts: Timeouts) -> Result<Self, SenderError> {
        let connecting = Connecting::to(&target, timeouts.connect);
        Ok(Self {
            clients: clients(&target, &connecting)?,
            credentials: Credentials::of(&target)?,
            timeout: timeouts.request,
            connecting,
            target,
        })
    }

    /// Sends a message once.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Failure> {
        let headers = self.headers();
        let answer = tokio::time::timeout(self.timeout, self.call(message, headers)).await;
        let result = answer.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f32();
            Err(Failure::no_answer(format!("no answer within {seconds} s")))
        });
        result.map_err(|mut failure| {
            failure.why = self.credentials.redact(&failure.why);
            if failure.verdict == Verdict::NoAnswer {
                self.start_over();
            }
            failure
        })
    }

    /// Reads the credentials again, and says whether they are others now.
    pub(super) fn reread_credentials(&mut self) -> Result<bool, CredentialsError> {
        self.credentials.reread()
    }

    /// Forgets connections. If that cannot be (certificates are being replaced), the old ones have to do.
    fn start_over(&mut self) {
        match clients(&self.target, &self.connecting) {
            Ok(clients) => self.clients = clients,
            Err(cause) => log::debug!("{}: {cause}", self.target),
        }
    }

    /// What is sent along.
    fn headers(&mut self) -> HeaderMap {
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

    async fn call(&self, message: Message, headers: HeaderMap) -> Result<(), Failure> {
        match (message, &self.clients) {
            (Message::Pyroscope(body), Clients::Plain(client)) => {
                push(client, self.pyroscope_url(), body, headers).await
            }
            (Message::Otlp(message), Clients::Grpc(client)) => {
                export(client.clone(), self.target.url.clone(), *message, headers).await
            }
            (Message::Parca(message), Clients::Grpc(client)) => {
                write_raw(client.clone(), self.target.url.clone(), *message, headers).await
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
        Receiver::Otlp | Receiver::Parca => Clients::Grpc(connecting.client()?),
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
        return Err(Failure::unclear(
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

async fn export(
    client: Client<tonic::body::Body>,
    origin: Uri,
    message: otlp_service::ExportProfilesServiceRequest,
    headers: HeaderMap,
) -> Result<(), Failure> {
    let client =
        otlp_service::profiles_service_client::ProfilesServiceClient::with_origin(client, origin);
    // Every collector takes gzip, and names are most of a message.
    let mut client = client
        .send_compressed(CompressionEncoding::Gzip)
        .max_encoding_message_size(usize::MAX);
    let answer = client.export(with_headers(message, headers)).await;
    let answer = answer.map_err(|status| Failure::of_grpc(&status))?;
    let Some(partly) = answer.into_inner().partial_success else {
        return Ok(());
    };
    if partly.rejected_profiles > 0 {
        let status = tonic::Status::invalid_argument(partly.error_message);
        return Err(Failure::of_grpc(&status));
    }
    if !partly.error_message.is_empty() {
        log::debug!(
            "the receiver of OTLP profiles remarks: {}",
            partly.error_message
        );
    }
    Ok(())
}

async fn write_raw(
    client: Client<tonic::body::Body>,
    origin: Uri,
    message: parca::WriteRawRequest,
    headers: HeaderMap,
) -> Result<(), Failure> {
    let client =
        parca::profile_store_service_client::ProfileStoreServiceClient::with_origin(client, origin);
    let mut client = client.max_encoding_message_size(usize::MAX);
    let answer = client.write_raw(with_headers(message, headers)).await;
    answer.map_err(|status| Failure::of_grpc(&status))?;
    Ok(())
}

fn with_headers<T>(message: T, headers: HeaderMap) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}
