//! What arrives when all is well: the whole profile, with the right labels, in the receiver's form.

use super::server::{Arrival, Like};
use super::*;
use crate::output::push::message::Message;
use crate::pprof::{Contents, LabelValue};

/// Where the test servers expect Pyroscope, as behind a proxy.
pub(super) fn target_of(receiver: Receiver, address: impl std::fmt::Display) -> PushTarget {
    match receiver {
        Receiver::Pyroscope => target(receiver, format_args!("{address}/prefix/")),
        Receiver::Otlp | Receiver::Parca => target(receiver, address),
    }
}

/// Samples as text: stack, labels, values; sorted.
fn samples(contents: &Contents) -> Vec<String> {
    let mut samples: Vec<String> = Vec::new();
    for sample in &contents.samples {
        let stack = sample.stack.iter().map(|&location| {
            let location = &contents.locations[location];
            let lines = location.lines.iter().map(|&(function, line)| {
                let name = contents.text(contents.functions[function].name);
                format!("{name}:{line}")
            });
            format!(
                "{:x} {}",
                location.address,
                lines.collect::<Vec<_>>().join("<")
            )
        });
        let labels = sample.labels.iter().map(|&(key, value)| {
            let value = match value {
                LabelValue::Text(text) => contents.text(text).to_owned(),
                LabelValue::Number(number, _) => number.to_string(),
            };
            format!("{}={value}", contents.text(key))
        });
        samples.push(format!(
            "{} [{}] {:?}",
            stack.collect::<Vec<_>>().join(", "),
            labels.collect::<Vec<_>>().join(" "),
            sample.values
        ));
    }
    samples.sort();
    samples
}

/// Two windows, of the machine and of a program, come to each receiver as they were made.
#[tokio::test]
async fn windows_arrive_whole() {
    for receiver in RECEIVERS {
        let server = Like::good(receiver).start().await;
        let mut target = target_of(receiver, server.address);
        target.add_header("X-Scope-OrgID: team-a").unwrap();
        let pushers = start(vec![target], quick());
        let windows = [window(0), window(1)];
        for window in &windows {
            pushers.offer(window);
        }
        let counts = until(&pushers, |counts| counts.sent == 2).await;
        assert_eq!((counts.retried, counts.dropped.total()), (0, 0));
        assert!(counts.sent_bytes > 0);
        assert_eq!(counts.last_error, None);
        let headers = server.state.headers();
        assert_eq!(headers["x-scope-orgid"], "team-a");
        assert!(
            headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("profiler/")
        );
        let arrivals = server.state.arrivals();
        assert_eq!(arrivals.len(), 2);
        for (window, arrival) in windows.iter().zip(arrivals) {
            check(window, arrival);
        }
    }
}

fn check(window: &Window, arrival: Arrival) {
    let program = window.program.as_deref().unwrap_or("system");
    match arrival {
        Arrival::Pyroscope(mut request) => {
            let mut series = request.series.remove(0);
            let labels = series
                .labels
                .into_iter()
                .map(|pair| (pair.name, pair.value));
            check_labels(&labels.collect::<Vec<_>>(), "hostname", program);
            check_pyroscope(&series.samples.remove(0).raw_profile);
            assert!(request.series.is_empty() && series.samples.is_empty());
        }
        Arrival::Parca(mut request) => {
            let mut series = request.series.remove(0);
            let labels = series.labels.unwrap().labels.into_iter();
            let labels = labels.map(|label| (label.name, label.value));
            check_labels(&labels.collect::<Vec<_>>(), "node", program);
            let profile = series.samples.remove(0).raw_profile;
            assert_eq!(profile, *window.profile, "Parca gets the very bytes");
            assert!(!request.normalized);
        }
        // What the message says is tested in `otlp`; here, that it comes through.
        Arrival::Otlp(request) => {
            let sent = Message::of(Receiver::Otlp, &machine(), window).unwrap();
            assert_eq!(Message::Otlp(request), sent);
        }
    }
}

fn check_labels(labels: &[(String, String)], host: &str, program: &str) {
    let wanted = [
        ("__name__", "process_cpu"),
        (host, "db1"),
        ("region", "eu"),
        ("service_name", program),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(labels, wanted);
}

/// Stacks and values are all there; labels are those that make good series, and what they kept apart is added up.
fn check_pyroscope(profile: &[u8]) {
    let contents = Contents::from_gzip(profile).unwrap();
    let value = |count: u64| format!("[{count}, {}]", count * PERIOD_NS);
    let mut wanted = vec![
        format!("10  [] {}", value(1)),
        format!(
            "5010 hash:7<probe:70, 5020 main:1 [comm=postgres] {}",
            value(7)
        ),
        format!("7010 query:0, 5020 main:1 [comm=psql] {}", value(2)),
        format!(
            "ffffffff81000010 do_syscall_64:0, 5030 , 5020 main:1 [comm=postgres] {}",
            value(1)
        ),
        format!(
            "ffffffff81000010 do_syscall_64:0 [comm=kworker] {}",
            value(2)
        ),
    ];
    wanted.sort();
    assert_eq!(samples(&contents), wanted);
}

/// A window keeps its id from try to try, and two windows have two.
#[tokio::test]
async fn ids_tell_windows_apart() {
    let server = Like::good(Receiver::Pyroscope).start().await;
    let pushers = start(
        vec![target_of(Receiver::Pyroscope, server.address)],
        quick(),
    );
    for number in [0, 1, 0] {
        pushers.offer(&window(number));
    }
    until(&pushers, |counts| counts.sent == 3).await;
    let ids = server
        .state
        .arrivals()
        .into_iter()
        .map(|arrival| match arrival {
            Arrival::Pyroscope(request) => request.series[0].samples[0].id.clone(),
            other => panic!("{other:?}"),
        });
    let ids: Vec<String> = ids.collect();
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].len(), 36);
}

/// What is no profile is dropped and counted, and the next window comes through. Parca judges for itself.
#[tokio::test]
async fn broken_window_costs_itself() {
    for receiver in [Receiver::Pyroscope, Receiver::Otlp] {
        let server = Like::good(receiver).start().await;
        let pushers = start(vec![target_of(receiver, server.address)], quick());
        pushers.offer(&Window {
            profile: b"not gzip".as_slice().into(),
            ..window(0)
        });
        pushers.offer(&window(1));
        let counts = until(&pushers, |counts| counts.sent == 1).await;
        assert_eq!(counts.dropped.unreadable, 1);
        assert!(counts.last_error.unwrap().contains("not gzip"));
    }
}

/// Targets are started before anything runs, and by whom does not matter.
#[test]
fn start_needs_no_runtime_around_it() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let server = runtime.block_on(Like::good(Receiver::Parca).start());
    let target = target(Receiver::Parca, server.address);
    let pushers = PreparedPushers::new(vec![target], machine())
        .unwrap()
        .start(runtime.handle());
    pushers.offer(&window(0));
    runtime.block_on(until(&pushers, |counts| counts.sent == 1));
    drop(pushers);
}
