//! Receivers that answer slowly, wrongly, or not at all, and come back.

use tonic::Code;

use super::arrival::target_of;
use super::server::{Answer, Arrival, Door, Like};
use super::*;

/// Answers after which a window is tried again and arrives.
const PASSING: [Answer; 5] = [
    Answer::Say(500, Code::Internal),
    Answer::Say(503, Code::Unavailable),
    Answer::Say(502, Code::Aborted),
    Answer::Say(429, Code::Unavailable),
    Answer::Say(504, Code::Unknown),
];

/// Answers after which it never will be.
const FINAL: [Answer; 2] = [
    Answer::Say(400, Code::InvalidArgument),
    Answer::Say(413, Code::ResourceExhausted),
];

/// Answers that are not about the window: somebody has to put right where and as whom it is sent.
const TO_BE_MENDED: [Answer; 4] = [
    Answer::Say(302, Code::Unimplemented),
    Answer::Say(403, Code::PermissionDenied),
    Answer::Say(404, Code::Unimplemented),
    Answer::WhoAreYou,
];

/// A window that met trouble that passes arrives once, and the next one after it.
#[tokio::test]
async fn passing_trouble_costs_nothing() {
    for receiver in RECEIVERS {
        for answer in PASSING {
            let like = Like::answering(receiver, &[answer, answer]);
            let server = like.start().await;
            let pushers = start(vec![target_of(receiver, server.address)], quick());
            pushers.offer(&window(0));
            pushers.offer(&window(1));
            let counts = until(&pushers, |counts| counts.sent == 2).await;
            assert_eq!(counts.retried, 2, "{receiver:?} {answer:?}");
            let error = counts.last_error.unwrap();
            assert!(error.contains("the script says so"), "{error}");
            assert_eq!(server.state.arrivals().len(), 2);
        }
    }
}

/// A window that is refused for good is not tried again; the next one is, and is judged by itself.
#[tokio::test]
async fn refusals_are_final() {
    for receiver in RECEIVERS {
        for answer in FINAL {
            let server = Like::answering(receiver, &[answer]).start().await;
            let pushers = start(vec![target_of(receiver, server.address)], quick());
            pushers.offer(&window(0));
            pushers.offer(&window(1));
            let counts = until(&pushers, |counts| counts.sent == 1).await;
            assert_eq!(
                (counts.dropped.refused, counts.retried),
                (1, 0),
                "{receiver:?} {answer:?}"
            );
            assert_eq!(server.state.arrivals().len(), 1);
        }
    }
}

/// While credentials, URL or receiver are wrong windows are kept, however often it takes, and arrive in order afterwards.
#[tokio::test]
async fn mistakes_are_waited_for() {
    for receiver in RECEIVERS {
        for answer in TO_BE_MENDED {
            let server = Like::answering(receiver, &[answer; 10]).start().await;
            let pushers = start(vec![target_of(receiver, server.address)], quick());
            for number in 0..3 {
                pushers.offer(&window(number));
            }
            let counts = until(&pushers, |counts| counts.sent == 3).await;
            assert_eq!(
                (counts.dropped.total(), counts.retried),
                (0, 10),
                "{receiver:?} {answer:?}"
            );
            let in_order = (0..3).map(|number| (BEGAN + 60 * number) * 1_000_000_000);
            let arrived = starts(&server.state.arrivals());
            assert_eq!(arrived, in_order.collect::<Vec<_>>());
        }
    }
}

/// What OTLP rejects in part is not sent again, and counts; words alone cost nothing.
#[tokio::test]
async fn partial_success_is_final() {
    let answers = [Answer::Partly(0), Answer::Partly(1)];
    let server = Like::answering(Receiver::Otlp, &answers).start().await;
    let pushers = start(vec![target(Receiver::Otlp, server.address)], quick());
    for number in 0..3 {
        pushers.offer(&window(number));
    }
    let counts = until(&pushers, |counts| counts.queued == 0).await;
    assert_eq!(
        (counts.sent, counts.dropped.refused, counts.retried),
        (2, 1, 0)
    );
    assert!(counts.last_error.unwrap().contains("the script remarks"));
    assert_eq!(server.state.arrivals().len(), 3);
}

/// A receiver that is always at a loss with one window does not keep the others from coming.
#[tokio::test]
async fn poison_is_given_up() {
    let lost = [Answer::Say(500, Code::Internal); 3];
    for receiver in RECEIVERS {
        let server = Like::answering(receiver, &lost).start().await;
        let pushers = start(vec![target_of(receiver, server.address)], quick());
        pushers.offer(&window(0));
        pushers.offer(&window(1));
        let counts = until(&pushers, |counts| counts.sent == 1).await;
        assert_eq!(
            (counts.dropped.refused, counts.retried),
            (1, 2),
            "{receiver:?}"
        );
    }
}

/// A web server that answers 200 to everything is no Pyroscope; windows wait until the URL has one.
#[tokio::test]
async fn web_pages_are_no_receivers() {
    let server = Like::answering(Receiver::Pyroscope, &[Answer::WebPage; 3]);
    let server = server.start().await;
    let pushers = start(
        vec![target_of(Receiver::Pyroscope, server.address)],
        quick(),
    );
    pushers.offer(&window(0));
    let counts = until(&pushers, |counts| counts.sent == 1).await;
    assert_eq!((counts.retried, counts.dropped.total()), (3, 0));
    let error = counts.last_error.unwrap();
    assert!(error.contains("not as Pyroscope does"), "{error}");
}

/// Nor is it a receiver that speaks gRPC.
#[tokio::test]
async fn web_sites_speak_no_grpc() {
    for receiver in [Receiver::Otlp, Receiver::Parca] {
        let server = Like {
            doors: vec![Door::WebSite],
            ..Like::good(receiver)
        };
        let server = server.start().await;
        let pushers = start(vec![target(receiver, server.address)], quick());
        pushers.offer(&window(0));
        let counts = until(&pushers, |counts| counts.sent == 1).await;
        assert!(counts.retried >= 1, "{receiver:?}");
        let error = counts.last_error.unwrap();
        assert!(error.contains("look at the URL"), "{error}");
    }
}

/// Connections that are reset or speak something else are given up, and new ones made.
#[tokio::test]
async fn bad_connections_are_replaced() {
    for receiver in RECEIVERS {
        for door in [Door::Reset, Door::Garbage, Door::OldHttp] {
            if receiver == Receiver::Pyroscope && door == Door::OldHttp {
                // It is spoken to by HTTP 1, and this would be an answer.
                continue;
            }
            let server = Like {
                doors: vec![door, door],
                ..Like::good(receiver)
            };
            let server = server.start().await;
            let pushers = start(vec![target_of(receiver, server.address)], quick());
            pushers.offer(&window(0));
            let counts = until(&pushers, |counts| counts.sent == 1).await;
            assert!(counts.retried >= 1, "{receiver:?} {door:?} {counts:?}");
            assert_eq!(server.state.arrivals().len(), 1);
        }
    }
}

/// A receiver that takes a request and never answers, or never even reads, is tried again after a while.
#[tokio::test]
async fn silence_ends() {
    let mut settings = quick();
    settings.timeouts.request = Duration::from_millis(200);
    for receiver in RECEIVERS {
        for (answers, doors) in [(vec![Answer::Never], vec![]), (vec![], vec![Door::Hole])] {
            let server = Like {
                doors,
                ..Like::answering(receiver, &answers)
            };
            let server = server.start().await;
            let pushers = start(vec![target_of(receiver, server.address)], settings);
            pushers.offer(&window(0));
            let counts = until(&pushers, |counts| counts.sent == 1).await;
            assert!(counts.retried >= 1, "{receiver:?}");
            let error = counts.last_error.unwrap();
            assert!(error.contains("no answer within"), "{error}");
        }
    }
}

/// The start of each window that arrived.
fn starts(arrivals: &[Arrival]) -> Vec<u64> {
    let start = |arrival: &Arrival| match arrival {
        Arrival::Pyroscope(request) => start_of(&request.series[0].samples[0].raw_profile),
        Arrival::Parca(request) => start_of(&request.series[0].samples[0].raw_profile),
        Arrival::Otlp(request) => {
            request.resource_profiles[0].scope_profiles[0].profiles[0].time_unix_nano
        }
    };
    arrivals.iter().map(start).collect()
}

fn start_of(profile: &[u8]) -> u64 {
    let contents = crate::pprof::Contents::from_gzip(profile).unwrap();
    u64::try_from(contents.time_ns).unwrap()
}

/// While nobody listens for many windows, the newest are kept; when somebody does, they come in order, each once, and
/// every window is accounted for at all times.
#[tokio::test]
async fn receiver_is_down_for_many_windows() {
    let mut settings = quick();
    settings.queue.windows = 5;
    for receiver in RECEIVERS {
        // A port that was free a moment ago.
        let gone = Like::good(receiver).start().await;
        let address = gone.address;
        drop(gone);
        let pushers = start(vec![target_of(receiver, address)], settings);
        for number in 0..50 {
            pushers.offer(&window(number));
            counts(&pushers);
            tokio::task::yield_now().await;
        }
        // What was being sent meanwhile stays until that has failed.
        let offered = counts(&pushers);
        let down = until(&pushers, |counts| counts.retried > offered.retried + 3).await;
        assert_eq!((down.offered, down.sent), (50, 0));
        assert_eq!(down.queued, 5, "{down:?}");
        assert!(down.last_error.unwrap().contains("refused"));
        let server = Like {
            port: address.port(),
            ..Like::good(receiver)
        };
        let server = server.start().await;
        let up = until(&pushers, |counts| counts.queued == 0).await;
        assert_eq!(up.sent + up.dropped.overflow, 50);
        pushers.offer(&window(50));
        until(&pushers, |counts| counts.sent == up.sent + 1).await;
        let starts = starts(&server.state.arrivals());
        let newest =
            (51 - starts.len() as u64..51).map(|number| (BEGAN + 60 * number) * 1_000_000_000);
        assert_eq!(starts, newest.collect::<Vec<_>>(), "{receiver:?}");
    }
}

/// A target that is down costs another one nothing.
#[tokio::test]
async fn targets_do_not_wait_for_each_other() {
    let hole = Like {
        doors: vec![Door::Hole; 100],
        ..Like::good(Receiver::Otlp)
    };
    let hole = hole.start().await;
    let good = Like::good(Receiver::Parca).start().await;
    let targets = vec![
        target(Receiver::Otlp, hole.address),
        target(Receiver::Parca, good.address),
    ];
    let pushers = start(targets, quick());
    for number in 0..10 {
        pushers.offer(&window(number));
    }
    for _ in 0..20_000 {
        if pushers.counts()[1].sent == 10 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let counts = pushers.counts();
    assert_eq!((counts[1].sent, counts[0].queued), (10, 10));
    counts.iter().for_each(assert_adds_up);
}

/// At the end what waits is sent if somebody takes it, and counted if nobody does.
#[tokio::test]
async fn end_is_waited_for_but_not_for_ever() {
    let good = Like::good(Receiver::Otlp).start().await;
    let pushers = start(vec![target(Receiver::Otlp, good.address)], quick());
    for number in 0..10 {
        pushers.offer(&window(number));
    }
    let counts = pushers.drain(Duration::from_secs(60)).await;
    assert_eq!((counts[0].sent, counts[0].dropped.total()), (10, 0));

    let hole = Like {
        doors: vec![Door::Hole; 100],
        ..Like::good(Receiver::Otlp)
    };
    let hole = hole.start().await;
    let pushers = start(vec![target(Receiver::Otlp, hole.address)], quick());
    for number in 0..10 {
        pushers.offer(&window(number));
    }
    let counts = pushers.drain(Duration::from_millis(50)).await;
    assert_eq!((counts[0].sent, counts[0].dropped.ended), (0, 10));
    counts.iter().for_each(assert_adds_up);
}

/// A pause of a minute is cut short at the end, because that is the last chance.
#[tokio::test]
async fn end_does_not_wait_for_a_pause() {
    let mut settings = quick();
    settings.pauses.longest_asked = Duration::from_secs(3600);
    settings.pauses.first = Duration::from_secs(3600);
    settings.pauses.longest = Duration::from_secs(3600);
    let busy = [Answer::Say(503, Code::Unavailable)];
    let server = Like::answering(Receiver::Parca, &busy).start().await;
    let pushers = start(vec![target(Receiver::Parca, server.address)], settings);
    pushers.offer(&window(0));
    until(&pushers, |counts| counts.retried == 1).await;
    let counts = pushers.drain(Duration::from_secs(60)).await;
    assert_eq!(counts[0].sent, 1);
}
