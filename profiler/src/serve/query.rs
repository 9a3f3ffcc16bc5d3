//! What is behind the question mark of a request: `from=-15m&comm=postgres`.
//!
//! Public for its fuzz target, because anybody who can connect writes it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// What was asked, each thing once, and only what is known where it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// What is wrong with a query.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// Something that is not known here: most likely mistyped, and without it the answer would be another one.
    #[error("`{key}` means nothing here; what can be asked: {known}")]
    Unknown {
        /// The key.
        key: String,
        /// All that is known.
        known: String,
    },
    /// The same thing more than once.
    #[error("`{0}` is there more than once; give it once")]
    Twice(String),
    /// A value that makes no sense.
    #[error("`{value}` makes no sense as `{key}`; {wanted}")]
    Value {
        /// The key.
        key: String,
        /// What was given for it.
        value: String,
        /// What would be right.
        wanted: String,
    },
}

/// The longest part of what was asked that is repeated in an error.
const LONGEST_REPEATED: usize = 80;

impl Query {
    /// Reads a query of which only these keys are known. What has no value counts as not there.
    ///
    /// # Errors
    ///
    /// When a key is not known, or is there twice.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, QueryError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&&*key) {
                return Err(QueryError::Unknown {
                    key: shortened(&key),
                    known: known.join(", "),
                });
            }
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(QueryError::Twice(key.into_owned()));
            }
            pairs.push((key.into_owned(), value.into_owned()));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Ok(Self { pairs })
    }

    /// The text of `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(other, _)| other == key);
        pair.map(|(_, value)| value.as_str())
    }

    /// The number of `key`, between these two.
    ///
    /// # Errors
    ///
    /// When it is none, or not between them.
    pub fn number<T>(&self, key: &str, least: T, most: T) -> Result<Option<T>, QueryError>
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let Some(value) = self.text(key) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) if number >= least && number <= most => Ok(Some(number)),
            _ => Err(wrong(
                key,
                value,
                format!("it has to be a number from {least} to {most}"),
            )),
        }
    }

    /// One of some words.
    ///
    /// # Errors
    ///
    /// When it is none of them.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, QueryError> {
        let Some(value) = self.text(key) else {
            return Ok(None);
        };
        let chosen = words.iter().find(|(word, _)| *word == value);
        chosen.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            wrong(
                key,
                value,
                format!("it has to be one of {}", words.join(", ")),
            )
        })
    }

    /// The time of `key`: `now`, `-15m`, seconds since 1970, or `2026-11-25T13:00:00Z`.
    ///
    /// # Errors
    ///
    /// When it is none, or before 1970, or after 9999, which files are not named by.
    pub fn time(&self, key: &str, now: SystemTime) -> Result<Option<SystemTime>, QueryError> {
        let Some(value) = self.text(key) else {
            return Ok(None);
        };
        let time = match value.strip_prefix('-') {
            Some(ago) => humantime::parse_duration(ago)
                .ok()
                .and_then(|ago| now.checked_sub(ago)),
            None if value == "now" => Some(now),
            None => seconds(value)
                .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(seconds))
                .or_else(|| humantime::parse_rfc3339(value).ok()),
        };
        let is_named = |time: &SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.is_ok_and(|since| since.as_secs() < 253_402_300_800)
        };
        time.filter(is_named).map(Some).ok_or_else(|| {
            let wanted = "write how long ago (-15m, -1h30m), now, a time in UTC (2026-11-25T13:00:00Z), or seconds since 1970";
            wrong(key, value, wanted.to_owned())
        })
    }
}

/// Seconds, perhaps with a fraction.
fn seconds(text: &str) -> Option<Duration> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_decimal)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn wrong(key: &str, value: &str, wanted: String) -> QueryError {
    QueryError::Value {
        key: key.to_owned(),
        value: shortened(value),
        wanted,
    }
}

/// On one line, and not at any length.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '�' } else { c });
    let mut short: String = plain.clone().take(LONGEST_REPEATED).collect();
    if plain.count() > LONGEST_REPEATED {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["from", "pid", "comm", "by"];

    fn parse(text: &str) -> Query {
        Query::parse(text, &KNOWN).unwrap()
    }

    /// What is there is found decoded; what has no value is not there.
    #[test]
    fn values() {
        let query = parse("comm=a%20b+c%26&pid=&by");
        assert_eq!(query.text("comm"), Some("a b c&"));
        assert_eq!(query.text("pid"), None);
        assert_eq!(query.text("by"), None);
        assert_eq!(query.number::<u32>("pid", 1, 9), Ok(None));
        assert_eq!(parse("pid=7").number("pid", 1_u32, 9), Ok(Some(7)));
        assert_eq!(parse("by=two").choice("by", &[("two", 2)]), Ok(Some(2)));
        assert_eq!(parse(""), parse("&&"));
    }

    /// Each kind of time is read, and nothing that is none.
    #[test]
    fn times() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |text: &str| {
            let time = parse(&format!("from={text}")).time("from", now).unwrap();
            let since = time.unwrap().duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap().as_millis()
        };
        assert_eq!(at("now"), 1_000_000_000);
        assert_eq!(at("-15m"), 999_100_000);
        assert_eq!(at("-1h30m"), 994_600_000);
        assert_eq!(at("1234.5"), 1_234_500);
        assert_eq!(at("1970-01-02T00:00:01Z"), 86_401_000);
        for text in [
            "-",
            "-15",
            "15m",
            "1e3",
            "inf",
            "-99y",
            "1969-12-31T00:00:00Z",
            "99999999999999",
            ".",
        ] {
            let query = parse(&format!("from={text}"));
            let error = query.time("from", now).unwrap_err().to_string();
            assert!(error.contains("how long ago"), "{text}: {error}");
        }
    }

    /// What is wrong is named, with what would be right, and not repeated at any length.
    #[test]
    fn errors() {
        let error = |text: &str| Query::parse(text, &KNOWN).unwrap_err().to_string();
        assert!(
            error("form=-15m").contains("`form` means nothing here; what can be asked: from, pid")
        );
        assert!(error("pid=1&pid=2").contains("more than once"));
        assert!(error(&"x".repeat(1000)).len() < 200);
        assert!(!error("a%0ab=1").contains('\n'));
        let number = parse("pid=10").number("pid", 1_u32, 9).unwrap_err();
        assert!(number.to_string().contains("from 1 to 9"), "{number}");
        let choice = parse("by=x").choice("by", &[("a", 1), ("b", 2)]);
        assert!(choice.unwrap_err().to_string().contains("one of a, b"));
    }
}
