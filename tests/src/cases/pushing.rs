//! `profiler serve --push`: windows arrive as they are on disk, and a receiver that is down for many of them costs nothing but
//! time. The receiver speaks Pyroscope's protocol; the two of gRPC are tried where they are written.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use prost::Message;

use crate::harness::{Client, Service, Target, WindowFile, alone, windows};

/// What has not come after this time never will.
const HANGS: Duration = Duration::from_secs(60);

/// `push.v1.PushRequest`.
#[derive(Clone, PartialEq, Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

/// `push.v1.RawProfileSeries`.
#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<RawSample>,
}

/// `types.v1.LabelPair`.
#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `push.v1.RawSample`.
#[derive(Clone, PartialEq, Message)]
struct RawSample {
    #[prost(bytes = "vec", tag = "1")]
    raw_profile: Vec<u8>,
    #[prost(string, tag = "2")]
    id: String,
}

/// A receiver, and what it was sent.
struct Pyroscope {
    address: SocketAddr,
    arrived: Receiver<Push>,
}

impl Pyroscope {
    fn start(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(push) = take(&mut stream) {
                        if sender.send(push).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, arrived }
    }

    fn next(&self) -> Push {
        self.arrived.recv_timeout(HANGS).expect("a window arrives")
    }
}

/// Reads a request and takes it; nothing when there is none any more.
fn take(stream: &mut BufReader<TcpStream>) -> Option<Push> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(
        line.starts_with("POST /push.v1.PusherService/Push "),
        "{line}"
    );
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nContent-Length: 0\r\n\r\n";
    stream.get_mut().write_all(answer).ok()?;
    Some(Push::decode(body.as_slice()).unwrap())
}

fn label<'a>(push: &'a Push, name: &str) -> &'a str {
    let labels = push.series.iter().flat_map(|series| &series.labels);
    let mut named = labels.filter(|label| label.name == name);
    named.next().map_or("", |label| label.value.as_str())
}

/// Each file has arrived once, in order, as it is but for what is said beside it.
fn assert_arrived(files: &[WindowFile], pushes: &[Push]) {
    assert_eq!(files.len(), pushes.len());
    for (file, push) in files.iter().zip(pushes) {
        assert_eq!(push.series.len(), 1);
        let samples = &push.series[0].samples;
        assert_eq!(samples.len(), 1);
        let sent = crate::check::check_profile(&samples[0].raw_profile)
            .unwrap_or_else(|violations| panic!("{violations:?}"));
        assert_eq!(
            sent.total_count(),
            file.profile.total_count(),
            "{}",
            file.name
        );
        assert_eq!(sent.message().time_nanos, file.profile.message().time_nanos);
        assert_eq!(
            sent.message().location.len(),
            file.profile.message().location.len()
        );
    }
}

fn queued(client: &Client, address: SocketAddr) -> f64 {
    let labels = format!("{{target=\"pyroscope=http://{address}\",receiver=\"pyroscope\"}}");
    client.metric(&format!("profiler_push_queued_windows{labels}"))
}

fn start(dir: &Path, address: SocketAddr) -> (Service, Client) {
    let to = format!("pyroscope=http://{address}");
    let args = [
        "--window",
        "1s",
        "-F",
        "99",
        "--push",
        &to,
        "--push-label",
        "region=eu",
    ];
    Service::listening(dir, &args)
}

/// What was written also arrives, with the labels of the machine, the last window included.
#[test]
fn windows_arrive() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Pyroscope::start(TcpListener::bind("127.0.0.1:0").unwrap());
    let target = Target::spinning("spin-fp");
    let (mut service, _) = start(folder.path(), receiver.address);
    service.wait_for_windows(2);
    let said = service.stop();
    drop(target);
    let files = windows(folder.path());
    let pushes: Vec<Push> = files.iter().map(|_| receiver.next()).collect();
    assert_arrived(&files, &pushes);
    assert!(receiver.arrived.try_recv().is_err(), "{said}");
    let host = rustix::system::uname();
    for push in &pushes {
        assert_eq!(label(push, "__name__"), "process_cpu");
        assert_eq!(label(push, "region"), "eu");
        assert_eq!(label(push, "hostname"), host.nodename().to_str().unwrap());
    }
}

/// While the receiver is down windows are written and sampling loses nothing; when it is there again they arrive, in order.
#[test]
fn receiver_down_for_many_windows() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    // The port is free again, and nobody else's: others take theirs from the same counter.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = Target::spinning("spin-fp");
    let (mut service, client) = start(folder.path(), address);
    service.wait_for("fails: ");
    service.wait_for_windows(3);
    assert!(queued(&client, address) >= 3.0);
    assert_eq!(client.get("/healthz"), b"ok\n");
    let receiver = Pyroscope::start(TcpListener::bind(address).unwrap());
    service.wait_for("works again; 0 windows were lost");
    let said = service.stop();
    drop(target);
    assert!(said.contains(" samples tried, 0 lost;"), "{said}");
    let files = windows(folder.path());
    assert!(files.len() >= 4, "{said}");
    let pushes: Vec<Push> = files.iter().map(|_| receiver.next()).collect();
    assert_arrived(&files, &pushes);
}
