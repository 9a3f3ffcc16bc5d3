//! A finished profile, and its bytes.
//!
//! Where the bytes go is left to `output`.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use prost::Message as _;

use super::{Corrections, proto, text};

/// A profile in its final order.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    message: proto::Profile,
    corrections: Corrections,
}

impl Profile {
    pub(super) fn new(message: proto::Profile, corrections: Corrections) -> Self {
        Self {
            message,
            corrections,
        }
    }

    /// The message as the format describes it.
    pub fn message(&self) -> &proto::Profile {
        &self.message
    }

    /// What had to be left out.
    pub fn corrections(&self) -> Corrections {
        self.corrections
    }

    /// The profile as text, for people and tests.
    pub fn text(&self) -> String {
        text(&self.message)
    }

    /// The file: the encoded message in gzip, without time or name, so that equal profiles have equal bytes.
    pub fn to_gzip(&self) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
        encoder
            .write_all(&self.message.encode_to_vec())
            .and_then(|()| encoder.finish())
            .expect("a Vec takes all that is written to it")
    }
}
