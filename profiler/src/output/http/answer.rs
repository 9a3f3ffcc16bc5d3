//! What answers look like.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// An answer with all that it has.
pub(crate) type Answer = Response<Bytes>;

/// What a page of this server may load: parts of itself, and nothing from anywhere else.
const OWN_PARTS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                         form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What is no page may load nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// pprof shows the text of an answer with this header, and only the status of others (its `fetch.go`).
const X_GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");

/// Text for people or programs.
pub(crate) fn text(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    of_type(content_type, body.into())
}

/// A page, or a part of one.
pub(crate) fn html(body: impl Into<Bytes>) -> Answer {
    of_type("text/html; charset=utf-8", body.into())
}

/// Data for the page.
pub(crate) fn json(value: &serde_json::Value) -> Answer {
    of_type("application/json", value.to_string().into())
}

/// A gzipped profile, which browsers keep in a file of this name.
pub(crate) fn profile(file_name: &str, gzipped: impl Into<Bytes>) -> Answer {
    let mut answer = of_type("application/octet-stream", gzipped.into());
    let plain: String = file_name
        .chars()
        .map(|c| {
            let is_plain = c.is_ascii_graphic() && !matches!(c, '"' | '\\');
            if is_plain { c } else { '_' }
        })
        .collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{plain}\""))
        .expect("graphic characters make a header");
    answer
        .headers_mut()
        .insert(CONTENT_DISPOSITION, disposition);
    answer
}

/// Why there is no answer: one sentence with the cause and what mends it.
pub(crate) fn refuse(status: StatusCode, sentence: impl Into<String>) -> Answer {
    let mut sentence = sentence.into();
    sentence.push('\n');
    let mut answer = of_type("text/plain; charset=utf-8", sentence.into());
    *answer.status_mut() = status;
    let yes = HeaderValue::from_static("1");
    answer.headers_mut().insert(X_GO_PPROF, yes);
    answer
}

fn of_type(content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// The answer with what tells browsers to be careful.
pub(super) fn guarded(mut answer: Answer) -> Answer {
    let content_type = answer.headers().get(CONTENT_TYPE);
    let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let headers = answer.headers_mut();
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            if is_page { OWN_PARTS } else { NOTHING },
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
