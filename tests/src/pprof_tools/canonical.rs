//! What a profile says, whatever its ids and the order of its tables, to compare what two programs have merged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use profiler::pprof::proto;
use prost::Message as _;

/// A frame: its mapping as text, address, whether it is folded, and its lines as text.
type Frame = (String, u64, bool, Vec<String>);
/// What samples are told apart by.
type StackAndLabels = (Vec<Frame>, Vec<String>);

/// A profile without ids.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Canonical {
    /// Types, times, period, comments and names of frames to drop and to keep.
    pub(crate) header: Vec<String>,
    /// The first mapping.
    pub(crate) main: Option<String>,
    /// Everything that the tables have, used or not.
    pub(crate) tables: [BTreeSet<String>; 2],
    /// How many entries mappings, locations and functions have.
    pub(crate) counts: [usize; 3],
    /// Values by frames and labels; where samples are equal, how many there are is seen in the values.
    pub(crate) samples: BTreeMap<StackAndLabels, Vec<Vec<i64>>>,
}

impl Canonical {
    /// Reads a gzipped profile.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::from_gzip(&std::fs::read(path)?)
    }

    /// The same of bytes.
    pub(crate) fn from_gzip(gzip: &[u8]) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut bytes)?;
        Ok(Self::new(&proto::Profile::decode(&*bytes)?))
    }

    fn new(message: &proto::Profile) -> Self {
        let text = |index: i64| message.string_table[index as usize].as_str();
        let mapping = |mapping: &proto::Mapping| {
            let plain = proto::Mapping {
                id: 0,
                filename: 0,
                build_id: 0,
                ..*mapping
            };
            format!(
                "{} {} {plain:?}",
                text(mapping.filename),
                text(mapping.build_id)
            )
        };
        let function = |function: &proto::Function| {
            let names = [function.name, function.system_name, function.filename].map(text);
            format!("{names:?} {}", function.start_line)
        };
        let by_id = |id: u64| {
            message
                .function
                .iter()
                .find(|function| function.id == id)
                .unwrap()
        };
        let frames: BTreeMap<u64, Frame> = message
            .location
            .iter()
            .map(|location| {
                let its = message
                    .mapping
                    .iter()
                    .find(|mapping| mapping.id == location.mapping_id);
                let lines = location
                    .line
                    .iter()
                    .map(|line| format!("{} {}", function(by_id(line.function_id)), line.line));
                (
                    location.id,
                    (
                        its.map(mapping).unwrap_or_default(),
                        location.address,
                        location.is_folded,
                        lines.collect(),
                    ),
                )
            })
            .collect();
        let mut samples = BTreeMap::<_, Vec<_>>::new();
        for sample in &message.sample {
            let stack: Vec<Frame> = sample
                .location_id
                .iter()
                .map(|id| frames[id].clone())
                .collect();
            let labels = sample.label.iter().map(|label| {
                format!(
                    "{}={:?}{}{}",
                    text(label.key),
                    text(label.str),
                    label.num,
                    text(label.num_unit)
                )
            });
            let mut labels: Vec<String> = labels.collect();
            labels.sort();
            samples
                .entry((stack, labels))
                .or_default()
                .push(sample.value.clone());
        }
        let value_type = |of: &proto::ValueType| format!("{}/{}", text(of.r#type), text(of.unit));
        let numbers = [message.time_nanos, message.duration_nanos, message.period]
            .map(|number| number.to_string());
        let texts = [
            message.default_sample_type,
            message.drop_frames,
            message.keep_frames,
        ];
        let texts = texts
            .iter()
            .chain(&message.comment)
            .map(|index| text(*index).to_owned());
        let types = message
            .sample_type
            .iter()
            .chain(&message.period_type)
            .map(value_type);
        Self {
            header: types.chain(numbers).chain(texts).collect(),
            main: message.mapping.first().map(mapping),
            tables: [
                message.mapping.iter().map(mapping).collect(),
                message.function.iter().map(function).collect(),
            ],
            counts: [
                message.mapping.len(),
                message.location.len(),
                message.function.len(),
            ],
            samples,
        }
    }

    /// Leaves out samples without a stack, which the program of Go 1.19 loses.
    pub(crate) fn without_empty_stacks(mut self) -> Self {
        self.samples.retain(|(stack, _), _| !stack.is_empty());
        self
    }
}

/// Fails unless each program merges `files` into what the profiler makes of them.
#[cfg(test)]
pub(crate) fn check_merge(files: &[&Path]) {
    use profiler::pprof::{Filter, Merge};

    let mut merge = Merge::new(Filter::default());
    for file in files {
        merge.add(&std::fs::read(file).unwrap()).unwrap();
    }
    check_merged(&merge.finish(), files);
}

/// Fails unless each program merges `files` into the profile `ours`.
#[cfg(test)]
pub(crate) fn check_merged(ours: &[u8], files: &[&Path]) {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs.pb.gz");
    for pprof in super::Pprof::all().unwrap() {
        pprof.merge(files, &theirs).unwrap();
        let theirs = Canonical::read(&theirs).unwrap().without_empty_stacks();
        let ours = Canonical::from_gzip(ours).unwrap().without_empty_stacks();
        assert!(!ours.samples.is_empty() && ours.samples.values().all(|values| values.len() == 1));
        assert_eq!(ours.header, theirs.header, "{}", pprof.name());
        assert_eq!(
            (&ours.main, ours.counts),
            (&theirs.main, theirs.counts),
            "{}",
            pprof.name()
        );
        assert_eq!(ours.tables, theirs.tables, "{}", pprof.name());
        assert!(
            ours.samples == theirs.samples,
            "{}: {:#?}\n{:#?}",
            pprof.name(),
            ours.samples,
            theirs.samples
        );
    }
}
