//! Merging by hand-made profiles. That it is what pprof's programs make of the same files is for the end-to-end suite to say.

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use std::io::Write as _;

use super::*;
use crate::pprof::{Builder, Header, Label, Line, Mapping, Profile};

/// A sample: the functions from the innermost on (two with `+` between them are one location), comm, cgroup, count.
type Row = (&'static [&'static str], &'static str, &'static str, u64);

/// A profile of a process with the samples `rows`, loaded at `start`.
fn profile(start: u64, pid: i64, rows: &[Row]) -> Vec<u8> {
    let mut builder = Builder::new(Header {
        period_ns: 10,
        time_ns: 1000 + start,
        duration_ns: 50,
        comments: vec!["by hand".to_owned(), format!("of {pid}")],
    });
    let mapping = builder.mapping(Mapping {
        start,
        limit: start + 0x10000,
        offset: 0x1000,
        file: "/usr/bin/app".to_owned(),
        build_id: vec![1, 2, 3],
    });
    builder.set_main(mapping);
    for (frames, comm, cgroup, count) in rows {
        let stack: Vec<_> = frames
            .iter()
            .map(|frame| {
                let name = |name| Line {
                    name,
                    file: "app.c",
                    line: 7,
                    ..Line::default()
                };
                let lines: Vec<Line<'_>> = frame
                    .split('+')
                    .filter(|name| !name.is_empty())
                    .map(name)
                    .collect();
                let address = start + frame.bytes().map(u64::from).sum::<u64>();
                builder.location(mapping, address, &lines)
            })
            .collect();
        let text = |key: &str, value: &str| Label::Str(key.to_owned(), value.to_owned());
        let mut labels = vec![Label::Num("pid".to_owned(), pid, String::new())];
        labels.extend((!comm.is_empty()).then(|| text("comm", comm)));
        labels.extend((!cgroup.is_empty()).then(|| text("cgroup", cgroup)));
        builder.add(&stack, *count, &labels);
    }
    builder.finish().to_gzip()
}

fn gzip(message: &proto::Profile) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&message.encode_to_vec()).unwrap();
    encoder.finish().unwrap()
}

fn merge(filter: Filter, profiles: &[Vec<u8>]) -> Merge {
    let mut merge = Merge::new(filter);
    for profile in profiles {
        merge.add(profile).unwrap();
    }
    merge
}

fn text(merge: Merge) -> String {
    let message = decode(&merge.finish()).unwrap();
    Profile::new(message, crate::pprof::Corrections::default()).text()
}

const ROWS: &[Row] = &[
    (&["leaf+mid", "main"], "app", "/a/b", 3),
    (&["other", "main"], "app", "/a", 2),
    (&["leaf+mid", "main"], "", "/ab", 1),
];

/// Processes of one program at different addresses are one mapping, and equal samples one; the rest is pprof's rules.
#[test]
fn equal_things_are_one() {
    let merged = merge(
        Filter::default(),
        &[profile(0x40000, 1, ROWS), profile(0x90000, 1, ROWS)],
    );
    let message = decode(&merged.finish()).unwrap();
    assert_eq!(
        (
            message.mapping.len(),
            message.location.len(),
            message.function.len()
        ),
        (1, 3, 4)
    );
    let values: Vec<_> = message
        .sample
        .iter()
        .map(|sample| sample.value[0])
        .collect();
    assert_eq!(values.iter().sum::<i64>(), 12);
    assert_eq!(message.sample.len(), 3);
    assert_eq!(
        (message.time_nanos, message.duration_nanos, message.period),
        (1000 + 0x40000, 100, 10)
    );
    assert_eq!(message.comment.len(), 2);
    assert!(
        message
            .location
            .iter()
            .all(|location| (0x40000..0x50000).contains(&location.address))
    );
}

/// The merge of one profile says what that says, and merging it once more changes nothing.
#[test]
fn one_profile_stays_as_it_is() {
    let once = merge(Filter::default(), &[profile(0x40000, 1, ROWS)]).finish();
    assert_eq!(
        merge(Filter::default(), std::slice::from_ref(&once)).finish(),
        once
    );
    let parts: Vec<_> = ROWS
        .iter()
        .map(|row| profile(0x40000, 1, &[*row]))
        .collect();
    let total = |gzip: &[u8]| {
        let message = decode(gzip).unwrap();
        message
            .sample
            .iter()
            .map(|sample| sample.value[1])
            .sum::<i64>()
    };
    assert_eq!(
        total(&merge(Filter::default(), &parts).finish()),
        total(&once)
    );
}

fn check_filter(filter: &Filter, wanted: i64) {
    let profiles = [profile(0x40000, 1, ROWS), profile(0x40000, 2, ROWS)];
    let merged = merge(filter.clone(), &profiles);
    let samples: i64 = merged.totals().iter().map(|total| total.samples).sum();
    assert_eq!(samples, wanted, "{filter:?}");
}

/// Filters go by label, control groups with all below them.
#[test]
fn filters() {
    let cgroup = |path: &str| Filter {
        cgroup: Some(path.to_owned()),
        ..Filter::default()
    };
    check_filter(&Filter::default(), 12);
    check_filter(
        &Filter {
            pid: Some(2),
            ..Filter::default()
        },
        6,
    );
    check_filter(
        &Filter {
            pid: Some(3),
            ..Filter::default()
        },
        0,
    );
    check_filter(
        &Filter {
            comm: Some("app".to_owned()),
            ..Filter::default()
        },
        10,
    );
    check_filter(
        &Filter {
            comm: Some("ap".to_owned()),
            ..Filter::default()
        },
        0,
    );
    check_filter(&cgroup("/a"), 10);
    check_filter(&cgroup("/a/"), 10);
    check_filter(&cgroup("/a/b"), 6);
    check_filter(&cgroup("/"), 12);
    check_filter(
        &Filter {
            pid: Some(1),
            ..cgroup("/ab")
        },
        1,
    );
    let nothing = merge(
        Filter {
            pid: Some(3),
            ..Filter::default()
        },
        &[profile(0x40000, 1, ROWS)],
    );
    let message = decode(&nothing.finish()).unwrap();
    assert_eq!(
        (
            message.sample.len(),
            message.location.len(),
            message.mapping.len()
        ),
        (0, 0, 0)
    );
    assert_eq!(message.duration_nanos, 50);
}

/// Programs go by the name of the process, or else by the file of the main binary.
#[test]
fn totals_by_program() {
    let rows = [ROWS, &[(&["x"], "sh", "", 40)]].concat();
    let totals = merge(Filter::default(), &[profile(0x40000, 1, &rows)]).totals();
    let totals: Vec<_> = totals
        .iter()
        .map(|total| (&*total.program, total.samples, total.value))
        .collect();
    assert_eq!(totals, [("sh", 40, 400), ("app", 6, 60)]);
}

/// The tree with its names, one node a line.
fn drawn(tree: &Tree) -> Vec<String> {
    let nodes = tree.nodes.iter().map(|node| {
        let before = match (node.value_before, node.own_before) {
            (0, 0) => String::new(),
            (value, own) => format!(" ({value} {own})"),
        };
        format!(
            "{}{} {} {}{before}",
            " ".repeat(node.depth),
            tree.names[node.name],
            node.value,
            node.own
        )
    });
    nodes.collect()
}

/// Inlined calls are frames of their own, the largest comes first, and sums are right where something is left out.
#[test]
fn trees() {
    let merged = || merge(Filter::default(), &[profile(0x40000, 1, ROWS)]);
    let whole = [
        "all 60 0",
        " main 60 0",
        "  mid 40 0",
        "   leaf 40 40",
        "  other 20 20",
    ];
    assert_eq!(drawn(&merged().tree(By::Function, 0.0)), whole);
    let cut = [
        "all 60 0",
        " main 60 0",
        "  mid 40 0",
        "   leaf 40 40",
        "  … 20 20",
    ];
    assert_eq!(drawn(&merged().tree(By::Function, 0.5)), cut);
    assert_eq!(
        drawn(&merged().tree(By::File, 0.0)),
        ["all 60 0", " app.c 60 60"]
    );
    assert_eq!(
        drawn(&merged().tree(By::Binary, 0.0)),
        ["all 60 0", " /usr/bin/app 60 60"]
    );
    let nameless = merge(
        Filter::default(),
        &[profile(0x40000, 1, &[(&[""], "", "", 1)])],
    );
    assert_eq!(
        drawn(&nameless.tree(By::Function, 0.0)),
        ["all 10 0", " [app] 10 10"]
    );
    assert_eq!(
        drawn(&Merge::new(Filter::default()).tree(By::File, 0.1)),
        ["all 0 0"]
    );
}

/// Two profiles are laid beside each other by the way to each frame.
#[test]
fn differences() {
    let one = |rows| merge(Filter::default(), &[profile(0x40000, 1, rows)]);
    let tree = Merge::difference(
        one(ROWS),
        one(&[(&["other", "main"], "", "", 9)]),
        By::Function,
        0.0,
    );
    let wanted = [
        "all 90 0 (60 0)",
        " main 90 0 (60 0)",
        "  other 90 90 (20 20)",
        "  mid 0 0 (40 0)",
        "   leaf 0 0 (40 40)",
    ];
    assert_eq!(drawn(&tree), wanted);
}

/// Samples that come to nothing go, and what only they had goes with them; the main binary stays.
#[test]
fn nothing_is_left_of_nothing() {
    let whole = profile(0x40000, 1, ROWS);
    let mut negative = decode(&whole).unwrap();
    for value in negative
        .sample
        .iter_mut()
        .flat_map(|sample| &mut sample.value)
    {
        *value = -*value;
    }
    let message = decode(&merge(Filter::default(), &[whole, gzip(&negative)]).finish()).unwrap();
    assert_eq!(
        (
            message.sample.len(),
            message.location.len(),
            message.function.len()
        ),
        (0, 0, 0)
    );
    assert_eq!(message.mapping.len(), 1);
}

/// What cannot be merged is refused, and what was merged before stays as it was.
#[test]
fn bad_input_costs_itself_only() {
    let whole = profile(0x40000, 1, ROWS);
    let alone = text(merge(Filter::default(), std::slice::from_ref(&whole)));
    let mut merged = merge(Filter::default(), std::slice::from_ref(&whole));
    let mut refuse = |bytes: &[u8], wanted: &str| {
        let error = merged.add(bytes).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    refuse(b"", "");
    refuse(b"garbage", "gzip");
    refuse(&whole[..whole.len() - 1], "gzip");
    let change = |change: fn(&mut proto::Profile)| {
        let mut message = decode(&whole).unwrap();
        change(&mut message);
        gzip(&message)
    };
    refuse(
        &change(|message| message.sample[0].location_id[0] = 99),
        "location",
    );
    refuse(&change(|message| message.comment[0] = 99), "string");
    refuse(
        &change(|message| message.default_sample_type = -1),
        "string",
    );
    refuse(
        &change(|message| message.string_table[0] = "first".to_owned()),
        "string",
    );
    refuse(&change(|message| message.string_table.clear()), "string");
    refuse(
        &change(|message| message.sample_type.swap(0, 1)),
        "samples/count and cpu/nanoseconds each",
    );
    refuse(
        &change(|message| message.period_type = None),
        "merge profiles of one kind only",
    );
    assert_eq!(text(merged), alone);
}

/// A value that is an empty text somewhere else than at the beginning of the table is no value.
#[test]
fn empty_texts_are_no_values() {
    let mut message = decode(&profile(0x40000, 1, ROWS)).unwrap();
    let empty = i64::try_from(message.string_table.len()).unwrap();
    message.string_table.push(String::new());
    for label in message
        .sample
        .iter_mut()
        .flat_map(|sample| &mut sample.label)
    {
        if label.str != 0 {
            label.str = empty;
        }
    }
    let once = merge(Filter::default(), &[gzip(&message)]).finish();
    assert_eq!(
        merge(Filter::default(), std::slice::from_ref(&once)).finish(),
        once
    );
}
