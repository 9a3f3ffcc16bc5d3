//! The server against clients of every kind, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::*;

/// What has not happened after this time never will.
const HANGS: Duration = Duration::from_secs(20);
/// Larger than what the system takes off the server's hands for a client that does not read.
const LARGE: usize = 32 << 20;

/// A server in a thread of its own. It answers `/large`, `/wait` until told, and every other path with the path.
struct Running {
    address: SocketAddr,
    counts: Arc<HttpCounts>,
    let_go: watch::Sender<bool>,
    waiting: watch::Receiver<usize>,
    was_dropped: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Tells when an answer that is being made is not wanted any more.
struct Dropped(Arc<AtomicBool>, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.1 {
            self.0.store(true, Ordering::Release);
        }
    }
}

fn start(limits: Limits) -> Running {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(HttpCounts::default());
    let server = Server {
        listener,
        access: Access::new(address, None).unwrap(),
        limits,
        posted: &["/symbol"],
        counts: Arc::clone(&counts),
    };
    let (let_go, may_go) = watch::channel(false);
    let (waits, waiting) = watch::channel(0);
    let waits = Arc::new(waits);
    let was_dropped = Arc::new(AtomicBool::new(false));
    let dropped = Arc::clone(&was_dropped);
    let routes = move |asked: Asked| {
        let (mut may_go, waits) = (may_go.clone(), Arc::clone(&waits));
        let guard = Dropped(Arc::clone(&dropped), false);
        async move {
            let mut guard = guard;
            match asked.path.as_str() {
                "/large" => {
                    guard.1 = true;
                    return text("text/plain", vec![b'x'; LARGE]);
                }
                "/wait" => {
                    waits.send_modify(|count| *count += 1);
                    let _ = may_go.wait_for(|go| *go).await;
                }
                _ => {}
            }
            guard.1 = true;
            text("text/plain", format!("{}?{}", asked.path, asked.query))
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = async {
            let _ = stopped.await;
        };
        runtime.block_on(server.run(routes, stop, HANGS)).unwrap();
    });
    Running {
        address,
        counts,
        let_go,
        waiting,
        was_dropped,
        stop,
        thread,
    }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        stream
    }

    fn ask(&self, text: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Waits until it is so.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < HANGS, "never {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn end(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// All that the server says until it closes the connection.
fn all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // What was sent behind a refusal was not read.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn quick() -> Limits {
    Limits {
        head: Duration::from_millis(200),
        stalled: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// What is asked is answered; what cannot be is refused, each with its status.
#[test]
fn answers_and_refusals() {
    let server = start(Limits {
        uri_bytes: 100,
        ..Limits::default()
    });
    let long = "x".repeat(200);
    let huge = "x".repeat(100_000);
    for (request, status, body) in [
        (get("/a?b=c"), "200", "/a?b=c"),
        (get("http://localhost/a"), "200", "/a?"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "200", "/?"),
        (get("/").replace("GET", "POST"), "405", "ask with GET"),
        (
            "POST /symbol HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\n0x1+2".to_owned(),
            "200",
            "/symbol?",
        ),
        (get("/").replace("GET", "BREW"), "405", "ask with GET"),
        (
            get("/").replace("localhost", "evil.example"),
            "403",
            "not called that",
        ),
        (get(&format!("/{long}")), "414", "at most 100"),
        (get(&format!("/{huge}")), "431", ""),
        (get("/").replace("Connection", &huge), "431", ""),
        (
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(),
            "400",
            "",
        ),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400", ""),
    ] {
        let answer = all(server.ask(&request));
        let shown = &request[..request.len().min(60)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{shown:?}: {answer}"
        );
        assert!(answer.contains(body), "{shown:?}: {answer}");
    }
    let head = all(server.ask(&get("/abc").replace("GET", "HEAD")));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert!(
        head.contains("nosniff") && head.contains("no-store"),
        "{head}"
    );
    server.end();
}

/// Who takes long to ask, or asks nothing any more, is cut off; others are answered meanwhile.
#[test]
fn slow_heads_are_cut_off() {
    let server = start(quick());
    let slow = server.ask("GET / HTTP/1.1\r\nHost: local");
    let silent = server.connect();
    let mut idle = server.ask("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut start = [0; 12];
    idle.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    assert!(all(server.ask(&get("/y"))).contains("/y?"));
    all(slow);
    all(silent);
    all(idle);
    server.until("closed", |server| server.counts.connections() == 0);
    server.end();
}

/// Who does not read the answer is cut off.
#[test]
fn slow_readers_are_cut_off() {
    let server = start(quick());
    let stream = server.ask(&get("/large"));
    server.until("cut off", |server| server.counts.cut_off() == 1);
    drop(stream);
    // Who does read it gets all of it.
    let answer = all(server.ask(&get("/large")));
    assert!(answer.len() > LARGE, "{}", answer.len());
    server.end();
}

/// When the client goes, the answer that is being made is given up.
#[test]
fn hanging_up_ends_the_work() {
    let server = start(Limits::default());
    let stream = server.ask(&get("/wait"));
    server.until("asked", |server| *server.waiting.borrow() == 1);
    assert!(!server.was_dropped.load(Ordering::Acquire));
    drop(stream);
    server.until("given up", |server| {
        server.was_dropped.load(Ordering::Acquire)
    });
    server.end();
}

/// Clients above the limit wait until others have gone, and lose nothing.
#[test]
fn clients_are_bounded() {
    let server = start(Limits {
        connections: 2,
        ..Limits::default()
    });
    let streams: Vec<TcpStream> = (0..5).map(|_| server.ask(&get("/wait"))).collect();
    server.until("two asked", |server| *server.waiting.borrow() == 2);
    assert_eq!(server.counts.connections(), 2);
    server.let_go.send(true).unwrap();
    for stream in streams {
        assert!(all(stream).ends_with("/wait?"));
    }
    assert_eq!(server.counts.answers(), [0, 5, 0, 0, 0]);
    server.end();
}

/// What has been asked is answered when the server ends, and nothing after.
#[test]
fn ends_after_its_answers() {
    let server = start(Limits::default());
    let stream = server.ask(&get("/wait"));
    server.until("asked", |server| *server.waiting.borrow() == 1);
    let address = server.address;
    server.stop.send(()).unwrap();
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < HANGS, "it still listens");
        std::thread::sleep(Duration::from_millis(2));
    }
    server.let_go.send(true).unwrap();
    assert!(all(stream).ends_with("/wait?"));
    server.thread.join().unwrap();
}

/// A socket that cannot be had is named, with who may have it and what else to take.
#[test]
fn sockets_that_cannot_be_had() {
    let taken = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = listen(address).unwrap_err().to_string();
    let next = address.port().wrapping_add(1);
    assert!(
        error.contains(&format!("sport = :{}", address.port())),
        "{error}"
    );
    assert!(
        error.contains(&format!("--listen 127.0.0.1:{next}")),
        "{error}"
    );
    // Of a documentation network, so no machine has it.
    let error = listen("192.0.2.1:1".parse().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("an address of this machine"),
        "{error}"
    );
    for text in ["6060", "host:6060", "127.0.0.1", ""] {
        assert!(
            text.parse::<Listen>()
                .unwrap_err()
                .contains("127.0.0.1:6060")
        );
    }
    for text in ["127.0.0.1:6060", "[::1]:0", "none"] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
    }
    assert_eq!(
        "localhost:1".parse::<Listen>().unwrap().to_string(),
        "127.0.0.1:1"
    );
}
