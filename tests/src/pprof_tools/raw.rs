//! Reads what `pprof -raw` prints back into numbers and names.
//!
//! ```text
//! PeriodType: cpu nanoseconds
//! Period: 10101010
//! Samples:
//! samples/count cpu/nanoseconds[dflt]
//!           3   30303030: 1 2
//!                 comm:[spin]
//!                 pid:[42]
//! Locations
//!      1: 0x55d0c0de1159 M=1 inner /src/spin.c:7:0 s=6
//!              outer /src/spin.c:9:0 s=9
//!      2: 0x55d0c0de1170 M=1
//! Mappings
//! 1: 0x55d0c0de1000/0x55d0c0de2000/0x1000 /src/spin abcd [FN][FL][LN][IN]
//! ```
//!
//! Older programs print `file:line`, newer ones `file:line:column`; both are understood, the column is dropped.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

/// What labels are indented by; values stand further left.
const LABEL_INDENT: &str = "                ";
/// What the outer functions of a location are indented by; ids of locations stand further left.
const LINE_INDENT: &str = "             ";

/// A profile as `-raw` shows it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Raw {
    /// The lines before the samples: comments, period, time, duration.
    pub header: Vec<String>,
    /// `type/unit`, with `[dflt]` behind the default.
    pub sample_types: Vec<String>,
    /// In the file's order.
    pub samples: Vec<RawSample>,
    /// In the file's order.
    pub locations: Vec<RawLocation>,
    /// In the file's order.
    pub mappings: Vec<RawMapping>,
}

/// A line of `Samples:` and the labels below it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RawSample {
    /// One for each type.
    pub values: Vec<i64>,
    /// Ids of locations, innermost first.
    pub locations: Vec<u64>,
    /// What stands in the brackets, by key: `spin`, `42`, `4096 bytes`.
    pub labels: BTreeMap<String, String>,
}

/// A line of `Locations`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RawLocation {
    /// Id of the location.
    pub id: u64,
    /// Its address.
    pub address: u64,
    /// Id of its mapping, if it has one.
    pub mapping: Option<u64>,
    /// Innermost function first.
    pub lines: Vec<RawLine>,
}

/// One function of a location.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RawLine {
    /// Name of the function.
    pub function: String,
    /// Its system name, if it differs.
    pub system_name: Option<String>,
    /// Source file; empty when not known.
    pub file: String,
    /// Line in it; 0 when not known.
    pub line: i64,
    /// Line at which the function begins; 0 when not known.
    pub start_line: i64,
}

/// A line of `Mappings`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RawMapping {
    /// Id of the mapping.
    pub id: u64,
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub limit: u64,
    /// Offset in the file.
    pub offset: u64,
    /// File or name in brackets.
    pub file: String,
    /// Build-id as text; empty when there is none.
    pub build_id: String,
    /// `[FN][FL][LN][IN]` or fewer.
    pub flags: String,
}

/// Which part of the text a line belongs to.
enum Part {
    Header,
    SampleTypes,
    Samples,
    Locations,
    Mappings,
}

impl Raw {
    /// Reads the whole text.
    ///
    /// # Errors
    ///
    /// When a line is not of the form that its part has.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut raw = Self::default();
        let mut part = Part::Header;
        for line in text.lines() {
            part = raw
                .line(part, line)
                .with_context(|| format!("not understood: {line:?}"))?;
        }
        match part {
            Part::Mappings => Ok(raw),
            _ => bail!("the text ends before the mappings"),
        }
    }

    /// Reads one line and says what part the next one belongs to.
    fn line(&mut self, part: Part, line: &str) -> anyhow::Result<Part> {
        match part {
            Part::Header if line == "Samples:" => return Ok(Part::SampleTypes),
            Part::Header => self.header.push(line.to_owned()),
            Part::SampleTypes => {
                self.sample_types = line.split_whitespace().map(str::to_owned).collect();
                return Ok(Part::Samples);
            }
            Part::Samples if line == "Locations" => return Ok(Part::Locations),
            Part::Samples if line.starts_with(LABEL_INDENT) => {
                let sample = self.samples.last_mut().context("labels without a sample")?;
                labels(line.trim_start(), &mut sample.labels)?;
            }
            Part::Samples => self.samples.push(sample(line)?),
            Part::Locations if line == "Mappings" => return Ok(Part::Mappings),
            Part::Locations => self.location(line)?,
            Part::Mappings => self.mappings.push(mapping(line)?),
        }
        Ok(part)
    }

    /// A location, or one more function of the last one.
    fn location(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with(LINE_INDENT) {
            let location = self
                .locations
                .last_mut()
                .context("a function without a location")?;
            location.lines.push(function(line.trim_start())?);
            return Ok(());
        }
        let (id, rest) = line.split_once(": ").context("no id")?;
        let (address, mut rest) = rest.split_once(' ').context("no address")?;
        let mut location = RawLocation {
            id: id.trim_start().parse()?,
            address: hex(address)?,
            ..RawLocation::default()
        };
        if let Some((mapping, behind)) = rest
            .strip_prefix("M=")
            .and_then(|rest| rest.split_once(' '))
        {
            location.mapping = Some(mapping.parse()?);
            rest = behind;
        }
        let rest = rest.strip_prefix("[F] ").unwrap_or(rest);
        if !rest.is_empty() {
            location.lines.push(function(rest)?);
        }
        self.locations.push(location);
        Ok(())
    }
}

/// `         3   30303030: 1 2 `
fn sample(line: &str) -> anyhow::Result<RawSample> {
    let (values, locations) = line.split_once(':').context("no colon")?;
    Ok(RawSample {
        values: values
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?,
        locations: locations
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?,
        labels: BTreeMap::new(),
    })
}

/// `comm:[spin] thread:[worker 1]`
fn labels(line: &str, labels: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for label in line
        .strip_suffix(']')
        .context("no bracket at the end")?
        .split("] ")
    {
        let (key, value) = label.split_once(":[").context("no key")?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

/// `inner /src/spin.c:7:0 s=6(_Z5innerv)`
fn function(text: &str) -> anyhow::Result<RawLine> {
    let (front, back) = text.rsplit_once(" s=").context("no s=")?;
    let (start_line, system_name) = match back.split_once('(') {
        Some((start_line, rest)) => (
            start_line,
            Some(
                rest.strip_suffix(')')
                    .context("no end of the system name")?,
            ),
        ),
        None => (back, None),
    };
    // A function's name may have blanks; a source file with blanks would be torn here.
    let (function, place) = front.rsplit_once(' ').context("no file")?;
    let (front, last) = place.rsplit_once(':').context("no line")?;
    let (file, line) = match front.rsplit_once(':') {
        Some((file, line)) if line.parse::<i64>().is_ok() => (file, line),
        _ => (front, last),
    };
    Ok(RawLine {
        function: function.to_owned(),
        system_name: system_name.map(str::to_owned),
        file: file.to_owned(),
        line: line.parse()?,
        start_line: start_line.parse()?,
    })
}

/// `1: 0x1000/0x2000/0x0 /src/spin abcd [FN]`, where file, build-id and flags may be empty.
fn mapping(line: &str) -> anyhow::Result<RawMapping> {
    let (id, rest) = line.split_once(": ").context("no id")?;
    let (range, rest) = rest.split_once(' ').context("no range")?;
    let numbers: Vec<u64> = range.split('/').map(hex).collect::<anyhow::Result<_>>()?;
    let [start, limit, offset] = numbers[..] else {
        bail!("not three numbers")
    };
    let (rest, flags) = rest.rsplit_once(' ').context("no flags")?;
    let (file, build_id) = rest.rsplit_once(' ').context("no build-id")?;
    Ok(RawMapping {
        id: id.parse()?,
        start,
        limit,
        offset,
        file: file.to_owned(),
        build_id: build_id.to_owned(),
        flags: flags.trim_end().to_owned(),
    })
}

fn hex(text: &str) -> anyhow::Result<u64> {
    let digits = text
        .strip_prefix("0x")
        .with_context(|| format!("{text:?} is not hex"))?;
    Ok(u64::from_str_radix(digits, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        function: &str,
        system_name: Option<&str>,
        file: &str,
        line: i64,
        start_line: i64,
    ) -> RawLine {
        RawLine {
            function: function.to_owned(),
            system_name: system_name.map(str::to_owned),
            file: file.to_owned(),
            line,
            start_line,
        }
    }

    /// Both forms of a place, names with blanks, and places that are not known.
    #[test]
    fn functions() {
        let cases = [
            ("main /a.c:7 s=6", line("main", None, "/a.c", 7, 6)),
            ("main /a.c:7:12 s=6", line("main", None, "/a.c", 7, 6)),
            (
                "<A as B>::c /a.rs:7:0 s=0(_RN)",
                line("<A as B>::c", Some("_RN"), "/a.rs", 7, 0),
            ),
            ("write :0:0 s=0", line("write", None, "", 0, 0)),
            ("write :0 s=0()", line("write", Some(""), "", 0, 0)),
        ];
        for (text, wanted) in cases {
            assert_eq!(function(text).unwrap(), wanted, "{text}");
        }
    }

    /// File, build-id and flags may each be empty.
    #[test]
    fn mappings() {
        let cases = [
            (
                "1: 0x1/0x2/0x3 /a b cd [FN][IN]",
                ["/a b", "cd", "[FN][IN]"],
            ),
            ("1: 0x1/0x2/0x3 /a cd ", ["/a", "cd", ""]),
            ("1: 0x1/0x2/0x3 /a  ", ["/a", "", ""]),
            ("1: 0x1/0x2/0x3   ", ["", "", ""]),
        ];
        for (text, [file, build_id, flags]) in cases {
            let found = mapping(text).unwrap();
            assert_eq!((found.start, found.limit, found.offset), (1, 2, 3));
            assert_eq!(
                [&*found.file, &*found.build_id, &*found.flags],
                [file, build_id, flags],
                "{text}"
            );
        }
    }

    /// Lines of another form are errors, and so is a text that ends early.
    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "Period: 1\n",
            "Samples:\nsamples/count\nLocations\n",
            "Samples:\nsamples/count\nx: 1\nLocations\nMappings\n",
            "Samples:\nsamples/count\nLocations\n  1: nowhere \nMappings\n",
            "Samples:\nsamples/count\nLocations\nMappings\n1: 0x1/0x2 a b c\n",
        ] {
            assert!(Raw::parse(text).is_err(), "{text:?}");
        }
    }
}
