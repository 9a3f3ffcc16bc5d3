//! What an answer means for the window that was sent: try again, give up, or say who we are once more.
//!
//! The rules are those of the OTLP specification for gRPC ("Failures") and of HTTP's status codes, but for answers that
//! are not about the window: wrong credentials and wrong URLs are put right by somebody while the profiler runs, and
//! dropping would lose what came before. Waiting is left to [`super::worker`].

use std::error::Error;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The longest part of an answer that is repeated in a message.
const LONGEST_WORDS: usize = 300;

/// Why a window did not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// For people: cause and remedy, in one line.
    pub(super) why: String,
}

/// What to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The same window will be taken later, not before the time that the receiver asks for.
    Later(Option<Duration>),
    /// Nobody answered; the connection is not worth keeping.
    NoAnswer,
    /// An answer that neither takes the window nor says why not: some tries, then it is given up.
    Unclear,
    /// We are not who we should be; new credentials may be there already.
    Unauthorized,
    /// It is not about this window: the URL, the rights or the receiver have to be put right by somebody.
    Misconfigured,
    /// This window will never be taken.
    Refused,
}

impl Failure {
    pub(super) fn no_answer(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NoAnswer,
            why: one_line(&why.into()),
        }
    }

    pub(super) fn misconfigured(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Misconfigured,
            why: one_line(&why.into()),
        }
    }

    /// Of an error on the way, with its causes.
    pub(super) fn on_the_way(error: &dyn Error) -> Self {
        Self::no_answer(causes(error))
    }

    /// Of an answer to HTTP that is no success.
    pub(super) fn of_http(status: StatusCode, headers: &HeaderMap, words: &str) -> Self {
        let verdict = match status.as_u16() {
            401 => Verdict::Unauthorized,
            300..=399 | 403 | 404 | 405 | 407 => Verdict::Misconfigured,
            408 | 425 | 429 | 502 | 503 | 504 => Verdict::Later(retry_after(headers)),
            500.. => Verdict::Unclear,
            _ => Verdict::Refused,
        };
        let remedy = match status.as_u16() {
            300..=399 => "; it wants another URL: name the one that it redirects to",
            401 | 403 | 407 => "; look at the credentials",
            404 | 405 => "; look at the URL",
            413 => "; shorten --window, or raise the limit of the receiver",
            _ => "",
        };
        let words = if words.is_empty() { "" } else { words };
        let colon = if words.is_empty() { "" } else { ": " };
        let text = format!("it answers {status}{colon}{words}");
        Self {
            verdict,
            why: one_line(&text) + remedy,
        }
    }

    /// Of an answer to gRPC that is no success.
    pub(super) fn of_grpc(status: &Status) -> Self {
        if let Some(cause) = status.source() {
            return Self::on_the_way(cause);
        }
        let asked = retry_info(status).or_else(|| retry_after(status.metadata().as_ref()));
        let verdict = match status.code() {
            Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::DataLoss => Verdict::Later(asked),
            // Without a time it is not too busy: the message is larger than it takes.
            Code::ResourceExhausted if asked.is_some() => Verdict::Later(asked),
            Code::Unauthenticated => Verdict::Unauthorized,
            Code::PermissionDenied | Code::Unimplemented => Verdict::Misconfigured,
            Code::Unknown | Code::Internal => Verdict::Unclear,
            _ => Verdict::Refused,
        };
        let remedy = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => "; look at the credentials",
            Code::Unimplemented => "; look at the URL, and whether the receiver takes profiles",
            Code::ResourceExhausted if asked.is_none() => {
                "; shorten --window, or raise the receiver's limit for messages"
            }
            _ => "",
        };
        let colon = if status.message().is_empty() {
            ""
        } else {
            ": "
        };
        let text = format!("it answers {:?}{colon}{}", status.code(), status.message());
        Self {
            verdict,
            why: one_line(&text) + remedy,
        }
    }
}

/// The pause that gRPC asks for.
fn retry_info(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The pause that HTTP asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// An error with its causes, each said once.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// Other people's words on one line of a log.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST_WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;
    use tonic_types::ErrorDetails;

    use super::*;

    const SECONDS: Duration = Duration::from_secs(7);

    /// Each status of HTTP has its meaning, with a wish for a pause where one counts.
    #[test]
    fn http_is_judged() {
        let mut asks = HeaderMap::new();
        asks.insert(header::RETRY_AFTER, "7".parse().unwrap());
        for (status, wanted) in [
            (400, Verdict::Refused),
            (401, Verdict::Unauthorized),
            (403, Verdict::Misconfigured),
            (404, Verdict::Misconfigured),
            (405, Verdict::Misconfigured),
            (301, Verdict::Misconfigured),
            (413, Verdict::Refused),
            (422, Verdict::Refused),
            (429, Verdict::Later(Some(SECONDS))),
            (503, Verdict::Later(Some(SECONDS))),
            (500, Verdict::Unclear),
            (501, Verdict::Unclear),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = Failure::of_http(status, &asks, "words");
            assert_eq!(failure.verdict, wanted, "{status}");
            assert!(failure.why.contains("words"), "{}", failure.why);
        }
        let failure = Failure::of_http(StatusCode::BAD_GATEWAY, &HeaderMap::new(), "");
        assert_eq!(failure.verdict, Verdict::Later(None));
        assert_eq!(failure.why, "it answers 502 Bad Gateway");
    }

    /// Each code of gRPC has its meaning; a receiver that is too busy says until when.
    #[test]
    fn grpc_is_judged() {
        let busy = |code| {
            let details = ErrorDetails::with_retry_info(Some(SECONDS));
            Status::with_error_details(code, "busy", details)
        };
        for (status, wanted) in [
            (Status::unavailable("x"), Verdict::Later(None)),
            (busy(Code::Unavailable), Verdict::Later(Some(SECONDS))),
            (busy(Code::ResourceExhausted), Verdict::Later(Some(SECONDS))),
            (Status::resource_exhausted("x"), Verdict::Refused),
            (Status::invalid_argument("x"), Verdict::Refused),
            (Status::unimplemented("x"), Verdict::Misconfigured),
            (Status::permission_denied("x"), Verdict::Misconfigured),
            (Status::unauthenticated("x"), Verdict::Unauthorized),
            (Status::internal("x"), Verdict::Unclear),
            (Status::unknown("x"), Verdict::Unclear),
        ] {
            assert_eq!(Failure::of_grpc(&status).verdict, wanted, "{status:?}");
        }
        let mut metadata = MetadataMap::new();
        metadata.insert("retry-after", "7".parse().unwrap());
        let status = Status::with_metadata(Code::Unavailable, "x", metadata);
        let failure = Failure::of_grpc(&status);
        assert_eq!(failure.verdict, Verdict::Later(Some(SECONDS)));
    }

    /// A date is as good as a number, one that has passed means now, and nonsense is no wish.
    #[test]
    fn dates_are_read() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000));
        assert!(asked(&soon).unwrap() > Duration::from_secs(900));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }

    /// What others say comes on one line and not at any length.
    #[test]
    fn words_are_kept_short() {
        assert_eq!(one_line("a\n\tb\u{1b}[31m  c"), "a b [31m c");
        assert_eq!(
            one_line(&"x".repeat(1000)).chars().count(),
            LONGEST_WORDS + 1
        );
    }
}
