//! Functions in stacks, for every language, linker and amount of debug information.

use crate::harness::{Recorder, Recording, Stacks, Target, fixture, shared};

/// CPU time that each program is given.
const SECONDS: &str = "0.6";
/// Not a divisor of what repeats in the programs.
const HZ: &str = "997";

/// Samples a fixture over all of its work.
fn record(name: &str, more: &[&str]) -> Recording {
    let target = Target::waiting(name, SECONDS);
    let pid = target.pid.to_string();
    let args = [&["-p", &pid, "-F", HZ], more].concat();
    let (recording, _) = Recorder::new(args).run_over(target);
    recording
}

/// Chains of calls, innermost first, and the least part of the samples that has each: well below the truth where phases
/// change in step with the samples, as they may once in a millisecond.
type Chains = &'static [(&'static [&'static str], f64)];

fn check(name: &str, chains: Chains) {
    let recording = record(name, &[]);
    let all = Stacks::of(&recording.profile());
    for (chain, least) in chains {
        let what = format!("{name}: {}", chain.join(" < "));
        all.calling(chain).assert_share(&all, *least, &what);
    }
}

/// 70 % and 30 % of the time, less what is lost to asking for the time.
const SPIN: Chains = &[
    (&["leaf", "middle", "work_a", "outer", "main"], 0.55),
    (&["leaf", "middle", "work_b", "outer", "main"], 0.2),
];

/// Whole stacks of a C program, however it is linked, with debug information and without (PI-02, PI-03, PI-04).
#[test]
fn c_stacks() {
    let Some(_turn) = shared() else { return };
    let variants = [
        "spin-fp",
        "spin-nodebug-fp",
        "spin-nopie-fp",
        "spin-lld-fp",
        "spin-lld-nopie-fp",
        "spin-static-fp",
        "spin-nobuildid-fp",
    ];
    for name in variants {
        check(name, SPIN);
    }
}

/// A program compiled without frame pointers has at least its innermost functions named.
#[test]
fn c_leaves() {
    let Some(_turn) = shared() else { return };
    for name in [
        "spin",
        "spin-nodebug",
        "spin-nopie",
        "spin-lld",
        "spin-static",
    ] {
        let recording = record(name, &[]);
        let all = Stacks::of(&recording.profile());
        all.in_leaf("leaf").assert_share(&all, 0.9, name);
    }
}

/// Names of C++ are demangled: methods, templates, lambdas in functions.
#[test]
fn cpp_stacks() {
    let Some(_turn) = shared() else { return };
    check(
        "phases-cpp-fp",
        &[
            (&["shapes::Mixer<unsigned long>::run", "main"], 0.12),
            (&["void shapes::scale<unsigned int, 33>", "main"], 0.12),
            (&["shapes::with_lambda", "main"], 0.12),
        ],
    );
}

/// Names of Rust are demangled, generics keep what stands in their brackets, and a closure is seen where it was
/// inlined.
#[test]
fn rust_stacks() {
    let Some(_turn) = shared() else { return };
    check(
        "phases-rust-fp",
        &[
            (
                &["<phases::Mixer as phases::Worker>::run", "phases::outer"],
                0.12,
            ),
            (&["phases::generic", "phases::outer"], 0.12),
            (
                &["phases::with_closure::{{closure}}", "phases::apply"],
                0.12,
            ),
        ],
    );
}

/// Go programs have whole stacks without further ado, with a GNU build-id and without.
#[test]
fn go_stacks() {
    let Some(_turn) = shared() else { return };
    for name in ["phases-go", "phases-go-gnuid"] {
        check(
            name,
            &[
                // Go gives a function that calls nothing no frame, which hides its caller from frame pointers.
                (&["main.leaf"], 0.9),
                (&["main.workA", "main.outer"], 0.5),
                (&["main.workB", "main.outer"], 0.15),
            ],
        );
    }
}

/// An inlined function is a line of its own in the location of the one it is inlined into, with file and line.
#[test]
fn inlined_functions() {
    let Some(_turn) = shared() else { return };
    let recording = record("spin-fp", &[]);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    let both = all.filter(|sample| {
        let leaf = &sample.stack[0];
        leaf.functions == ["mix", "leaf"]
    });
    both.assert_share(&all, 0.4, "mix in leaf");
    let message = profile.message();
    let inlined: Vec<_> = message
        .location
        .iter()
        .filter(|location| location.line.len() == 2)
        .collect();
    for location in inlined {
        let file_of = |id: u64| {
            let function = message
                .function
                .iter()
                .find(|function| function.id == id)
                .unwrap();
            profile.string(function.filename)
        };
        for line in &location.line {
            let file = file_of(line.function_id);
            assert!(
                file.ends_with("tests/programs/spin.c") && line.line > 0,
                "{file}:{}",
                line.line
            );
        }
    }
}

/// `--symbolize functions` has the functions but neither inlined ones nor lines, `none` has no name of a file's code.
#[test]
fn amounts_of_names() {
    let Some(_turn) = shared() else { return };
    let recording = record("spin-fp", &["--symbolize", "functions"]);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    all.calling(&["leaf", "middle"])
        .assert_share(&all, 0.8, "leaf < middle");
    assert_eq!(all.calling(&["mix"]).count(), 0, "{}", all.text());
    assert!(
        profile
            .message()
            .location
            .iter()
            .all(|location| location.line.len() <= 1)
    );

    let recording = record("spin-fp", &["--symbolize", "none"]);
    let profile = recording.profile();
    let path = fixture("spin-fp");
    let all = Stacks::of(&profile);
    let path = path.to_str().unwrap();
    all.through(path)
        .assert_share(&all, 0.95, "addresses in the program");
    let named = all.filter(|sample| {
        let in_files = sample.stack.iter().filter(|frame| {
            frame
                .file
                .as_deref()
                .is_some_and(|file| file.starts_with('/'))
        });
        in_files
            .into_iter()
            .any(|frame| !frame.functions.is_empty())
    });
    assert_eq!(named.count(), 0, "{}", named.text());
}

/// Frames of a stripped program have no name but a place, and the summary blames the program by name and build-id.
#[test]
fn stripped_program_is_blamed() {
    let Some(_turn) = shared() else { return };
    let recording = record("spin-stripped-fp", &[]);
    let profile = recording.profile();
    let path = fixture("spin-stripped-fp");
    let all = Stacks::of(&profile);
    all.through(path.to_str().unwrap())
        .assert_share(&all, 0.95, "addresses in the program");
    let id = crate::harness::build_id(&path).expect("it has one");
    let blamed = recording.summary()["frames_not_named"].as_array().unwrap();
    let reason = format!("stripped, no debug file for build-id {id}");
    let found = blamed
        .iter()
        .any(|blame| blame["binary"] == "spin-stripped-fp" && blame["reason"] == *reason);
    assert!(found, "{blamed:#?}");
}
