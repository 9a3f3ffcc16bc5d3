//! What a profile says, for those who put it into other formats: without ids, without protobuf.
//!
//! Everything is in the order of the profile. What other formats make of it is left to them.

use std::collections::HashMap;

use super::decode::decode;
use super::{ReadError, proto};

/// A text of a profile, looked up by [`Contents::text`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Text(usize);

/// What a number counts, and in which unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ValueType {
    /// For example `cpu`.
    pub(crate) name: Text,
    /// For example `nanoseconds`.
    pub(crate) unit: Text,
}

/// A profile that has been read.
#[derive(Debug)]
pub(crate) struct Contents {
    strings: Vec<String>,
    /// Of each value of each sample.
    pub(crate) sample_types: Vec<ValueType>,
    /// Of [`Self::period`].
    pub(crate) period_type: Option<ValueType>,
    /// What lies between two samples.
    pub(crate) period: i64,
    /// When it began, in nanoseconds since 1970 (UTC).
    pub(crate) time_ns: i64,
    /// How long it went on, in nanoseconds.
    pub(crate) duration_ns: i64,
    /// Files and other ranges of addresses; the first one is the main binary.
    pub(crate) mappings: Vec<MappingContents>,
    /// Functions, each once.
    pub(crate) functions: Vec<FunctionContents>,
    /// Addresses with their names.
    pub(crate) locations: Vec<LocationContents>,
    /// Stacks with labels and values.
    pub(crate) samples: Vec<SampleContents>,
}

/// A mapping, as [`super::Mapping`] describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MappingContents {
    /// First address.
    pub(crate) start: u64,
    /// First address behind.
    pub(crate) limit: u64,
    /// Offset of the first address in the file.
    pub(crate) offset: u64,
    /// The file, or a name in brackets.
    pub(crate) file: Text,
    /// In lower-case hexadecimal digits; may be empty.
    pub(crate) build_id: Text,
    /// Whether every location in it has a function.
    pub(crate) has_functions: bool,
    /// Whether every location in it has a source file.
    pub(crate) has_filenames: bool,
    /// Whether every location in it has a line.
    pub(crate) has_line_numbers: bool,
    /// Whether every location in it has its inlined calls.
    pub(crate) has_inline_frames: bool,
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FunctionContents {
    /// For people.
    pub(crate) name: Text,
    /// As the linker knows it.
    pub(crate) system_name: Text,
    /// Source file.
    pub(crate) file: Text,
    /// Line in which it begins; 0 when that is not known.
    pub(crate) start_line: i64,
}

/// An address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LocationContents {
    /// Index of its mapping.
    pub(crate) mapping: Option<usize>,
    /// In the memory of the process.
    pub(crate) address: u64,
    /// Index of the function and line, innermost first.
    pub(crate) lines: Vec<(usize, i64)>,
}

/// Equal samples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SampleContents {
    /// Indices of locations, innermost first.
    pub(crate) stack: Vec<usize>,
    /// One for each sample type.
    pub(crate) values: Vec<i64>,
    /// Keys and values.
    pub(crate) labels: Vec<(Text, LabelValue)>,
}

/// The value of a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LabelValue {
    /// A text.
    Text(Text),
    /// A number and its unit.
    Number(i64, Text),
}

impl Contents {
    /// Reads a profile in gzip.
    pub(crate) fn from_gzip(gzip: &[u8]) -> Result<Self, ReadError> {
        let message = decode(gzip)?;
        let mappings = indices(message.mapping.iter().map(|mapping| mapping.id));
        let functions = indices(message.function.iter().map(|function| function.id));
        let locations = indices(message.location.iter().map(|location| location.id));
        let location = |location: &proto::Location| LocationContents {
            mapping: mappings.get(&location.mapping_id).copied(),
            address: location.address,
            lines: location
                .line
                .iter()
                .map(|line| (functions[&line.function_id], line.line))
                .collect(),
        };
        let sample = |sample: &proto::Sample| SampleContents {
            stack: sample.location_id.iter().map(|id| locations[id]).collect(),
            values: sample.value.clone(),
            labels: sample.label.iter().map(label).collect(),
        };
        Ok(Self {
            sample_types: message.sample_type.iter().map(value_type).collect(),
            period_type: message.period_type.as_ref().map(value_type),
            period: message.period,
            time_ns: message.time_nanos,
            duration_ns: message.duration_nanos,
            mappings: message.mapping.iter().map(mapping).collect(),
            functions: message.function.iter().map(function).collect(),
            locations: message.location.iter().map(location).collect(),
            samples: message.sample.iter().map(sample).collect(),
            strings: message.string_table,
        })
    }

    /// What a text says.
    pub(crate) fn text(&self, text: Text) -> &str {
        &self.strings[text.0]
    }
}

fn indices(ids: impl Iterator<Item = u64>) -> HashMap<u64, usize> {
    ids.zip(0..).collect()
}

fn text(index: i64) -> Text {
    Text(usize::try_from(index).expect("decoding has checked every index"))
}

fn value_type(value_type: &proto::ValueType) -> ValueType {
    ValueType {
        name: text(value_type.r#type),
        unit: text(value_type.unit),
    }
}

fn mapping(mapping: &proto::Mapping) -> MappingContents {
    MappingContents {
        start: mapping.memory_start,
        limit: mapping.memory_limit,
        offset: mapping.file_offset,
        file: text(mapping.filename),
        build_id: text(mapping.build_id),
        has_functions: mapping.has_functions,
        has_filenames: mapping.has_filenames,
        has_line_numbers: mapping.has_line_numbers,
        has_inline_frames: mapping.has_inline_frames,
    }
}

fn function(function: &proto::Function) -> FunctionContents {
    FunctionContents {
        name: text(function.name),
        system_name: text(function.system_name),
        file: text(function.filename),
        start_line: function.start_line,
    }
}

fn label(label: &proto::Label) -> (Text, LabelValue) {
    let value = if label.str == 0 {
        LabelValue::Number(label.num, text(label.num_unit))
    } else {
        LabelValue::Text(text(label.str))
    };
    (text(label.key), value)
}
