//! A profile out of its bytes, refused if anything in it leads nowhere.
//!
//! What is made of it is left to others; whether it keeps the rules of the writer is for tests to say.

use std::collections::HashSet;
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use prost::Message as _;

use super::proto;

/// The largest message that is taken, in bytes: a window has 2 MB at most, and a bomb stays small.
const LARGEST: u64 = 256 << 20;

/// Why bytes are no profile.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is compressed cannot be unpacked.
    #[error("the profile is not gzip: {0}; it has been cut or changed")]
    Gzip(io::Error),
    /// More than anybody profiles.
    #[error("the profile has more than {} MiB unpacked", LARGEST >> 20)]
    TooLarge,
    /// Not a message of the format.
    #[error("the profile is no pprof message: {0}")]
    Message(prost::DecodeError),
    /// An index or an id of something that is not there.
    #[error("the profile refers to a {0} that it does not have")]
    Dangling(&'static str),
}

/// The message in `gzip`, in which every reference leads somewhere.
pub(super) fn decode(gzip: &[u8]) -> Result<proto::Profile, ReadError> {
    let bytes = unpack(gzip, LARGEST)?;
    let message = proto::Profile::decode(&*bytes).map_err(ReadError::Message)?;
    check(&message)?;
    Ok(message)
}

/// What is in `gzip`, if that is no more than `largest`; more is not even unpacked.
fn unpack(gzip: &[u8], largest: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let mut unpacked = MultiGzDecoder::new(gzip).take(largest + 1);
    unpacked.read_to_end(&mut bytes).map_err(ReadError::Gzip)?;
    if bytes.len() as u64 > largest {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

fn check(message: &proto::Profile) -> Result<(), ReadError> {
    let mappings: HashSet<u64> = message.mapping.iter().map(|mapping| mapping.id).collect();
    let functions: HashSet<u64> = message
        .function
        .iter()
        .map(|function| function.id)
        .collect();
    let locations: HashSet<u64> = message
        .location
        .iter()
        .map(|location| location.id)
        .collect();
    let types = message.sample_type.len();
    let refers = |is_there: bool, what| {
        if is_there {
            Ok(())
        } else {
            Err(ReadError::Dangling(what))
        }
    };
    for sample in &message.sample {
        let ids = &sample.location_id;
        refers(ids.iter().all(|id| locations.contains(id)), "location")?;
        refers(sample.value.len() == types, "sample type")?;
    }
    for location in &message.location {
        let id = location.mapping_id;
        refers(id == 0 || mappings.contains(&id), "mapping")?;
        let mut lines = location.line.iter();
        refers(
            lines.all(|line| functions.contains(&line.function_id)),
            "function",
        )?;
    }
    let strings = i64::try_from(message.string_table.len()).unwrap_or(i64::MAX);
    refers(
        texts(message).all(|index| (0..strings).contains(&index)),
        "string",
    )
}

/// Every index into the table of strings.
fn texts(message: &proto::Profile) -> impl Iterator<Item = i64> {
    let types = message.sample_type.iter().chain(&message.period_type);
    let types = types.flat_map(|value_type| [value_type.r#type, value_type.unit]);
    let labels = message.sample.iter().flat_map(|sample| &sample.label);
    let labels = labels.flat_map(|label| [label.key, label.str, label.num_unit]);
    let mappings = message.mapping.iter();
    let mappings = mappings.flat_map(|mapping| [mapping.filename, mapping.build_id]);
    let functions = message.function.iter();
    let functions =
        functions.flat_map(|function| [function.name, function.system_name, function.filename]);
    types.chain(labels).chain(mappings).chain(functions)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(change: fn(&mut proto::Profile), wanted: &str) {
        let mut message = proto::Profile {
            sample_type: vec![proto::ValueType::default()],
            sample: vec![proto::Sample {
                location_id: vec![1],
                value: vec![1],
                label: vec![proto::Label::default()],
            }],
            mapping: vec![proto::Mapping {
                id: 1,
                ..proto::Mapping::default()
            }],
            location: vec![proto::Location {
                id: 1,
                mapping_id: 1,
                line: vec![proto::Line {
                    function_id: 1,
                    line: 1,
                }],
                ..proto::Location::default()
            }],
            function: vec![proto::Function {
                id: 1,
                ..proto::Function::default()
            }],
            string_table: vec![String::new()],
            ..proto::Profile::default()
        };
        change(&mut message);
        let error = decode(&gzip(&message.encode_to_vec())).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }

    /// Each reference that leads nowhere is found, by what it should lead to.
    #[test]
    fn dangling_references_are_refused() {
        check(|message| message.sample[0].location_id[0] = 2, "a location");
        check(|message| message.sample[0].value.push(1), "a sample type");
        check(|message| message.location[0].mapping_id = 2, "a mapping");
        check(
            |message| message.location[0].line[0].function_id = 0,
            "a function",
        );
        check(|message| message.sample[0].label[0].key = 1, "a string");
        check(|message| message.sample_type[0].unit = -1, "a string");
        check(|message| message.function[0].filename = 1, "a string");
        check(|message| message.mapping[0].build_id = 1, "a string");
        check(
            |message| {
                message.period_type = Some(proto::ValueType {
                    r#type: 1,
                    ..proto::ValueType::default()
                });
            },
            "a string",
        );
    }

    /// What is no profile is refused with what is wrong.
    #[test]
    fn other_bytes_are_refused() {
        let whole = gzip(&proto::Profile::default().encode_to_vec());
        for (bytes, wanted) in [
            (&b"text"[..], "not gzip"),
            (&whole[..whole.len() - 4], "not gzip"),
            (&gzip(b"text"), "no pprof message"),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    /// Something small that unpacks to something large is not unpacked as a whole.
    #[test]
    fn bombs_are_refused() {
        let packed = gzip(&[0; 1000]);
        assert_eq!(unpack(&packed, 1000).unwrap().len(), 1000);
        assert!(matches!(unpack(&packed, 999), Err(ReadError::TooLarge)));
    }
}
