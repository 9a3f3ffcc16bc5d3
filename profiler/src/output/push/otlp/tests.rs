//! What was put into OTLP's tables, taken out again: the same samples as in the profile, and rules of the format.

use std::collections::HashSet;

use super::messages::common::v1::any_value::Value;
use super::messages::profiles::v1development::{Location, ProfilesDictionary};
use super::*;
use crate::pprof::{Builder, Header, Label, LabelValue, Line, Mapping};

const PERIOD_NS: u64 = 10_101_010;

fn profile(period_ns: u64) -> Contents {
    let mut builder = Builder::new(Header {
        period_ns,
        time_ns: 1_764_000_000_000_000_000,
        duration_ns: 60_000_000_000,
        comments: Vec::new(),
    });
    let mapping = |start, file: &str, build_id: &[u8]| Mapping {
        start,
        limit: start + 0x1000,
        offset: 0x1000,
        file: file.to_owned(),
        build_id: build_id.to_vec(),
    };
    let main = builder.mapping(mapping(0x3000, "/usr/bin/unused", &[0x01]));
    builder.set_main(main);
    let program = builder.mapping(mapping(0x5000, "/usr/bin/server", &[0xab, 0xcd]));
    let kernel = builder.mapping(mapping(0xffff_ffff_8100_0000, "[kernel.kallsyms]", &[]));
    let hash = Line {
        name: "<server::Map>::hash",
        system_name: "_RNv4hash",
        file: "src/map.rs",
        line: 7,
        start_line: 3,
    };
    let probe = Line {
        name: "probe",
        file: "src/probe.rs",
        line: 70,
        ..Line::default()
    };
    let inlined = builder.location(program, 0x5010, &[hash, probe]);
    let caller = builder.location(program, 0x5020, &[probe]);
    let unnamed = builder.location(program, 0x5030, &[]);
    let entry = builder.location(
        kernel,
        0xffff_ffff_8100_0010,
        &[Line {
            name: "do_syscall_64",
            ..Line::default()
        }],
    );
    let nowhere = builder.unmapped(0x10);
    let text = |key: &str, value: &str| Label::Str(key.to_owned(), value.to_owned());
    let number = |key: &str, value, unit: &str| Label::Num(key.to_owned(), value, unit.to_owned());
    let labels = [
        number("pid", 1, ""),
        text("comm", "server"),
        text("thread", "a"),
    ];
    builder.add(&[inlined, caller], 3, &labels);
    builder.add(
        &[inlined, caller],
        4,
        &[number("pid", 0, ""), text("state", "user")],
    );
    builder.add(&[entry, unnamed, caller], 1, &labels);
    builder.add(&[nowhere], 1, &[number("wait", 5, "nanoseconds")]);
    builder.add(&[], 2, &[]);
    Contents::from_gzip(&builder.finish().to_gzip()).unwrap()
}

fn sent(contents: &Contents) -> (ProfilesDictionary, Vec<Profile>) {
    let mut request = request(contents, Vec::new(), [7; 16]);
    let mut resource = request.resource_profiles.remove(0);
    let scope = resource.scope_profiles.remove(0);
    (request.dictionary.unwrap(), scope.profiles)
}

/// A message with its indices looked up.
struct Reader<'a>(&'a ProfilesDictionary);

impl Reader<'_> {
    fn string(&self, index: i32) -> &str {
        &self.0.string_table[usize::try_from(index).unwrap()]
    }

    fn attribute(&self, index: i32) -> String {
        let attribute = &self.0.attribute_table[usize::try_from(index).unwrap()];
        let value = match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(yes) => yes.to_string(),
            other => panic!("{other:?}"),
        };
        let key = self.string(attribute.key_strindex);
        format!("{key}={value}{}", self.string(attribute.unit_strindex))
    }

    fn attributes(&self, indices: &[i32]) -> String {
        let attributes = indices.iter().map(|&index| self.attribute(index));
        attributes.collect::<Vec<_>>().join(" ")
    }

    fn location(&self, location: &Location) -> String {
        let lines = location.lines.iter().map(|line| {
            let function = &self.0.function_table[usize::try_from(line.function_index).unwrap()];
            format!(
                "{}|{}|{}:{}:{}",
                self.string(function.name_strindex),
                self.string(function.system_name_strindex),
                self.string(function.filename_strindex),
                function.start_line,
                line.line
            )
        });
        let mapping = &self.0.mapping_table[usize::try_from(location.mapping_index).unwrap()];
        format!(
            "{:x} in {} {:x}-{:x}+{:x} {}",
            location.address,
            self.string(mapping.filename_strindex),
            mapping.memory_start,
            mapping.memory_limit,
            mapping.file_offset,
            lines.collect::<Vec<_>>().join("<")
        )
    }

    fn sample(&self, sample: &Sample) -> String {
        let stack = &self.0.stack_table[usize::try_from(sample.stack_index).unwrap()];
        let stack = stack.location_indices.iter().map(|&index| {
            let location = &self.0.location_table[usize::try_from(index).unwrap()];
            self.location(location)
        });
        format!(
            "{} [{}] {:?}",
            stack.collect::<Vec<_>>().join(", "),
            self.attributes(&sample.attribute_indices),
            sample.values
        )
    }
}

/// The same of a profile that was read, with labels under their new names.
fn sample_of(contents: &Contents, sample: &crate::pprof::SampleContents) -> String {
    let stack = sample.stack.iter().map(|&location| {
        let location = &contents.locations[location];
        let lines = location.lines.iter().map(|&(function, line)| {
            let function = &contents.functions[function];
            format!(
                "{}|{}|{}:{}:{line}",
                contents.text(function.name),
                contents.text(function.system_name),
                contents.text(function.file),
                function.start_line
            )
        });
        let lines = lines.collect::<Vec<_>>().join("<");
        let Some(mapping) = location.mapping else {
            return format!("{:x} in  0-0+0 {lines}", location.address);
        };
        let mapping = &contents.mappings[mapping];
        format!(
            "{:x} in {} {:x}-{:x}+{:x} {lines}",
            location.address,
            contents.text(mapping.file),
            mapping.start,
            mapping.limit,
            mapping.offset
        )
    });
    let labels = sample.labels.iter().map(|&(key, value)| {
        let key = contents.text(key);
        let name = attributes::of_label(key);
        match value {
            LabelValue::Text(text) => format!("{name}={}", contents.text(text)),
            LabelValue::Number(number, unit) => {
                format!("{name}={number}{}", contents.text(unit).replace(key, ""))
            }
        }
    });
    format!(
        "{} [{}] {:?}",
        stack.collect::<Vec<_>>().join(", "),
        labels.collect::<Vec<_>>().join(" "),
        &sample.values[..1]
    )
}

/// Every sample comes out as it went in: addresses, mappings, functions, lines, labels, numbers.
#[test]
fn samples_are_those_of_the_profile() {
    let contents = profile(PERIOD_NS);
    let (dictionary, profiles) = sent(&contents);
    let reader = Reader(&dictionary);
    let samples = profiles[0].samples.iter();
    let got: Vec<String> = samples.map(|sample| reader.sample(sample)).collect();
    let samples = contents.samples.iter();
    let wanted: Vec<String> = samples.map(|sample| sample_of(&contents, sample)).collect();
    assert_eq!(got, wanted);
    assert_eq!(got.len(), 5);
    assert!(
        got.iter().any(|sample| sample.contains("thread.name=a")),
        "{got:?}"
    );
    assert!(
        got.iter()
            .any(|sample| sample.contains("profiler.wait=5nanoseconds"))
    );
}

/// The profile says when it was, and of what its values are; CPU time is the number times the period.
#[test]
fn profile_has_its_types() {
    let contents = profile(PERIOD_NS);
    let (dictionary, profiles) = sent(&contents);
    let reader = Reader(&dictionary);
    assert_eq!(profiles.len(), 1);
    let profile = &profiles[0];
    assert_eq!(profile.time_unix_nano, 1_764_000_000_000_000_000);
    assert_eq!(profile.duration_nano, 60_000_000_000);
    assert_eq!(profile.period, i64::try_from(PERIOD_NS).unwrap());
    assert_eq!(profile.profile_id, [7; 16]);
    for (value_type, wanted) in [
        (profile.sample_type, ["samples", "count"]),
        (profile.period_type, ["cpu", "nanoseconds"]),
    ] {
        let value_type = value_type.unwrap();
        let got = [value_type.type_strindex, value_type.unit_strindex];
        assert_eq!(got.map(|index| reader.string(index)), wanted);
    }
}

/// Values that do not follow from the first ones are a profile of their own, with an id of its own.
#[test]
fn other_values_are_other_profiles() {
    let mut contents = profile(PERIOD_NS);
    contents.samples[0].values[1] += 1;
    let (_, profiles) = sent(&contents);
    assert_eq!(profiles.len(), 2);
    assert_ne!(profiles[0].profile_id, profiles[1].profile_id);
    let (_, profiles) = sent(&profile(0));
    assert_eq!(profiles.len(), 1);
}

/// Mappings have their build-ids and how far they are named, frames what they are of.
#[test]
fn mappings_and_frames_have_attributes() {
    let (dictionary, _) = sent(&profile(PERIOD_NS));
    let reader = Reader(&dictionary);
    let mappings = dictionary.mapping_table.iter().map(|mapping| {
        let file = reader.string(mapping.filename_strindex);
        format!("{file}: {}", reader.attributes(&mapping.attribute_indices))
    });
    let mut mappings: Vec<String> = mappings.collect();
    mappings.sort();
    assert_eq!(
        mappings,
        [
            "/usr/bin/server: process.executable.build_id.gnu=abcd",
            ": ",
            "[kernel.kallsyms]: pprof.mapping.has_functions=true",
        ]
    );
    let frames = dictionary.location_table.iter().map(|location| {
        let kind = reader.attributes(&location.attribute_indices);
        format!("{:x} {kind}", location.address)
    });
    let mut frames: Vec<String> = frames.collect();
    frames.sort();
    assert_eq!(
        frames,
        [
            "0 ",
            "10 ",
            "5010 profile.frame.type=rust",
            "5020 profile.frame.type=rust",
            "5030 profile.frame.type=native",
            "ffffffff81000010 profile.frame.type=kernel",
        ]
    );
}

/// Entry 0 of each table stands for nothing, no entry is there twice, and each is used.
#[test]
fn dictionary_keeps_the_rules_of_the_format() {
    let (dictionary, profiles) = sent(&profile(PERIOD_NS));
    fn check<T: Default + PartialEq + std::fmt::Debug>(table: &[T]) {
        assert_eq!(table[0], T::default());
        for (index, entry) in table.iter().enumerate() {
            assert!(!table[..index].contains(entry), "{entry:?} is there twice");
        }
    }
    check(&dictionary.mapping_table);
    check(&dictionary.location_table);
    check(&dictionary.function_table);
    check(&dictionary.link_table);
    check(&dictionary.string_table);
    check(&dictionary.attribute_table);
    check(&dictionary.stack_table);

    let mut strings = HashSet::from([0]);
    let mut attributes = HashSet::from([0]);
    let profile = &profiles[0];
    let types = profile.sample_type.iter().chain(&profile.period_type);
    strings.extend(types.flat_map(|kind| [kind.type_strindex, kind.unit_strindex]));
    for function in &dictionary.function_table {
        let names = [function.name_strindex, function.system_name_strindex];
        strings.extend(names.into_iter().chain([function.filename_strindex]));
    }
    for mapping in &dictionary.mapping_table {
        strings.insert(mapping.filename_strindex);
        attributes.extend(&mapping.attribute_indices);
    }
    let locations = dictionary.location_table.iter();
    attributes.extend(locations.flat_map(|location| &location.attribute_indices));
    attributes.extend(
        profile
            .samples
            .iter()
            .flat_map(|sample| &sample.attribute_indices),
    );
    for attribute in &dictionary.attribute_table {
        strings.extend([attribute.key_strindex, attribute.unit_strindex]);
    }
    assert_eq!(strings.len(), dictionary.string_table.len());
    assert_eq!(attributes.len(), dictionary.attribute_table.len());
    let stacks: HashSet<i32> = profile
        .samples
        .iter()
        .map(|sample| sample.stack_index)
        .collect();
    assert_eq!(stacks.len(), dictionary.stack_table.len());
}

/// The resource has the labels, the scope says who has measured.
#[test]
fn resource_has_the_labels() {
    let labels = vec![("service.name".to_owned(), "shop".to_owned())];
    let request = request(&profile(PERIOD_NS), labels, [7; 16]);
    let resource = &request.resource_profiles[0];
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(attributes[0].key, "service.name");
    let value = attributes[0].value.as_ref().unwrap().value.clone();
    assert_eq!(value, Some(Value::StringValue("shop".to_owned())));
    let scope = resource.scope_profiles[0].scope.as_ref().unwrap();
    assert_eq!(scope.name, "profiler");
}
