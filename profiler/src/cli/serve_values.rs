//! Values of `serve` that are the same on the command line and in its file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::values;
use crate::labels::LabelSet;
use crate::output::http::Listen;
use crate::output::push::PushTarget;

/// A time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Span(pub(super) Duration);

/// The length of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Window(pub(super) Duration);

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Size(pub(super) u64);

/// Samples per second; a number in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(super) struct Frequency(pub(super) u32);

/// Where to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ListenOn(pub(super) Listen);

/// Where windows go besides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Push {
    typed: String,
    pub(super) target: PushTarget,
}

/// A label of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct MachineLabel(pub(super) String, pub(super) String);

/// Labels of samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Labels(pub(super) LabelSet);

impl Span {
    /// 24 hours.
    pub(super) const DAY: Self = Self(Duration::from_secs(24 * 60 * 60));
}

impl Window {
    /// A minute.
    pub(super) const DEFAULT: Self = Self(Duration::from_secs(60));
}

impl Size {
    /// 1 GiB.
    pub(super) const GIBIBYTE: Self = Self(1 << 30);
}

impl Frequency {
    /// A prime, so that what happens each so many milliseconds is not met each time or never.
    pub(super) const DEFAULT: Self = Self(19);
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        values::duration(text).map(Self)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = values::duration(text)?;
        if length < Duration::from_secs(1) {
            return Err("a window must be at least a second long".to_owned());
        }
        Ok(Self(length))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<ByteSize>() {
            Ok(ByteSize(0)) => Err("must be more than nothing".to_owned()),
            Ok(ByteSize(bytes)) => Ok(Self(bytes)),
            Err(error) => Err(format!("no size as 500MB or 1GiB: {error}")),
        }
    }
}

impl FromStr for Frequency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        values::frequency(text).map(Self)
    }
}

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        LabelSet::parse(text).map(Self)
    }
}

impl FromStr for ListenOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Push {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target: Result<PushTarget, _> = text.parse();
        Ok(Self {
            typed: text.to_owned(),
            target: target.map_err(|error| error.to_string())?,
        })
    }
}

impl fmt::Display for Push {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.typed)
    }
}

impl FromStr for MachineLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.to_owned(), value.to_owned())),
            _ => Err("write NAME=VALUE".to_owned()),
        }
    }
}

impl fmt::Display for MachineLabel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.0, self.1)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(formatter)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(formatter)
    }
}

impl fmt::Display for Size {
    /// In the largest unit that says it without a rest, because it is read back.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] = [
            (1 << 30, "GiB"),
            (1_000_000_000, "GB"),
            (1 << 20, "MiB"),
            (1_000_000, "MB"),
            (1 << 10, "KiB"),
            (1, "B"),
        ];
        let fits = UNITS.iter().find(|(unit, _)| self.0.is_multiple_of(*unit));
        let (unit, name) = fits.unwrap_or(&UNITS[5]);
        write!(formatter, "{}{name}", self.0 / unit)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<u32> for Frequency {
    type Error = String;

    fn try_from(hz: u32) -> Result<Self, String> {
        hz.to_string().parse()
    }
}

impl From<Frequency> for u32 {
    fn from(frequency: Frequency) -> Self {
        frequency.0
    }
}

/// What is text in the file is what can be typed.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(Span, Window, Size, ListenOn, Push, MachineLabel, Labels);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes are said exactly, in a unit that can be read.
    #[test]
    fn sizes() {
        for (typed, said) in [
            ("1GiB", "1GiB"),
            ("500MB", "500MB"),
            ("2G", "2GB"),
            ("1048577", "1048577B"),
        ] {
            let size: Size = typed.parse().unwrap();
            assert_eq!(size.to_string(), said);
            assert_eq!(said.parse(), Ok(size));
        }
        assert!("0".parse::<Size>().is_err());
    }
}
