//! What people do with a profile: `go tool pprof -top`, `-traces`, `-list`, `-disasm`, `-raw`, on every kind of program.

use std::path::Path;

use crate::harness::{Recorder, Recording, Target, build_id, fixture, shared};
use crate::pprof_tools::Pprof;

/// A program and what its reports have to show.
struct Program {
    name: &'static str,
    /// Functions that are called.
    functions: &'static [&'static str],
    /// The function whose source to list, and a part of a line of it that uses the CPU.
    source: Option<(&'static str, &'static str)>,
    /// Symbols to disassemble, mangled as Go's pprof matches them or not as google's does.
    disassembled: &'static str,
    /// Whether Go 1.19 can disassemble it: it cannot do position-independent programs (<https://go.dev/issue/46639>).
    old_go_disassembles: bool,
}

const SPIN: &[&str] = &["leaf", "middle", "work_a", "work_b", "outer", "main"];
/// The lines of the function that is inlined into `leaf`. When a location of a program has no name, `go tool pprof`
/// names all of them again by itself, without inlined calls, and then these lines are `leaf`'s.
const SPIN_SOURCE: Option<(&str, &str)> = Some(("^(leaf|mix)$", "value ^"));

const PROGRAMS: [Program; 9] = [
    spin("spin-fp", SPIN_SOURCE, false),
    spin("spin-nopie-fp", SPIN_SOURCE, true),
    spin("spin-lld-fp", SPIN_SOURCE, false),
    spin("spin-lld-nopie-fp", SPIN_SOURCE, true),
    spin("spin-static-fp", SPIN_SOURCE, true),
    spin("spin-nodebug-fp", None, false),
    Program {
        name: "phases-cpp-fp",
        functions: &["shapes::Mixer", "shapes::scale", "shapes::with_lambda"],
        source: Some(("shapes::scale", "value = (value ^ (value >> 9)) * Factor")),
        disassembled: "shapes(::|5)scale",
        old_go_disassembles: false,
    },
    Program {
        name: "phases-rust-fp",
        functions: &[
            "<phases::Mixer as phases::Worker>::run",
            "<u32 as phases::Number>::step",
            "phases::apply",
        ],
        source: Some(("phases::Number", "(self ^ (self >> 9)).wrapping_mul(33)")),
        disassembled: "phases(::|7)generic",
        old_go_disassembles: false,
    },
    Program {
        name: "phases-go",
        functions: &["main.leaf", "main.workA", "main.workB", "main.outer"],
        source: Some(("main.(leaf|mix)", "value ^")),
        disassembled: "main.leaf",
        old_go_disassembles: true,
    },
];

const fn spin(
    name: &'static str,
    source: Option<(&'static str, &'static str)>,
    old_go_disassembles: bool,
) -> Program {
    Program {
        name,
        functions: SPIN,
        source,
        disassembled: "leaf",
        old_go_disassembles,
    }
}

fn check(program: &Program) {
    let target = Target::waiting(program.name, "0.5");
    let pid = target.pid.to_string();
    let (recording, _) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    recording.profile();
    for pprof in Pprof::all().unwrap() {
        check_raw(&pprof, program, &recording);
        check_functions(&pprof, program, &recording.path);
        if let Some((function, line)) = program.source {
            check_list(&pprof, function, line, &recording.path);
        }
    }
    let mut disassemblers = vec![Pprof::current_go().unwrap(), Pprof::google().unwrap()];
    if program.old_go_disassembles {
        disassemblers.push(Pprof::installed_go());
    }
    for pprof in disassemblers {
        check_disasm(&pprof, program, &recording.path);
    }
}

/// What was written is what is read: header, main binary, types, labels (PR-01, PR-11).
fn check_raw(pprof: &Pprof, program: &Program, recording: &Recording) {
    let raw = pprof.raw(&recording.path).unwrap();
    let header = raw.header.join("\n");
    for part in [
        "PeriodType: cpu nanoseconds",
        "Period: 1003009",
        "Time: ",
        "Duration: ",
    ] {
        assert!(
            header.contains(part),
            "{}: no {part:?} in\n{header}",
            pprof.name()
        );
    }
    assert_eq!(raw.sample_types, ["samples/count", "cpu/nanoseconds[dflt]"]);
    let path = fixture(program.name);
    assert_eq!(Path::new(&raw.mappings[0].file), path);
    assert_eq!(raw.mappings[0].id, 1);
    if program.name != "phases-go" {
        assert_eq!(Some(&raw.mappings[0].build_id), build_id(&path).as_ref());
    }
    for sample in &raw.samples {
        for label in ["pid", "tid", "comm", "thread"] {
            assert!(
                sample.labels.contains_key(label),
                "no {label} in {sample:?}"
            );
        }
    }
}

fn check_functions(pprof: &Pprof, program: &Program, profile: &Path) {
    let reports = [
        pprof.top(&[], &[profile]).unwrap().stdout,
        pprof.traces(&[], &[profile]).unwrap().stdout,
    ];
    for report in reports {
        for function in program.functions {
            assert!(
                report.contains(function),
                "{}: {}: no {function} in\n{report}",
                pprof.name(),
                program.name
            );
        }
        let file = format!("File: {}\n", program.name);
        assert!(report.contains(&file), "{}: {report}", pprof.name());
    }
}

/// A line of the function's source stands beside a time that is not nothing.
fn check_list(pprof: &Pprof, function: &str, line: &str, profile: &Path) {
    let list = pprof.list(function, &[], &[profile]).unwrap().stdout;
    let timed = |text: &str| {
        let mut times = text.split_whitespace().take(2);
        text.contains(line) && times.any(|time| time.ends_with("ms"))
    };
    assert!(
        list.lines().any(timed),
        "{}: {line:?} has no time in\n{list}",
        pprof.name()
    );
}

/// Instructions of the function have times that are not nothing.
fn check_disasm(pprof: &Pprof, program: &Program, profile: &Path) {
    // google/pprof as Debian has it finds the base of a binary by the first address that it comes across in a random
    // order, which may be of another mapping (`nodesPerSymbol`, `ObjAddr`): so only the function's are left in.
    let show = format!("-show={}", program.disassembled);
    let disasm = pprof.disasm(program.disassembled, &[&show], &[profile]);
    let disasm = disasm
        .unwrap_or_else(|error| panic!("{}: {error:#}", program.name))
        .stdout;
    let timed = disasm.lines().filter(|line| {
        let mut fields = line.split_whitespace();
        let (flat, _, address) = (fields.next(), fields.next(), fields.next());
        flat.is_some_and(|flat| flat.ends_with("ms"))
            && address.is_some_and(|address| address.ends_with(':'))
    });
    assert!(
        timed.count() > 0,
        "{}: {}:\n{disasm}",
        pprof.name(),
        program.name
    );
}

/// Every report of every pprof shows the functions of a C program, however it is linked.
#[test]
fn c_programs() {
    let Some(_turn) = shared() else { return };
    PROGRAMS[..6].iter().for_each(check);
}

/// Every report of every pprof shows the functions of programs in C++, Rust and Go; generic names are whole (PR-08).
#[test]
fn programs_in_other_languages() {
    let Some(_turn) = shared() else { return };
    PROGRAMS[6..].iter().for_each(check);
}
