//! Answers requests of HTTP on a socket, within limits: how many clients, how long, how much. What the answers are is left
//! to who starts it.
//!
//! One thread does it all, with the system's readiness instead of threads (tokio and hyper): what takes long belongs
//! elsewhere, and the answers wait for it.

mod access;
mod answer;
mod listen;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

pub(crate) use access::Access;
pub(crate) use answer::{Answer, html, json, profile, refuse, text};
pub(crate) use listen::{Listen, listen};

/// How long to wait before it is tried again to take a connection when the system has no room for one.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Connections at once; others wait in the system's queue until one has gone.
    pub(crate) connections: usize,
    /// How long the head of a request may take, and how long a connection may be idle before.
    pub(crate) head: Duration,
    /// Bytes of the head of a request.
    pub(crate) head_bytes: usize,
    /// Bytes of the path with the query.
    pub(crate) uri_bytes: usize,
    /// Bytes behind the head that are read; they are of no use.
    pub(crate) body_bytes: usize,
    /// How long a client may take no byte of an answer.
    pub(crate) stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(10),
            head_bytes: 16 << 10,
            uri_bytes: 4 << 10,
            body_bytes: 16 << 20,
            stalled: Duration::from_secs(20),
        }
    }
}

/// What has been answered, in numbers that only rise, but for the connections.
#[derive(Default, Debug)]
pub(crate) struct HttpCounts {
    connections: AtomicU64,
    answers: [AtomicU64; 5],
    cut_off: AtomicU64,
}

impl HttpCounts {
    /// Connections, now.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Answers by class: how many had a status of 1xx, 2xx … 5xx.
    pub(crate) fn answers(&self) -> [u64; 5] {
        self.answers
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Connections that ended otherwise than by a whole answer: garbage, too slow, gone.
    pub(crate) fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.answers[class].fetch_add(1, Ordering::Relaxed);
    }
}

/// What is asked for. Only what answers depend on.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The path, as it was sent.
    pub(crate) path: String,
    /// What is behind the question mark.
    pub(crate) query: String,
    /// How the client calls this server, for links: host and port.
    pub(crate) host: String,
}

/// A server that has a socket and has yet to begin.
pub(crate) struct Server {
    /// The socket.
    pub(crate) listener: std::net::TcpListener,
    /// Who may ask.
    pub(crate) access: Access,
    /// What clients may take.
    pub(crate) limits: Limits,
    /// Paths to which programs may POST as well; what they send is read and of no use.
    pub(crate) posted: &'static [&'static str],
    /// What has been answered.
    pub(crate) counts: Arc<HttpCounts>,
}

impl Server {
    /// Answers until `stop` is ready; then answers what has been asked, for `patience` at most.
    ///
    /// When the client goes while an answer is being made, that future is dropped.
    pub(crate) async fn run<F, A>(
        self,
        routes: F,
        stop: impl Future<Output = ()>,
        patience: Duration,
    ) -> io::Result<()>
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let Self {
            listener,
            access,
            limits,
            posted,
            counts,
        } = self;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let room = Arc::new(Semaphore::new(limits.connections));
        let gate = Arc::new(Gate {
            access,
            limits,
            posted,
            counts,
            routes,
        });
        let connections = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            match (permit, accepted) {
                (Ok(permit), Ok((stream, _))) => {
                    Gate::serve(Arc::clone(&gate), stream, permit, &connections);
                }
                (_, Err(error)) => {
                    log::debug!("a connection cannot be taken: {error}");
                    tokio::time::sleep(NO_ROOM).await;
                }
                (Err(_), _) => break,
            }
        }
        drop(listener);
        if tokio::time::timeout(patience, connections.shutdown())
            .await
            .is_err()
        {
            log::debug!("some clients were not waited for");
        }
        Ok(())
    }
}

/// What stands between a connection and the answers.
struct Gate<F> {
    access: Access,
    limits: Limits,
    posted: &'static [&'static str],
    counts: Arc<HttpCounts>,
    routes: F,
}

impl<F, A> Gate<F>
where
    F: Fn(Asked) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    fn serve(
        this: Arc<Self>,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        connections: &GracefulShutdown,
    ) {
        // Answers are written at once.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(this.limits.stalled));
        let counts = Arc::clone(&this.counts);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(this.limits.head)
            .max_buf_size(this.limits.head_bytes)
            .serve_connection(
                TokioIo::new(Box::pin(stream)),
                service_fn(move |request| Self::answer(Arc::clone(&this), request)),
            );
        let connection = connections.watch(connection);
        counts.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                counts.cut_off.fetch_add(1, Ordering::Relaxed);
                log::debug!("a connection was cut off: {error}");
            }
            counts.connections.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }

    async fn answer(
        this: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let answer = match this.check(&request) {
            Ok(asked) => {
                // A client that still sends would not see the answer.
                let read = drain(request.body_mut(), this.limits.body_bytes);
                let _ = tokio::time::timeout(this.limits.stalled, read).await;
                (this.routes)(asked).await
            }
            Err(refusal) => *refusal,
        };
        this.counts.answered(answer.status());
        let answer = answer::guarded(answer);
        let only_head = request.method() == http::Method::HEAD;
        Ok(answer.map(|body| Full::new(if only_head { Bytes::new() } else { body })))
    }

    fn check(&self, request: &Request<Incoming>) -> Result<Asked, Box<Answer>> {
        let is_posted =
            request.method() == http::Method::POST && self.posted.contains(&request.uri().path());
        if !is_posted && !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
            let mut refusal = refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "nothing can be changed here; ask with GET",
            );
            let allowed = http::HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(http::header::ALLOW, allowed);
            return Err(Box::new(refusal));
        }
        let uri: &Uri = request.uri();
        let length = uri.path_and_query().map_or(0, |whole| whole.as_str().len());
        if length > self.limits.uri_bytes {
            let most = self.limits.uri_bytes;
            return Err(Box::new(refuse(
                StatusCode::URI_TOO_LONG,
                format!("path and query have {length} bytes; at most {most} are read"),
            )));
        }
        let host = self.access.check(request.headers(), uri)?;
        Ok(Asked {
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            host,
        })
    }
}

/// Reads what a client sends behind the head of its request, up to so much.
async fn drain(body: &mut Incoming, most: usize) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        left = left.saturating_sub(bytes);
        if left == 0 {
            return;
        }
    }
}
