//! Any text behind a question mark: it is read or refused, and what is said of it is one short line.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use profiler::serve::query::Query;

fuzz_target!(|text: &str| {
    let keys = ["from", "to", "pid", "comm", "seconds"];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let query = match Query::parse(text, &keys) {
        Ok(query) => query,
        Err(error) => return check(&error.to_string()),
    };
    for key in keys {
        if let Err(error) = query.number(key, 1_u32, 4_194_304) {
            check(&error.to_string());
        }
        if let Err(error) = query.number(key, 0.01, 600.0) {
            check(&error.to_string());
        }
        match query.time(key, now) {
            Ok(Some(time)) => assert!(time >= SystemTime::UNIX_EPOCH),
            Ok(None) => {}
            Err(error) => check(&error.to_string()),
        }
    }
});

fn check(error: &str) {
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.chars().count() < 500, "{error}");
}
