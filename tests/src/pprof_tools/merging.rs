//! The profiler's own merge is what pprof's programs make of the same files. The profiles are made up, with whatever the format
//! allows: ids with gaps, mappings without build-id, addresses that move, equal samples, sums that come to nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use profiler::pprof::proto;
use prost::Message as _;

use super::canonical::check_merge;

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

/// The texts of each profile, moved round by `shift` so that indices differ.
fn strings(shift: usize) -> Vec<String> {
    let mut texts: Vec<String> = [
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "/bin/one",
        "/lib/two.so",
        "abcd",
        "ef01",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.extend(
        [
            "main", "_Zmain", "work", "leaf", "a.c", "b.c", "comm", "pid", "sh", "bytes", "note",
        ]
        .map(str::to_owned),
    );
    texts.rotate_left(shift);
    texts.insert(0, String::new());
    texts
}

/// A profile that `chance` makes up.
fn made_up(chance: &mut Chance) -> proto::Profile {
    let strings = strings(usize::try_from(chance.below(8)).unwrap());
    let text =
        |wanted: &str| signed(strings.iter().position(|text| text == wanted).unwrap() as u64);
    let value_type = |r#type: &str, unit: &str| proto::ValueType {
        r#type: text(r#type),
        unit: text(unit),
    };
    let base = 0x10_0000 * (1 + chance.below(50));
    let mapping = |id: u64, start: u64, size: u64, file: &str, build_id: &str| proto::Mapping {
        id,
        memory_start: base + start,
        memory_limit: base + start + size,
        file_offset: 0x1000,
        filename: text(file),
        build_id: text(build_id),
        has_functions: file == "/bin/one",
        ..proto::Mapping::default()
    };
    let mappings = vec![
        mapping(7, 0, 0x3000, "/bin/one", "abcd"),
        mapping(3, 0x10000, 0x2000 - chance.below(2), "/lib/two.so", ""),
        mapping(4, 0x20000, 0x1000, "/lib/two.so", "ef01"),
        mapping(9, 0x30000, 0x1000, "/bin/one", ""),
    ];
    let names = [
        ("main", "_Zmain", "a.c", 1),
        ("work", "work", "a.c", 9),
        ("leaf", "", "b.c", 0),
        ("leaf", "", "", 0),
    ];
    let functions = names
        .iter()
        .zip(5..)
        .map(
            |((name, system_name, filename, start_line), id)| proto::Function {
                id,
                name: text(name),
                system_name: text(system_name),
                filename: text(filename),
                start_line: *start_line,
            },
        );
    let locations = (0..30).map(|number| {
        let place = chance.below(5);
        let mapping = mappings.get(usize::try_from(place).unwrap());
        let lines = (0..chance.below(3)).map(|_| proto::Line {
            function_id: 5 + chance.below(4),
            line: signed(chance.below(2)),
        });
        let line = lines.collect();
        proto::Location {
            id: 1000 - number * 3,
            mapping_id: mapping.map_or(0, |mapping| mapping.id),
            address: mapping.map_or(0x77, |mapping| mapping.memory_start) + 8 * chance.below(4),
            line,
            is_folded: chance.below(8) == 0,
        }
    });
    let location: Vec<_> = locations.collect();
    let samples = (0..40).map(|_| {
        let ids = (0..1 + chance.below(3))
            .map(|_| 1000 - chance.below(30) * 3)
            .collect();
        let count = signed(chance.below(5)) - 1;
        let mut label = vec![
            proto::Label {
                key: text("comm"),
                str: text("sh"),
                ..proto::Label::default()
            },
            proto::Label {
                key: text("pid"),
                num: signed(chance.below(2)),
                ..proto::Label::default()
            },
        ];
        if chance.below(4) == 0 {
            label.push(proto::Label {
                key: text("note"),
                num: 0,
                num_unit: text("bytes"),
                ..proto::Label::default()
            });
            label.rotate_left(1);
        }
        proto::Sample {
            location_id: ids,
            value: vec![count, count * 10],
            label,
        }
    });
    proto::Profile {
        sample: samples.collect(),
        sample_type: vec![
            value_type("samples", "count"),
            value_type("cpu", "nanoseconds"),
        ],
        period_type: Some(value_type("cpu", "nanoseconds")),
        period: 10 + signed(chance.below(2)),
        time_nanos: 1_700_000_000_000_000_000 + signed(chance.below(1000)),
        duration_nanos: signed(chance.below(1000)),
        comment: vec![
            text("note"),
            text(if chance.below(2) == 0 { "work" } else { "leaf" }),
        ],
        default_sample_type: if chance.below(2) == 0 {
            0
        } else {
            text("samples")
        },
        mapping: mappings,
        location,
        function: functions.collect(),
        string_table: strings.clone(),
        ..proto::Profile::default()
    }
}

fn write(folder: &Path, number: u64, message: &proto::Profile) -> PathBuf {
    let path = folder.join(format!("{number}.pb.gz"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&message.encode_to_vec()).unwrap();
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    path
}

/// Two and many profiles; a single one newer programs leave as it is, unused entries and all.
#[test]
fn our_merge_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, count) in [(1, 2), (2, 2), (3, 2), (4, 3), (5, 12)] {
        let mut chance = Chance(seed);
        let files: Vec<PathBuf> = (0..count)
            .map(|number| write(folder.path(), number, &made_up(&mut chance)))
            .collect();
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        check_merge(&files);
    }
}

/// What one profile has too much of another takes away.
#[test]
fn sums_that_come_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = Chance(6);
    let (one, other) = (made_up(&mut chance), made_up(&mut chance));
    let mut negative = one.clone();
    for value in negative
        .sample
        .iter_mut()
        .flat_map(|sample| &mut sample.value)
    {
        *value = -*value;
    }
    let files = [(0, &one), (1, &other), (2, &negative)]
        .map(|(number, message)| write(folder.path(), number, message));
    check_merge(&files.each_ref().map(PathBuf::as_path));
}
