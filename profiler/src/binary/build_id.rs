//! The GNU build-id as a value: bytes, hexadecimal text, and nothing about where it is found.

use std::fmt;
use std::str::FromStr;

/// The GNU build-id of a binary: what the linker stamped it with, at its real length.
///
/// Written as lower-case hexadecimal digits, two per byte. pprof compares these texts exactly, so neither
/// upper case nor the zeros that the kernel pads its 20-byte fields with may get in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Box<[u8]>);

impl BuildId {
    /// The id made of these bytes, or `None` when there are none: an empty descriptor identifies nothing.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// The bytes of the note's descriptor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a build-id: empty, of odd length, or with something else than hexadecimal digits in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a build-id is an even number of hexadecimal digits")]
pub struct ParseBuildIdError;

impl FromStr for BuildId {
    type Err = ParseBuildIdError;

    /// Reads hexadecimal digits of either case, as other tools print them.
    fn from_str(text: &str) -> Result<Self, ParseBuildIdError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
            .collect();
        bytes
            .filter(|_| rest.is_empty())
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or(ParseBuildIdError)
    }
}

fn digit(byte: u8) -> Option<u8> {
    // A hexadecimal digit is less than 16 and so fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits of either case are read, and written in lower case (BI-21).
    #[test]
    fn text_is_normalised_to_lower_case() {
        let id: BuildId = "ABCDEF0102030405060708090A0B0C0D".parse().unwrap();
        assert_eq!(id.to_string(), "abcdef0102030405060708090a0b0c0d");
        assert_eq!(format!("{id:?}"), id.to_string());
    }

    /// Anything but pairs of hexadecimal digits is refused.
    #[test]
    fn other_text_is_refused() {
        for text in ["", "a", "abc", "zz", "+1", "a b0", "ä0"] {
            assert_eq!(text.parse::<BuildId>(), Err(ParseBuildIdError), "{text:?}");
        }
    }
}
