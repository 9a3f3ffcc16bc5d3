//! One walk: of a recursion, for the price of a frame, and of a compiler, deep and cold.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::pair::{self, FREQUENCY, Pair};
use super::{Plan, goal, median};
use crate::bench::background::Background;
use crate::bench::target::Target;
use crate::bench::workload::compile;
use crate::{command, workspace};

/// Depths of the recursion; the kernel's own walk ends at 127 frames.
const DEPTHS: [u32; 2] = [30, 110];

/// How the recursion is compiled: with frame pointers for both walks, and without, for the tables alone.
const COMPILED: [(&str, &str); 2] = [
    ("recursion-fp", "-fno-omit-frame-pointer"),
    ("recursion", "-fomit-frame-pointer"),
];

/// How long a compiler works before it is recorded: it reads its libraries first.
const WARM_UP: Duration = Duration::from_millis(1500);

/// Functions of the program that is compiled; enough for some ten seconds.
const FUNCTIONS: usize = 2500;

/// Compiles the recursion, with and without frame pointers.
pub(super) fn build() -> Result<[PathBuf; 2]> {
    let build = |(output, frame_pointers)| {
        let options = ["-O2", "-g", "-Wall", "-Wextra", "-pthread"];
        let command = [
            &["gcc"],
            &options[..],
            &[frame_pointers, "recursion.c", "-o"],
        ];
        compile(&command.concat(), output)
    };
    Ok([build(COMPILED[0])?, build(COMPILED[1])?])
}

/// Measures and tells.
pub(super) fn measure(plan: &Plan) -> Result<String> {
    let programs = build()?;
    let idle = pair::idle(plan)?;
    let mut measured: Vec<(&str, u32, Vec<Pair>)> = Vec::new();
    for round in 0..plan.rounds {
        for ((program, _), path) in COMPILED.iter().zip(&programs) {
            for depth in DEPTHS {
                eprintln!(
                    "walks: round {} of {}: {program} {depth}",
                    round + 1,
                    plan.rounds
                );
                let target = Target::start(Command::new(path).arg(depth.to_string()))?;
                let pair = pair::record(plan, target.pid)?;
                match measured
                    .iter_mut()
                    .find(|all| (all.0, all.1) == (*program, depth))
                {
                    Some(all) => all.2.push(pair),
                    None => measured.push((program, depth, vec![pair])),
                }
            }
        }
    }
    let mut compiler = Vec::new();
    for round in 0..plan.rounds {
        eprintln!("walks: round {} of {}: rustc", round + 1, plan.rounds);
        compiler.push(beside_rustc(plan)?);
    }
    Ok(text(&idle, &measured, &compiler))
}

fn text(idle: &Pair, measured: &[(&str, u32, Vec<Pair>)], compiler: &[Pair]) -> String {
    let mut text = format!(
        "\n## One walk\n\nBoth sampling programs at once on the same process at {FREQUENCY} Hz, kernel stacks off; nanoseconds of the \
         whole BPF program per sample by the kernel's own statistics, less what a tick without a sample takes ({:.0} and {:.0} ns); medians. \
         `bpf_get_stack` sees one frame where there are no frame pointers.\n\n\
         | program | frames | tables ns | bpf_get_stack: frames | ns | ratio |\n| --- | --- | --- | --- | --- | --- |\n",
        idle.tables.runs.ns_per_run(),
        idle.frame_pointers.runs.ns_per_run(),
    );
    let mut row = |name: &str, pairs: &[Pair]| {
        let of =
            |figure: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(figure)).unwrap_or(f64::NAN);
        let tables = of(&|pair| pair.tables.per_sample(&idle.tables));
        let kernel = of(&|pair| pair.frame_pointers.per_sample(&idle.frame_pointers));
        let frames = of(&|pair| pair.tables.frames);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {frames:.1} | {tables:.0} | {:.1} | {kernel:.0} | {:.2} |",
            of(&|pair| pair.frame_pointers.frames),
            tables / kernel,
        );
        (frames, tables, tables / kernel)
    };
    let recursions: Vec<_> = measured
        .iter()
        .map(|(program, depth, pairs)| row(&format!("{program}, {depth} deep"), pairs))
        .collect();
    let (_, rustc, _) = row("rustc -O", compiler);
    let slope = |from: usize| {
        let (low, high) = (recursions.get(from)?, recursions.get(from + 1)?);
        Some((high.1 - low.1) / (high.0 - low.0))
    };
    text += "\n";
    text += &goal(
        "at 30 frames, of the cost with bpf_get_stack",
        recursions.first().map(|all| all.2),
        0.75,
        "times",
    );
    text += &goal(
        "each further frame, with frame pointers",
        slope(0),
        45.0,
        "ns",
    );
    text += &goal(
        "each further frame, without",
        slope(DEPTHS.len()),
        45.0,
        "ns",
    );
    text += &goal("in a rustc job", Some(rustc / 1e3), 8.0, "µs");
    text
}

fn beside_rustc(plan: &Plan) -> Result<Pair> {
    let source = super::below(plan, "compiled")?.join("compiled.rs");
    std::fs::write(&source, program(FUNCTIONS))?;
    let sysroot = command::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let mut how = Command::new(format!("{}/bin/rustc", sysroot.trim()));
    how.args([
        "-O",
        "--crate-type",
        "lib",
        "--emit",
        "obj",
        "-C",
        "codegen-units=1",
        "-o",
    ])
    .arg(source.with_extension("o"))
    .arg(&source)
    .current_dir(workspace::target());
    let mut compiler = Background::start(&mut how)?;
    std::thread::sleep(WARM_UP);
    let pair = pair::record(plan, compiler.pid())?;
    if let Some(status) = compiler.0.try_wait()? {
        eprintln!("rustc was done before the recording was: {status}");
    }
    Ok(pair)
}

/// Something that takes a compiler a while: generics, closures, formatting and maps.
pub(in crate::bench) fn program(functions: usize) -> String {
    let mut text = "use std::collections::HashMap;\n".to_owned();
    for number in 0..functions {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "pub fn f{number}(words: &[String], map: &mut HashMap<String, Vec<u{width}>>) -> Option<String> {{\n\
             let chosen: Vec<&String> = words.iter().filter(|word| word.len() > {number}).collect();\n\
             for (index, word) in chosen.iter().enumerate() {{\n\
             map.entry(format!(\"{{word}}-{number}\")).or_default().push(index as u{width});\n}}\n\
             chosen.iter().map(|word| word.chars().rev().collect::<String>()).max_by_key(|word| word.len() % {modulus})\n}}",
            width = [8, 16, 32, 64][number % 4],
            modulus = number + 1,
        );
    }
    text
}
