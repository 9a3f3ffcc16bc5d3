//! Who we say that we are, when files change under us.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::arrival::target_of;
use super::server::{Answer, Like, Server};
use super::*;

/// A receiver that wants one token, and a target that sends the one in a file.
async fn wanting(receiver: Receiver, wanted: &'static str) -> (Server, PushTarget) {
    let server = Like {
        script: Box::new(move |headers| match headers.get("authorization") {
            Some(value) if value == wanted => Answer::Take,
            _ => Answer::WhoAreYou,
        }),
        ..Like::good(receiver)
    };
    let server = server.start().await;
    let target = target_of(receiver, server.address);
    (server, target)
}

/// A token and a password get us in, and the bytes of neither get out by a message.
#[tokio::test]
async fn credentials_are_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for receiver in RECEIVERS {
        fs::write(file.path(), "right\n").unwrap();
        let (_server, mut target) = wanting(receiver, "Bearer right").await;
        target.token_file = Some(file.path().to_owned());
        let pushers = start(vec![target], quick());
        pushers.offer(&window(0));
        until(&pushers, |counts| counts.sent == 1).await;

        fs::write(file.path(), "me:right\n").unwrap();
        let (_server, mut target) = wanting(receiver, "Basic bWU6cmlnaHQ=").await;
        target.password_file = Some(file.path().to_owned());
        let pushers = start(vec![target], quick());
        pushers.offer(&window(0));
        until(&pushers, |counts| counts.sent == 1).await;
    }
}

/// A wrong token is not repeated in messages, and costs no window; a right one in the file is taken up.
#[tokio::test]
async fn changed_token_is_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    for receiver in RECEIVERS {
        let path = directory.path().join("token");
        fs::write(&path, "old-secret").unwrap();
        let (_server, mut target) = wanting(receiver, "Bearer right").await;
        target.token_file = Some(path.clone());
        let pushers = start(vec![target], quick());
        pushers.offer(&window(0));
        let counts = until(&pushers, |counts| counts.retried > 0).await;
        let error = counts.last_error.unwrap();
        assert!(error.contains("look at the credentials"), "{error}");
        assert!(!error.contains("old-secret"), "{error}");
        fs::write(directory.path().join("new"), "right").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        pushers.offer(&window(1));
        let counts = until(&pushers, |counts| counts.sent == 2).await;
        assert_eq!(counts.dropped.total(), 0);
    }
}

/// A token that expires while a window is on its way is read again, and the window arrives.
#[tokio::test]
async fn expired_token_costs_no_window() {
    for receiver in RECEIVERS {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "old").unwrap();
        let path = file.path().to_owned();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = Like {
            script: Box::new(move |headers| {
                count.fetch_add(1, Ordering::Relaxed);
                if headers["authorization"] == "Bearer new" {
                    return Answer::Take;
                }
                // The new one comes in the moment in which the old one is refused.
                fs::write(&path, "new").unwrap();
                Answer::WhoAreYou
            }),
            ..Like::good(receiver)
        };
        let server = server.start().await;
        let mut target = target_of(receiver, server.address);
        target.token_file = Some(file.path().to_owned());
        let pushers = start(vec![target], quick());
        pushers.offer(&window(0));
        let counts = until(&pushers, |counts| counts.sent == 1).await;
        assert_eq!((counts.dropped.total(), counts.retried), (0, 1));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

/// Files that are missing are found before anything is pushed, with the target that needs them.
#[tokio::test]
async fn missing_files_are_found_at_the_start() {
    let start = |change: fn(&mut PushTarget)| {
        let mut target: PushTarget = "parca=https://host".parse().unwrap();
        change(&mut target);
        let prepared = PreparedPushers::new(vec![target], machine());
        prepared.err().map(|error| error.to_string())
    };
    let missing = start(|target| target.token_file = Some("/nonexistent/token".into()));
    let missing = missing.unwrap();
    assert!(
        missing.starts_with("cannot push to parca=https://host"),
        "{missing}"
    );
    assert!(missing.contains("/nonexistent/token"), "{missing}");
    let missing = start(|target| target.ca_file = Some("/nonexistent/ca".into()));
    assert!(missing.unwrap().contains("/nonexistent/ca"));
}
