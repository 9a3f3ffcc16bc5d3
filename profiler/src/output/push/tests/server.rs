//! Receivers as they are: the generated services of gRPC, and Pyroscope's call over HTTP; with answers by a script.
//!
//! Behind the script they take everything.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response as HttpResponse, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Response, Status};

use super::super::proto::opentelemetry::proto::collector::profiles::v1development as otlp;
use super::super::proto::parca::profilestore::v1alpha1 as parca;
use super::super::proto::push::v1 as pyroscope;
use super::Receiver;

use otlp::profiles_service_server::{ProfilesService, ProfilesServiceServer};
use parca::profile_store_service_server::{ProfileStoreService, ProfileStoreServiceServer};

/// What a receiver does with one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Takes it.
    Take,
    /// Never answers.
    Never,
    /// Says this, over HTTP or over gRPC.
    Say(u16, Code),
    /// Says that it is a matter of our credentials, and repeats them.
    WhoAreYou,
    /// Takes it, says something, and rejects so many of its profiles. OTLP alone can say that.
    Partly(i64),
    /// Is no such receiver at all.
    WebPage,
}

/// What a connection meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Door {
    /// The receiver.
    Open,
    /// Closed with a reset as soon as something comes.
    Reset,
    /// Something that is not HTTP.
    Garbage,
    /// A server that knows HTTP 1 only.
    OldHttp,
    /// A web server that has a page for every URL, by whatever HTTP it is asked.
    WebSite,
    /// Nothing, ever.
    Hole,
}

/// What arrived.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Arrival {
    Pyroscope(pyroscope::PushRequest),
    Otlp(Box<otlp::ExportProfilesServiceRequest>),
    Parca(parca::WriteRawRequest),
}

type Script = Box<dyn FnMut(&HeaderMap) -> Answer + Send>;

/// What servers know.
pub(super) struct State {
    script: Mutex<Script>,
    doors: Mutex<VecDeque<Door>>,
    arrivals: Mutex<Vec<Arrival>>,
    headers: Mutex<HeaderMap>,
}

impl State {
    /// Everything that was taken, in order.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// The headers of the last request.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.lock().unwrap().clone()
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        *self.headers.lock().unwrap() = headers.clone();
        (self.script.lock().unwrap())(headers)
    }

    fn take(&self, arrival: Arrival) {
        self.arrivals.lock().unwrap().push(arrival);
    }

    /// Returns how many profiles are rejected, if that is said.
    async fn grpc(&self, headers: &HeaderMap, arrival: Arrival) -> Result<Option<i64>, Status> {
        match self.answer(headers) {
            Answer::Take => {
                self.take(arrival);
                Ok(None)
            }
            Answer::Partly(rejected) => {
                self.take(arrival);
                Ok(Some(rejected))
            }
            Answer::Never => future::pending().await,
            Answer::Say(_, code) => Err(Status::new(code, "the script says so")),
            Answer::WhoAreYou => Err(Status::unauthenticated(presented(headers))),
            Answer::WebPage => Err(Status::unimplemented("a web page")),
        }
    }

    async fn http(&self, request: Request<Incoming>) -> HttpResponse<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (status, content, text) = match self.answer(&parts.headers) {
            Answer::Take => {
                assert_eq!(parts.uri.path(), "/prefix/push.v1.PusherService/Push");
                assert_eq!(parts.headers["content-type"], "application/proto");
                self.take(Arrival::Pyroscope(
                    pyroscope::PushRequest::decode(body).unwrap(),
                ));
                (200, "application/proto", String::new())
            }
            Answer::Partly(_) => unreachable!("Pyroscope's answer has no place for that"),
            Answer::Never => future::pending().await,
            Answer::Say(status, _) => {
                let text = r#"{"code": "any", "message": "the script says so"}"#;
                (status, "application/json", text.to_owned())
            }
            Answer::WhoAreYou => (401, "text/plain", presented(&parts.headers)),
            Answer::WebPage => (200, "text/html", "<html>welcome</html>".to_owned()),
        };
        HttpResponse::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header("content-type", content)
            .body(Full::new(text.into()))
            .unwrap()
    }
}

/// The credentials, as a careless receiver puts them into its message.
fn presented(headers: &HeaderMap) -> String {
    let presented = headers.get("authorization");
    let presented = presented.map_or("nothing", |value| value.to_str().unwrap());
    format!("no such user: {presented}")
}

#[tonic::async_trait]
impl ProfilesService for Arc<State> {
    async fn export(
        &self,
        request: tonic::Request<otlp::ExportProfilesServiceRequest>,
    ) -> Result<Response<otlp::ExportProfilesServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let arrival = Arrival::Otlp(Box::new(message));
        let rejected = self.grpc(&metadata.into_headers(), arrival).await?;
        let partial_success =
            rejected.map(|rejected_profiles| otlp::ExportProfilesPartialSuccess {
                rejected_profiles,
                error_message: "the script remarks".to_owned(),
            });
        Ok(Response::new(otlp::ExportProfilesServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl ProfileStoreService for Arc<State> {
    async fn write_raw(
        &self,
        request: tonic::Request<parca::WriteRawRequest>,
    ) -> Result<Response<parca::WriteRawResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let headers = metadata.into_headers();
        self.grpc(&headers, Arrival::Parca(message)).await?;
        Ok(Response::new(parca::WriteRawResponse {}))
    }
}

/// A receiver that runs until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a server is like.
pub(super) struct Like {
    pub(super) receiver: Receiver,
    /// 0 for any port.
    pub(super) port: u16,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) script: Script,
    /// For the first connections.
    pub(super) doors: Vec<Door>,
}

impl Like {
    /// One that takes everything.
    pub(super) fn good(receiver: Receiver) -> Self {
        Self {
            receiver,
            port: 0,
            tls: None,
            script: Box::new(|_| Answer::Take),
            doors: Vec::new(),
        }
    }

    /// One that begins with these answers.
    pub(super) fn answering(receiver: Receiver, answers: &[Answer]) -> Self {
        let mut answers: VecDeque<Answer> = answers.iter().copied().collect();
        Self {
            script: Box::new(move |_| answers.pop_front().unwrap_or(Answer::Take)),
            ..Self::good(receiver)
        }
    }

    pub(super) async fn start(self) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(self.script),
            doors: Mutex::new(self.doors.into()),
            arrivals: Mutex::default(),
            headers: Mutex::default(),
        });
        let accepting = accept(listener, self.receiver, Arc::clone(&state), self.tls);
        let task = tokio::spawn(accepting);
        Server {
            address,
            state,
            task,
        }
    }
}

async fn accept(
    listener: TcpListener,
    receiver: Receiver,
    state: Arc<State>,
    tls: Option<TlsAcceptor>,
) {
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let door = state.doors.lock().unwrap().pop_front();
        let state = Arc::clone(&state);
        let tls = tls.clone();
        connections.spawn(async move {
            match (door.unwrap_or(Door::Open), tls) {
                (Door::Open, None) => converse(stream, receiver, state).await,
                (Door::Open, Some(tls)) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, receiver, state).await;
                    }
                }
                (door, _) => refuse(stream, door).await,
            }
        });
    }
}

async fn refuse(mut stream: TcpStream, door: Door) {
    match door {
        Door::Reset => {
            stream.readable().await.unwrap();
            stream.set_zero_linger().unwrap();
        }
        Door::Garbage => {
            stream.readable().await.unwrap();
            stream.write_all(b"220 mail ready\r\n\r\n").await.unwrap();
        }
        Door::OldHttp => {
            stream.readable().await.unwrap();
            let answer =
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
        Door::WebSite => {
            let page = service_fn(|_| async {
                let page = HttpResponse::builder().header("content-type", "text/html");
                let page = page.body(Full::new(Bytes::from("<html>welcome</html>")));
                Ok::<_, Infallible>(page.unwrap())
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is the client's business.
            let _ = server.serve_connection(TokioIo::new(stream), page).await;
        }
        Door::Hole | Door::Open => future::pending().await,
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    receiver: Receiver,
    state: Arc<State>,
) {
    let io = TokioIo::new(stream);
    let server = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the client's business.
    let _ = match receiver {
        Receiver::Pyroscope => {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.http(request).await) }
            });
            server.serve_connection(io, service).await
        }
        Receiver::Otlp => {
            let service = ProfilesServiceServer::new(state)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(4 << 20);
            let service = TowerToHyperService::new(service);
            server.serve_connection(io, service).await
        }
        Receiver::Parca => {
            let service = TowerToHyperService::new(ProfileStoreServiceServer::new(state));
            server.serve_connection(io, service).await
        }
    };
}
