//! Each rule is broken once in an otherwise good profile, and the check must name it.
//!
//! Long because each rule of the writer has a broken profile here.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use profiler::pprof::proto::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};
use prost::Message as _;

use super::*;

const STRINGS: [&str; 22] = [
    "",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    "/opt/app",
    "ab12",
    "/usr/lib/libc.so.6",
    "00ff",
    "[kernel.kallsyms]",
    "main",
    "inlined",
    "/src/main.c",
    "entry",
    "pid",
    "comm",
    "app",
    "a comment",
    "[vdso]",
    "clock",
    "_Z1f",
    "f<T>",
];

/// The index of a string of [`STRINGS`].
fn index(string: &str) -> i64 {
    STRINGS.iter().position(|&other| other == string).unwrap() as i64
}

/// A profile that keeps all rules; written by hand, so that it owes nothing to the writer.
fn good() -> Profile {
    let value_type = |name, unit| ValueType {
        r#type: index(name),
        unit: index(unit),
    };
    let mapping = |id, memory_start, memory_limit, file, build_id| Mapping {
        id,
        memory_start,
        memory_limit,
        file_offset: 0x1000,
        filename: index(file),
        build_id: index(build_id),
        ..Mapping::default()
    };
    let location = |id, mapping_id, address, lines: &[(u64, i64)]| Location {
        id,
        mapping_id,
        address,
        line: lines
            .iter()
            .map(|&(function_id, line)| Line { function_id, line })
            .collect(),
        is_folded: false,
    };
    let function = |id, name, system_name, file, start_line| Function {
        id,
        name: index(name),
        system_name: index(system_name),
        filename: index(file),
        start_line,
    };
    let sample = |location_id: &[u64], count: i64, label| Sample {
        location_id: location_id.to_vec(),
        value: vec![count, count * 100],
        label,
    };
    let pid = Label {
        key: index("pid"),
        num_unit: index("pid"),
        ..Label::default()
    };
    let comm = Label {
        key: index("comm"),
        str: index("app"),
        ..Label::default()
    };
    Profile {
        sample_type: vec![
            value_type("samples", "count"),
            value_type("cpu", "nanoseconds"),
        ],
        sample: vec![
            sample(&[1, 2], 2, vec![pid, comm]),
            sample(&[5, 3, 2, 4], 1, vec![]),
            sample(&[6], 1, vec![]),
            sample(&[], 1, vec![]),
        ],
        mapping: vec![
            Mapping {
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
                ..mapping(1, 0x5000_1000, 0x5000_3000, "/opt/app", "ab12")
            },
            mapping(2, 0x4000_0000, 0x4001_0000, "/usr/lib/libc.so.6", "00ff"),
            Mapping {
                has_functions: true,
                ..mapping(
                    3,
                    0xffff_ffff_8100_0000,
                    0xffff_ffff_9000_0000,
                    "[kernel.kallsyms]",
                    "",
                )
            },
            mapping(4, 0x7000_0000, 0x7000_2000, "[vdso]", "ab12"),
        ],
        location: vec![
            location(1, 1, 0x5000_1000, &[(1, 3), (2, 10)]),
            location(2, 1, 0x5000_2fff, &[(2, 12)]),
            location(3, 2, 0x4000_0100, &[]),
            location(4, 0, 0x1234, &[]),
            location(5, 3, 0xffff_ffff_8100_0000, &[(3, 0)]),
            location(6, 4, 0x7000_0abc, &[(4, 0)]),
        ],
        function: vec![
            function(1, "inlined", "inlined", "/src/main.c", 2),
            function(2, "main", "main", "/src/main.c", 9),
            function(3, "entry", "entry", "", 0),
            function(4, "f<T>", "_Z1f", "", 0),
        ],
        string_table: STRINGS.iter().map(|&string| string.to_owned()).collect(),
        time_nanos: 1_700_000_000_000_000_000,
        duration_nanos: 5_000_000_000,
        period_type: Some(value_type("cpu", "nanoseconds")),
        period: 100,
        comment: vec![index("a comment"), index("clock")],
        default_sample_type: index("cpu"),
        ..Profile::default()
    }
}

fn gzip(mtime: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .mtime(mtime)
        .write(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn file(profile: &Profile) -> Vec<u8> {
    gzip(0, &profile.encode_to_vec())
}

/// Breaks the good profile and looks for the violation; strings that nobody uses any more do not matter here.
fn check(rule: Rule, part: &str, break_it: impl FnOnce(&mut Profile)) {
    let mut profile = good();
    break_it(&mut profile);
    let violations = check_profile(&file(&profile)).expect_err(part);
    let is_found = violations
        .iter()
        .any(|violation| violation.rule == rule && violation.what.contains(part));
    assert!(
        is_found,
        "wanted {rule:?} with {part:?}, found {violations:#?}"
    );
}

/// Replaces a string of the table, which changes every place that uses it.
fn rename(profile: &mut Profile, from: &str, to: &str) {
    profile.string_table[index(from) as usize] = to.to_owned();
}

/// The good profile has no violation, and its tables are looked up as they were meant.
#[test]
fn good_profile_passes() {
    let checked = check_profile(&file(&good())).unwrap();
    assert_eq!(
        (checked.total_count(), checked.total_nanoseconds()),
        (5, 500)
    );
    assert_eq!(
        checked.mapping("/opt/app").map(|mapping| mapping.id),
        Some(1)
    );
    let samples = checked.samples();
    assert_eq!(samples[0].stack[0].functions, ["inlined", "main"]);
    assert_eq!(samples[0].stack[0].file.as_deref(), Some("/opt/app"));
    assert_eq!(samples[0].labels["pid"], "0");
    assert_eq!(samples[0].labels["comm"], "app");
    assert_eq!(samples[1].stack[3].file, None);
    assert!(samples[3].stack.is_empty());
}

/// Bytes that are not one gzip file around one message.
#[test]
fn bytes() {
    let good = file(&good());
    let invalid_utf8 = gzip(0, &[0x32, 0x01, 0xff]);
    let mut longer = good.clone();
    longer.push(0);
    let cases: [(&[u8], &str); 7] = [
        (&[], "gzip"),
        (b"no gzip at all", "gzip"),
        (&good[..good.len() / 2], "gzip"),
        (&longer, "behind the gzip file"),
        (&gzip(0, b"\xff\xff"), "not a profile"),
        (&invalid_utf8, "not a profile"),
        (&gzip(7, b""), "time in the gzip header"),
    ];
    for (bytes, part) in cases {
        let violations = check_profile(bytes).expect_err(part);
        let is_found = violations
            .iter()
            .any(|violation| violation.what.contains(part));
        assert!(is_found, "wanted {part:?}, found {violations:#?}");
    }
}

/// Ids, indices and references.
#[test]
fn format() {
    use Rule::{Baggage, Format};
    check(Format, "string 0", |profile| rename(profile, "", "x"));
    check(Baggage, "twice", |profile| rename(profile, "f<T>", "main"));
    check(Format, "no string 99", |profile| {
        profile.function[0].filename = 99;
    });
    check(Format, "no string -1", |profile| profile.comment.push(-1));
    check(Baggage, "nothing uses string", |profile| {
        profile.comment.clear();
    });
    check(Format, "mapping 2 has id 0", |profile| {
        profile.mapping[1].id = 0;
    });
    check(Format, "location 2 has id 1", |profile| {
        profile.location[1].id = 1;
    });
    check(Format, "function 4 has id 7", |profile| {
        profile.function[3].id = 7;
    });
    check(Format, "is in mapping 9", |profile| {
        profile.location[0].mapping_id = 9;
    });
    check(Format, "no function 0", |profile| {
        profile.location[0].line[0].function_id = 0;
    });
    check(Format, "no location 9", |profile| {
        profile.sample[0].location_id[0] = 9;
    });
    check(Baggage, "nothing uses location 6", |profile| {
        profile.sample.remove(2);
    });
    check(Baggage, "nothing uses function 3", |profile| {
        profile.location[4].line.clear();
    });
}

/// Types, times and values.
#[test]
fn header() {
    use Rule::Header;
    check(Header, "sample types", |profile| {
        profile.sample_type.reverse();
    });
    check(Header, "sample types", |profile| {
        profile.sample_type.clear();
    });
    check(Header, "period type", |profile| profile.period_type = None);
    check(Header, "period type", |profile| {
        profile.period_type = Some(profile.sample_type[0]);
    });
    check(Header, "default sample type", |profile| {
        profile.default_sample_type = index("samples");
    });
    check(Header, "no period", |profile| profile.period = 0);
    check(Header, "time is not", |profile| profile.time_nanos = 0);
    check(Header, "time is not", |profile| profile.time_nanos /= 1000);
    check(Header, "no duration", |profile| profile.duration_nanos = 0);
    check(Header, "empty comment", |profile| profile.comment.push(0));
    check(Header, "dropped", |profile| {
        profile.drop_frames = index("main");
    });
    check(Header, "not 2 periods", |profile| {
        profile.sample[0].value[1] += 1;
    });
    check(Header, "stands for 0", |profile| {
        profile.sample[0].value = vec![0, 0];
    });
    check(Header, "has 1 values", |profile| {
        profile.sample[0].value.truncate(1);
    });
}

/// The threads of a core file are counted and are not of time; nothing may be made up.
#[test]
fn header_of_counted_threads() {
    let counted = |profile: &mut Profile| {
        profile.sample_type.truncate(1);
        for sample in &mut profile.sample {
            sample.value.truncate(1);
        }
        profile.period_type = Some(profile.sample_type[0]);
        profile.period = 1;
        profile.default_sample_type = index("samples");
        profile.duration_nanos = 0;
        // So that nothing in the table of strings is unused.
        profile.comment.extend([index("cpu"), index("nanoseconds")]);
    };
    let mut profile = good();
    counted(&mut profile);
    let checked = check_profile(&file(&profile)).expect("keeps the rules");
    assert_eq!(checked.total_nanoseconds(), 0);
    let check = |part: &str, break_it: &dyn Fn(&mut Profile)| {
        check(Rule::Header, part, |profile| {
            counted(profile);
            break_it(profile);
        });
    };
    check("took no time", &|profile| profile.duration_nanos = 1);
    check("is not 1", &|profile| profile.period = 2);
    check("has 2 values", &|profile| profile.sample[0].value.push(1));
    check("default sample type", &|profile| {
        profile.default_sample_type = index("cpu");
    });
    check("period type", &|profile| {
        let cpu = good().period_type;
        profile.period_type = cpu;
    });
}

/// Ranges of mappings, and addresses in them.
#[test]
fn ranges_and_addresses() {
    use Rule::{Addresses, Ranges};
    check(Ranges, "is empty", |profile| {
        profile.mapping[1].memory_limit = 0x4000_0000;
    });
    check(Ranges, "does not begin at a page", |profile| {
        profile.mapping[1].memory_start -= 1;
    });
    check(Ranges, "does not begin at a page", |profile| {
        profile.mapping[1].file_offset += 1;
    });
    check(Ranges, "there twice", |profile| {
        let twin = Mapping {
            memory_limit: 0x5000_2000,
            ..profile.mapping[0]
        };
        profile.mapping[1] = Mapping { id: 2, ..twin };
    });
    check(Ranges, "mapping 2 continues mapping 1", |profile| {
        let mut tail = Mapping {
            id: 2,
            ..profile.mapping[0]
        };
        (tail.memory_start, tail.memory_limit) = (0x5000_3000, 0x5000_4000);
        tail.file_offset = 0x3000;
        profile.mapping[1] = tail;
    });
    // A file offset instead of a runtime address, and both ends of the range.
    check(Addresses, "location 1", |profile| {
        profile.location[0].address = 0x1000;
    });
    check(Addresses, "location 1", |profile| {
        profile.location[0].address = 0x5000_0fff;
    });
    check(Addresses, "location 2", |profile| {
        profile.location[1].address = 0x5000_3000;
    });
}

/// The place, the name and the id of mappings.
#[test]
fn order_and_identity() {
    use Rule::{Identity, MainFirst};
    check(MainFirst, "mapping 2 has no location", |profile| {
        profile.location[2].mapping_id = 0;
    });
    check(MainFirst, "mapping 1 is \"[vdso]\"", |profile| {
        profile.mapping.swap(0, 3);
        profile.mapping[0].id = 1;
        profile.mapping[3].id = 4;
    });
    check(Identity, "build-id", |profile| {
        rename(profile, "00ff", "00FF");
    });
    check(Identity, "build-id", |profile| {
        rename(profile, "00ff", "gnu-00ff");
    });
    check(Identity, "build-id", |profile| {
        rename(profile, "00ff", "00f");
    });
    check(Identity, "deleted", |profile| {
        rename(profile, "/opt/app", "/opt/app (deleted)");
    });
    check(Identity, "absolute", |profile| {
        rename(profile, "/opt/app", "app");
    });
}

/// A flag that is not true of one location, and flags of a mapping without locations.
#[test]
fn flags() {
    type Set = fn(&mut Mapping);
    let set: [(&str, Set); 4] = [
        ("has_functions", |mapping| mapping.has_functions = true),
        ("has_filenames", |mapping| mapping.has_filenames = true),
        ("has_line_numbers", |mapping| {
            mapping.has_line_numbers = true;
        }),
        ("has_inline_frames", |mapping| {
            mapping.has_inline_frames = true;
        }),
    ];
    for (name, set) in set {
        // Nothing is known of libc's only location, and only the name of the kernel's.
        check(Rule::Flags, name, |profile| set(&mut profile.mapping[1]));
        if name != "has_functions" {
            check(Rule::Flags, name, |profile| set(&mut profile.mapping[2]));
        }
        check(Rule::Flags, name, |profile| {
            profile.location[1].line.clear();
        });
        check(Rule::Flags, name, |profile| {
            for location in &mut profile.location[..2] {
                location.mapping_id = 2;
            }
        });
    }
    check(Rule::Flags, "has_line_numbers", |profile| {
        profile.location[0].line[1].line = 0;
    });
    check(Rule::Flags, "has_filenames", |profile| {
        profile.function[0].filename = 0;
    });
    check(Rule::Flags, "has_functions", |profile| {
        profile.function[0].name = 0;
    });
}

/// Kernel, vdso, code without a file, and addresses that no mapping has.
#[test]
fn specials() {
    use Rule::Specials;
    check(Specials, "has no name", |profile| {
        profile.mapping[1].filename = 0;
    });
    check(Specials, "in [kernel.kallsyms]", |profile| {
        profile.location[4].address = 0x1000;
    });
    check(Specials, "in /usr/lib/libc.so.6", |profile| {
        profile.location[2].address = 0xffff_ffff_8100_0000;
    });
    check(Specials, "named and not flagged", |profile| {
        profile.mapping[2].has_functions = false;
    });
    check(Specials, "vdso has no build-id", |profile| {
        profile.mapping[3].build_id = 0;
    });
    check(Specials, "has a name", |profile| {
        profile.location[3].line = vec![Line {
            function_id: 3,
            line: 0,
        }];
    });
    check(Specials, "the kernel's", |profile| {
        profile.location[3].address = u64::MAX;
    });
}

/// One location per address, one function per value, names that pprof shows whole (PR-08).
#[test]
fn names() {
    use Rule::Names;
    check(Names, "location 2: 0x50001000 is there twice", |profile| {
        profile.location[1].address = 0x5000_1000;
    });
    check(Names, "function 2 is there twice", |profile| {
        profile.function[1] = Function {
            id: 2,
            ..profile.function[0]
        };
    });
    check(Names, "neither name nor file", |profile| {
        (profile.function[2].name, profile.function[2].filename) = (0, 0);
    });
    check(Names, "shorten \"f<T>\"", |profile| {
        profile.function[3].system_name = index("f<T>");
    });
    check(Names, "negative", |profile| {
        profile.location[0].line[0].line = -1;
    });
}

/// Labels that pprof does not show or takes for its own, and samples that are there twice.
#[test]
fn samples() {
    use Rule::Samples;
    check(Samples, "has two values", |profile| {
        let label = profile.sample[0].label[1];
        profile.sample[0].label.push(Label {
            str: index("main"),
            ..label
        });
    });
    check(Samples, "has no key", |profile| {
        profile.sample[0].label[0].key = 0;
    });
    check(Samples, "belongs to pprof", |profile| {
        rename(profile, "comm", "pprof::comm");
    });
    check(Samples, "has no value", |profile| {
        profile.sample[0].label[0].num_unit = 0;
    });
    check(Samples, "has no value", |profile| {
        profile.sample[0].label[1].str = 0;
    });
    check(Samples, "text and number", |profile| {
        profile.sample[0].label[1].num = 1;
    });
    check(Samples, "sample 4 is there twice", |profile| {
        let mut twin = profile.sample[0].clone();
        twin.label.reverse();
        profile.sample.push(twin);
    });
}
