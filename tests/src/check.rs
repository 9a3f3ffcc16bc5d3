//! Checks that a profile keeps the rules of the writer; every profile that the suite makes goes through here.
//!
//! The rules are those of [`profiler::pprof`], seen from the reader's side and written down a second time: nothing but
//! the generated messages is shared with the writer. What a file alone cannot show (whether a mapping is the right one)
//! is left to the cases.

mod format;
mod locations;
mod mappings;
mod samples;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;

use flate2::bufread::GzDecoder;
use profiler::pprof::proto;
use prost::Message as _;

/// A rule that a profile breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What kind of rule.
    pub rule: Rule,
    /// What is wrong, and where.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// The rules of the writer by topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Gzip around one message, valid UTF-8, ids and indices that lead somewhere.
    Format,
    /// Nothing is there that nothing uses.
    Baggage,
    /// A mapping is one executable segment as loaded, joined, once.
    Ranges,
    /// Addresses are runtime addresses inside their mapping.
    Addresses,
    /// Mapping 1 is the main binary; only mappings with locations, main always.
    MainFirst,
    /// Build-ids in lower-case hex, absolute paths without ` (deleted)`.
    Identity,
    /// Flags only when true of all locations.
    Flags,
    /// Kernel, vdso, code without file, addresses in no mapping.
    Specials,
    /// Types, period, time, duration.
    Header,
    /// One location per address, names that pprof does not cut.
    Names,
    /// Labels that pprof shows, and samples that differ.
    Samples,
}

/// A profile that keeps the rules, with its tables looked up.
#[derive(Clone, Debug)]
pub struct CheckedProfile {
    message: proto::Profile,
}

/// One sample of a [`CheckedProfile`].
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Innermost first.
    pub stack: Vec<Frame>,
    /// Number of samples.
    pub count: i64,
    /// CPU time that they stand for; 0 for the threads of a core file.
    pub nanoseconds: i64,
    /// Text labels, and numbers as text, by key.
    pub labels: BTreeMap<String, String>,
}

impl Sample {
    /// Whether the stack lacks its outer frames, which a label says.
    pub fn is_cut(&self) -> bool {
        self.labels.contains_key("truncated")
    }
}

/// One location of a [`Sample`].
#[derive(Clone, PartialEq, Debug)]
pub struct Frame {
    /// Runtime address.
    pub address: u64,
    /// File of its mapping; none when no mapping has it.
    pub file: Option<String>,
    /// Functions, innermost first; empty when it has no name.
    pub functions: Vec<String>,
}

impl CheckedProfile {
    /// The message itself.
    pub fn message(&self) -> &proto::Profile {
        &self.message
    }

    /// A string of the string table.
    pub fn string(&self, index: i64) -> &str {
        text(&self.message, index)
    }

    /// The samples with everything they refer to.
    pub fn samples(&self) -> Vec<Sample> {
        let samples = self.message.sample.iter().map(|sample| Sample {
            stack: sample
                .location_id
                .iter()
                .map(|&id| self.frame(id))
                .collect(),
            count: sample.value[0],
            nanoseconds: sample.value.get(1).copied().unwrap_or_default(),
            labels: sample.label.iter().map(|label| self.label(label)).collect(),
        });
        samples.collect()
    }

    /// The sum of the samples' numbers.
    pub fn total_count(&self) -> i64 {
        self.message
            .sample
            .iter()
            .map(|sample| sample.value[0])
            .sum()
    }

    /// The sum of the samples' CPU time.
    pub fn total_nanoseconds(&self) -> i64 {
        self.message
            .sample
            .iter()
            .filter_map(|sample| sample.value.get(1))
            .sum()
    }

    /// The mapping with a file of this path.
    pub fn mapping(&self, file: &str) -> Option<&proto::Mapping> {
        self.message
            .mapping
            .iter()
            .find(|mapping| self.string(mapping.filename) == file)
    }

    fn frame(&self, id: u64) -> Frame {
        let message = &self.message;
        let name = |function: &proto::Function| self.string(function.name).to_owned();
        let location = numbered(&message.location, id).expect("the format was checked");
        let mapping = numbered(&message.mapping, location.mapping_id);
        let lines = location.line.iter();
        let functions = lines.filter_map(|line| numbered(&message.function, line.function_id));
        Frame {
            address: location.address,
            file: mapping.map(|mapping| self.string(mapping.filename).to_owned()),
            functions: functions.map(name).collect(),
        }
    }

    fn label(&self, label: &proto::Label) -> (String, String) {
        let value = if label.str == 0 {
            label.num.to_string()
        } else {
            self.string(label.str).to_owned()
        };
        (self.string(label.key).to_owned(), value)
    }
}

/// Reads a file as the profiler writes it and checks all that it alone can show.
///
/// # Errors
///
/// Every violation that was found, not only the first; but nothing is looked at behind a broken format.
pub fn check_profile(bytes: &[u8]) -> Result<CheckedProfile, Vec<Violation>> {
    let mut report = Report::default();
    let Some(message) = decode(bytes, &mut report) else {
        return Err(report.0);
    };
    format::check(&message, &mut report);
    if !report.has(Rule::Format) {
        mappings::check(&message, &mut report);
        locations::check(&message, &mut report);
        samples::check(&message, &mut report);
    }
    if report.0.is_empty() {
        Ok(CheckedProfile { message })
    } else {
        Err(report.0)
    }
}

/// Collects violations.
#[derive(Default)]
struct Report(Vec<Violation>);

impl Report {
    fn add(&mut self, rule: Rule, what: impl Into<String>) {
        let what = what.into();
        self.0.push(Violation { rule, what });
    }

    fn has(&self, rule: Rule) -> bool {
        self.0.iter().any(|violation| violation.rule == rule)
    }

    /// Adds a violation unless `is_kept`.
    fn expect(&mut self, is_kept: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !is_kept {
            self.add(rule, what());
        }
    }
}

/// Gunzips and decodes; that strings are UTF-8 is checked on the way.
fn decode(bytes: &[u8], report: &mut Report) -> Option<proto::Profile> {
    let mut rest = bytes;
    let mut decoder = GzDecoder::new(&mut rest);
    let mut encoded = Vec::new();
    if let Err(error) = decoder.read_to_end(&mut encoded) {
        report.add(Rule::Format, format!("not a whole gzip file: {error}"));
        return None;
    }
    let has_time = decoder.header().is_some_and(|header| header.mtime() != 0);
    report.expect(!has_time, Rule::Format, || {
        "time in the gzip header: bytes differ from write to write".to_owned()
    });
    report.expect(rest.is_empty(), Rule::Format, || {
        format!("{} bytes behind the gzip file", rest.len())
    });
    match proto::Profile::decode(&*encoded) {
        Ok(message) => Some(message),
        Err(error) => {
            report.add(Rule::Format, format!("not a profile: {error}"));
            None
        }
    }
}

/// A string of the table; empty when there is none, which [`format`] has checked before.
fn text(message: &proto::Profile, index: i64) -> &str {
    let index = usize::try_from(index).ok();
    index
        .and_then(|index| message.string_table.get(index))
        .map_or("", String::as_str)
}

/// The item with an id, after [`format`] has checked that ids count from 1.
fn numbered<T>(items: &[T], id: u64) -> Option<&T> {
    items.get(usize::try_from(id).ok()?.checked_sub(1)?)
}
