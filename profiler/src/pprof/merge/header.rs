//! What a merged profile says of itself: the rules of pprof for types, times, period and comments.

use super::{MergeError, text_of};
use crate::pprof::strings::Strings;
use crate::pprof::{ReadError, proto};

/// A type and its unit.
type ValueType = (String, String);

/// What is known besides of samples.
pub(super) struct Header {
    sample_types: Vec<ValueType>,
    period_type: ValueType,
    time_ns: i64,
    duration_ns: i64,
    period: i64,
    comments: Vec<String>,
    default_sample_type: String,
    drop_frames: String,
    keep_frames: String,
}

/// Whether the texts that decoding does not look at are there, and the first one is empty: it is what everything says that
/// is not said, and pprof refuses another one.
pub(super) fn check(message: &proto::Profile) -> Result<(), ReadError> {
    let named = [
        message.drop_frames,
        message.keep_frames,
        message.default_sample_type,
    ];
    let mut indices = named.iter().chain(&message.comment);
    let count = message.string_table.len();
    let is_there = |index: &i64| usize::try_from(*index).is_ok_and(|index| index < count);
    let begins_empty = message.string_table.first().is_some_and(String::is_empty);
    if begins_empty && indices.all(is_there) {
        Ok(())
    } else {
        Err(ReadError::Dangling("string"))
    }
}

impl Header {
    pub(super) fn new(message: &proto::Profile) -> Self {
        let text = |index| text_of(&message.string_table, index).to_owned();
        let (sample_types, period_type) = types(message);
        let mut header = Self {
            sample_types,
            period_type,
            time_ns: 0,
            duration_ns: 0,
            period: 0,
            comments: Vec::new(),
            default_sample_type: String::new(),
            drop_frames: text(message.drop_frames),
            keep_frames: text(message.keep_frames),
        };
        header.combine(message);
        header
    }

    /// Adds what `message` says, if it is of the same kind.
    pub(super) fn add(&mut self, message: &proto::Profile) -> Result<(), MergeError> {
        let (sample_types, period_type) = types(message);
        if sample_types != self.sample_types || period_type != self.period_type {
            return Err(MergeError::Incompatible {
                this: words(&sample_types, &period_type),
                before: words(&self.sample_types, &self.period_type),
            });
        }
        self.combine(message);
        Ok(())
    }

    /// The earliest time, the sum of the durations, the longest period, each comment once, the first default.
    fn combine(&mut self, message: &proto::Profile) {
        if self.time_ns == 0 || message.time_nanos < self.time_ns {
            self.time_ns = message.time_nanos;
        }
        self.duration_ns = self.duration_ns.saturating_add(message.duration_nanos);
        if self.period == 0 || self.period < message.period {
            self.period = message.period;
        }
        for &comment in &message.comment {
            let comment = text_of(&message.string_table, comment);
            if !self.comments.iter().any(|known| known == comment) {
                self.comments.push(comment.to_owned());
            }
        }
        if self.default_sample_type.is_empty() {
            let default = text_of(&message.string_table, message.default_sample_type);
            default.clone_into(&mut self.default_sample_type);
        }
    }

    /// How many values each sample has.
    pub(super) fn values(&self) -> usize {
        self.sample_types.len()
    }

    pub(super) fn main_value(&self) -> usize {
        let mut types = self.sample_types.iter();
        let default = types.position(|(name, _)| *name == self.default_sample_type);
        default.unwrap_or(self.sample_types.len().saturating_sub(1))
    }

    /// The unit of the value at [`Self::main_value`].
    pub(super) fn main_unit(&self) -> &str {
        let main = self.sample_types.get(self.main_value());
        main.map_or("", |(_, unit)| unit)
    }

    /// A message with all of it, and nothing else.
    pub(super) fn write(&self, strings: &mut Strings) -> proto::Profile {
        let mut value_type = |(name, unit): &ValueType| proto::ValueType {
            r#type: strings.intern(name),
            unit: strings.intern(unit),
        };
        proto::Profile {
            sample_type: self.sample_types.iter().map(&mut value_type).collect(),
            period_type: Some(value_type(&self.period_type)),
            time_nanos: self.time_ns,
            duration_nanos: self.duration_ns,
            period: self.period,
            comment: self
                .comments
                .iter()
                .map(|text| strings.intern(text))
                .collect(),
            default_sample_type: strings.intern(&self.default_sample_type),
            drop_frames: strings.intern(&self.drop_frames),
            keep_frames: strings.intern(&self.keep_frames),
            ..proto::Profile::default()
        }
    }
}

/// The types of samples, and of what lies between them.
fn types(message: &proto::Profile) -> (Vec<ValueType>, ValueType) {
    let text = |index| text_of(&message.string_table, index).to_owned();
    let value_type = |of: &proto::ValueType| (text(of.r#type), text(of.unit));
    let period = message.period_type.unwrap_or_default();
    (
        message.sample_type.iter().map(value_type).collect(),
        value_type(&period),
    )
}

fn words(sample_types: &[ValueType], period_type: &ValueType) -> String {
    let word = |(name, unit): &ValueType| format!("{name}/{unit}");
    let samples: Vec<String> = sample_types.iter().map(word).collect();
    format!("{} each {}", samples.join(" and "), word(period_type))
}
