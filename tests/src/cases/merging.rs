//! Profiles with names, without, merged, and named later: the same functions every time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::check::check_profile;
use crate::harness::{
    Recorder, Recording, Stacks, Target, build_id, copy_program, fixture, shared,
};
use crate::pprof_tools::canonical::check_merge;
use crate::pprof_tools::{Pprof, Raw};

fn record(path: &Path, detail: &str) -> Recording {
    let target = Target::spawn(path, &["--wait", "0.6"]);
    let pid = target.pid.to_string();
    let args = [
        "-p",
        &pid,
        "-F",
        "997",
        "--no-kernel",
        "--symbolize",
        detail,
    ];
    let (recording, _) = Recorder::new(args).run_over(target);
    recording.profile();
    recording
}

/// The functions of a `-top` report with their own samples; inlined ones as `mix (inline)`.
fn top(pprof: &Pprof, options: &[&str], files: &[&Path]) -> BTreeMap<String, u64> {
    let options = [&["-sample_index=samples"], options].concat();
    let printed = pprof.top(&options, files).unwrap();
    let rows = printed
        .stdout
        .lines()
        .skip_while(|line| !line.contains("flat%"))
        .skip(1);
    let row = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields[5..].join(" "), fields[0].parse().unwrap())
    };
    rows.map(row).collect()
}

/// The sum of the samples' numbers.
fn total(raw: &Raw) -> i64 {
    raw.samples.iter().map(|sample| sample.values[0]).sum()
}

/// Two runs of a program at different addresses become one mapping with the samples of both (PR-03, PI-12).
#[test]
fn two_runs_merge() {
    let Some(_turn) = shared() else { return };
    let path = fixture("spin-static-fp");
    for path in [fixture("spin-fp"), fixture("spin-lld-fp"), path] {
        let runs = [(); 2].map(|()| record(&path, "none"));
        let name = path.to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let merged = folder.path().join("merged.pb.gz");
        for pprof in Pprof::all().unwrap() {
            pprof
                .merge(&[&runs[0].path, &runs[1].path], &merged)
                .unwrap();
            let raw = pprof.raw(&merged).unwrap();
            let mappings = raw.mappings.iter().filter(|mapping| mapping.file == name);
            assert_eq!(mappings.count(), 1, "{}: {:#?}", pprof.name(), raw.mappings);
            // As this program reads them: older ones leave samples without a stack out.
            let apart = runs
                .each_ref()
                .map(|run| total(&pprof.raw(&run.path).unwrap()));
            assert_eq!(total(&raw), apart.iter().sum::<i64>(), "{}", pprof.name());
            let own = top(&pprof, &[], &[&merged]);
            let apart = runs.each_ref().map(|run| top(&pprof, &[], &[&run.path]));
            for (function, count) in own {
                let sum: u64 = apart.iter().filter_map(|rows| rows.get(&function)).sum();
                assert_eq!(count, sum, "{}: {function}", pprof.name());
            }
        }
    }
}

/// What google/pprof names in a profile without names is what the profiler names itself (PR-05).
#[test]
fn the_same_names_early_and_late() {
    let Some(_turn) = shared() else { return };
    let google = Pprof::google().unwrap();
    for name in [
        "spin-fp",
        "spin-nopie-fp",
        "spin-lld-fp",
        "spin-nobuildid-fp",
        "phases-cpp-fp",
    ] {
        let early = record(&fixture(name), "full");
        let late = record(&fixture(name), "none");
        let shares = [&early, &late].map(|recording| {
            // By default pprof cuts the names that it finds itself.
            let rows = top(&google, &["-symbolize=demangle=full"], &[&recording.path]);
            let total = recording.profile().total_count() as f64;
            rows.into_iter()
                .map(|(function, count)| (function, count as f64 / total))
                .filter(|(_, share)| *share > 0.05)
                .collect::<BTreeMap<_, _>>()
        });
        let functions = shares
            .each_ref()
            .map(|rows| rows.keys().cloned().collect::<Vec<_>>());
        assert!(!functions[0].is_empty(), "{name}");
        // Two runs: a function at the edge of what is compared may be on either side of it.
        for (these, those) in [(&shares[0], &shares[1]), (&shares[1], &shares[0])] {
            for (function, share) in these.iter().filter(|(_, share)| **share > 0.15) {
                let other = those.get(function).copied().unwrap_or(0.0);
                assert!(
                    (share - other).abs() < 0.15,
                    "{name}: {function}: {share:.2} and {other:.2}\n{shares:#?}"
                );
            }
        }
    }
}

/// The same samples, named by the profiler and by google/pprof, have the same functions at the same addresses.
#[test]
fn the_same_names_for_the_same_addresses() {
    let Some(_turn) = shared() else { return };
    let google = Pprof::google().unwrap();
    for name in ["spin-fp", "spin-nopie-fp", "spin-lld-fp"] {
        let recording = record(&fixture(name), "full");
        let path = fixture(name);
        let mut message = recording.profile().message().clone();
        for mapping in &mut message.mapping {
            mapping.has_functions = false;
            mapping.has_filenames = false;
            mapping.has_line_numbers = false;
            mapping.has_inline_frames = false;
        }
        for location in &mut message.location {
            location.line.clear();
        }
        let folder = tempfile::tempdir().unwrap();
        let stripped = folder.path().join("stripped.pb");
        fs::write(&stripped, prost::Message::encode_to_vec(&message)).unwrap();
        let named = [&recording.path, &stripped].map(|profile| {
            let printed = google.run([Path::new("-raw"), profile]).unwrap();
            Raw::parse(&printed.stdout).unwrap()
        });
        for (ours, theirs) in named[0].locations.iter().zip(&named[1].locations) {
            assert_eq!(ours.address, theirs.address);
            if ours.mapping != Some(1) {
                continue;
            }
            let lines = [ours, theirs].map(|location| {
                let lines = location.lines.iter();
                lines
                    .map(|line| (line.function.clone(), line.line))
                    .collect::<Vec<_>>()
            });
            assert_eq!(lines[0], lines[1], "{} {:#x}", path.display(), ours.address);
        }
    }
}

/// A profile without names is named where neither program nor path exist, by a folder of binaries sorted by build-id
/// (PR-04).
#[test]
fn named_on_another_machine() {
    let Some(_turn) = shared() else { return };
    for name in ["spin-fp", "spin-lld-fp", "phases-rust-fp"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        copy_program(&fixture(name), &path);
        let recording = record(&path, "none");
        let id = build_id(&path).unwrap();
        let by_id = folder.path().join("binaries").join(id);
        fs::create_dir_all(&by_id).unwrap();
        fs::rename(&path, by_id.join("program")).unwrap();

        let google = Pprof::google().unwrap();
        let nameless = top(&google, &[], &[&recording.path]);
        assert!(nameless.contains_key("[program]"), "{nameless:#?}");
        let binaries = folder.path().join("binaries");
        let rows = top(&google.with_binary_path(&binaries), &[], &[&recording.path]);
        let nameless = rows.get("[program]").copied().unwrap_or(0);
        let total = recording.profile().total_count() as u64;
        assert!(20 * nameless <= total, "{nameless} of {total}: {rows:#?}");

        // `go tool pprof` takes the binary as an argument.
        let go = Pprof::current_go().unwrap();
        let rows = top(&go, &[], &[&by_id.join("program"), &recording.path]);
        let function = if name.starts_with("spin") {
            "leaf"
        } else {
            "generic"
        };
        assert!(rows.contains_key(function), "{rows:#?}");
    }
}

/// The same program profiled twice differs, but reading and writing a profile changes nothing that a reader sees.
#[test]
fn survives_being_rewritten() {
    let Some(_turn) = shared() else { return };
    let recording = record(&fixture("spin-fp"), "full");
    let folder = tempfile::tempdir().unwrap();
    for pprof in Pprof::all().unwrap() {
        let rewritten = folder.path().join("rewritten.pb.gz");
        pprof.merge(&[&recording.path], &rewritten).unwrap();
        let (before, after) = (
            pprof.raw(&recording.path).unwrap(),
            pprof.raw(&rewritten).unwrap(),
        );
        assert_eq!(
            before.samples.len(),
            after.samples.len(),
            "{}",
            pprof.name()
        );
        let labels = |raw: &Raw| {
            let mut labels: Vec<_> = raw
                .samples
                .iter()
                .map(|sample| sample.labels.clone())
                .collect();
            labels.sort();
            labels
        };
        assert_eq!(labels(&before), labels(&after), "{}", pprof.name());
    }
    let count = Stacks::of(&check_profile(recording.bytes.as_ref().unwrap()).unwrap()).count();
    assert!(count > 0);
}

/// Real profiles of different programs are merged as pprof's programs merge them.
#[test]
fn our_merge_of_recordings_is_theirs() {
    let Some(_turn) = shared() else { return };
    let names = ["spin-fp", "spin-fp", "phases-cpp-fp", "spin-nobuildid-fp"];
    let recordings = names.map(|name| record(&fixture(name), "full"));
    check_merge(&recordings.each_ref().map(|recording| &*recording.path));
}
