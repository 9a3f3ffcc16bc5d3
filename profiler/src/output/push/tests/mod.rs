//! Pushes to servers that speak the receivers' own protocols, on loopback: what arrives, and what happens when it does not.
//!
//! Times are injected and short; nothing is asserted about how long anything takes. [`until`] only gives up at some time.

mod arrival;
mod credentials;
mod faults;
mod server;
mod tls;

use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use super::*;
use crate::pprof::{Builder, Header, Label, Line, Mapping};

const RECEIVERS: [Receiver; 3] = [Receiver::Pyroscope, Receiver::Otlp, Receiver::Parca];
const PERIOD_NS: u64 = 10_101_010;
/// When the first window began, in seconds since 1970.
const BEGAN: u64 = 1_764_000_000;

/// Short times, and a queue that holds what a test offers.
fn quick() -> PushSettings {
    PushSettings {
        queue: QueueBounds {
            windows: 100,
            bytes: 1 << 20,
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(20),
        },
        pauses: Pauses {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(5),
            longest_asked: Duration::from_millis(5),
        },
        tries_of_unclear: 3,
    }
}

/// A target at `address`, for example `127.0.0.1:4040`.
fn target(receiver: Receiver, address: impl std::fmt::Display) -> PushTarget {
    format!("{}=http://{address}", receiver.name())
        .parse()
        .unwrap()
}

fn machine() -> Vec<(String, String)> {
    vec![
        (HOST_LABEL.to_owned(), "db1".to_owned()),
        ("region".to_owned(), "eu".to_owned()),
    ]
}

fn start(targets: Vec<PushTarget>, settings: PushSettings) -> Pushers {
    let prepared = PreparedPushers::with(targets, machine(), settings).unwrap();
    prepared.start(&Handle::current())
}

/// Waits until the counts of the only target are as wanted.
async fn until(pushers: &Pushers, wanted: impl Fn(&PushCounts) -> bool) -> PushCounts {
    for _ in 0..20_000 {
        let counts = counts(pushers);
        if wanted(&counts) {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never comes to that: {:?}", counts(pushers));
}

/// The counts of the only target, which always add up.
fn counts(pushers: &Pushers) -> PushCounts {
    let counts = pushers.counts().remove(0);
    assert_adds_up(&counts);
    counts
}

fn assert_adds_up(counts: &PushCounts) {
    let PushCounts {
        offered,
        sent,
        queued,
        dropped,
        ..
    } = counts;
    assert_eq!(*offered, sent + dropped.total() + queued, "{counts:?}");
}

/// A window of a minute, the `number`th, with a profile of everything that there is.
fn window(number: u64) -> Window {
    let start = BEGAN + 60 * number;
    Window {
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(start),
        duration: Duration::from_secs(60),
        program: (number % 2 == 1).then(|| "postgres".into()),
        samples: 13,
        profile: profile(start).into(),
    }
}

fn profile(start: u64) -> Vec<u8> {
    let mut builder = Builder::new(Header {
        period_ns: PERIOD_NS,
        time_ns: start * 1_000_000_000,
        duration_ns: 60_000_000_000,
        comments: vec!["lost none".to_owned()],
    });
    let mapping = |start, file: &str, build_id: &[u8]| Mapping {
        start,
        limit: start + 0x1000,
        offset: 0x1000,
        file: file.to_owned(),
        build_id: build_id.to_vec(),
    };
    let program = builder.mapping(mapping(0x5000, "/usr/bin/postgres", &[0xab, 0xcd]));
    let kernel = builder.mapping(mapping(0xffff_ffff_8100_0000, "[kernel.kallsyms]", &[]));
    let jit = builder.mapping(mapping(0x7000, "[jit]", &[]));
    let line = |name, file, line| Line {
        name,
        file,
        line,
        ..Line::default()
    };
    let inlined = builder.location(
        program,
        0x5010,
        &[line("hash", "hash.c", 7), line("probe", "probe.c", 70)],
    );
    let main = builder.location(program, 0x5020, &[line("main", "main.c", 1)]);
    let unnamed = builder.location(program, 0x5030, &[]);
    let entry = builder.location(
        kernel,
        0xffff_ffff_8100_0010,
        &[line("do_syscall_64", "", 0)],
    );
    let compiled = builder.location(jit, 0x7010, &[line("query", "", 0)]);
    let nowhere = builder.unmapped(0x10);
    let labels = |pid: i64, comm: &str, thread: &str| {
        vec![
            Label::Num("pid".to_owned(), pid, String::new()),
            Label::Str("comm".to_owned(), comm.to_owned()),
            Label::Str("thread".to_owned(), thread.to_owned()),
        ]
    };
    builder.add(&[inlined, main], 3, &labels(1, "postgres", "a"));
    builder.add(&[inlined, main], 4, &labels(2, "postgres", "b"));
    builder.add(&[entry, unnamed, main], 1, &labels(1, "postgres", "a"));
    builder.add(&[compiled, main], 2, &labels(0, "psql", "c"));
    builder.add(&[nowhere], 1, &[]);
    builder.add(&[entry], 1, &labels(5, "kworker/0:1", "kworker/0:1"));
    builder.add(&[entry], 1, &labels(6, "kworker/1:1", "kworker/1:1"));
    builder.finish().to_gzip()
}
