//! Whole stacks of real programs, against what libgcc says about the same ones.
//!
//! A program is run one instruction at a time, so that each place in prologues, epilogues, linkage tables, the
//! dynamic loader, the vDSO and a signal handler is met. A compiler that is missing fails the test.

use std::fs;
use std::path::Path;
use std::process::Command;

use profiler_common::{Registers, Rule, Stop};

use super::{Rows, Stack, for_binary, walk};
use crate::addr::{CodeAddr, ElfAddr, ProcAddr};
use crate::binary::Binary;

/// The bytes below rsp that belong to a function (System V ABI for x86-64, section 3.2.2, "The Stack Frame").
///
/// gcc keeps the rule of a saved rbp when an epilogue has popped it, so that the walk reads it below rsp.
const RED_ZONE: u64 = 128;

/// One stop of the program, as `stepped.c` describes it.
struct Sample {
    interrupted: Registers,
    handler: Registers,
    memory: [(u64, Vec<u64>); 2],
    frames: Vec<u64>,
}

/// Executable mappings: start, end, load bias, rows.
struct Mapped(Vec<(u64, u64, u64, Rows)>);

impl Mapped {
    fn read(directory: &Path) -> Self {
        let maps = fs::read_to_string(directory.join("maps")).unwrap();
        Self(
            maps.lines()
                .filter_map(|line| mapped(directory, line))
                .collect(),
        )
    }

    fn rule(&self, address: ProcAddr) -> Rule {
        let mapping = self
            .0
            .iter()
            .find(|(start, end, ..)| (*start..*end).contains(&address.0));
        mapping.map_or(Rule::NO_MAPPING, |(_, _, bias, rows)| {
            rows.find(ElfAddr(address.0.wrapping_sub(*bias)))
        })
    }
}

/// `55d0…-55d1… r-xp 00001000 fe:00 1234   /tmp/…/stepped`
fn mapped(directory: &Path, line: &str) -> Option<(u64, u64, u64, Rows)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let (start, end) = fields[0].split_once('-').unwrap();
    let (start, end, offset) = (hex(start), hex(end), hex(fields[2]));
    if !fields[1].contains('x') || fields[5] == "[vsyscall]" {
        return None;
    }
    let binary = match fields[5] {
        "[vdso]" => {
            Binary::from_image(&fs::read(directory.join("vdso")).unwrap(), "[vdso]").unwrap()
        }
        path => Binary::open(path).unwrap(),
    };
    let first_page = |address: u64| address & !0xfff;
    let segment = binary
        .segments()
        .iter()
        .find(|segment| segment.executable && first_page(segment.offset.0) == offset);
    let bias = start.wrapping_sub(first_page(segment.unwrap().vaddr.0));
    Some((start, end, bias, for_binary(&binary).unwrap()))
}

fn read_samples(bytes: &[u8]) -> Vec<Sample> {
    let (words, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    let mut samples = Vec::new();
    while let Some(ip) = words.next() {
        let mut next = || words.next().unwrap();
        let interrupted = Registers::interrupted(ip, next(), next());
        let mut handler = Registers::interrupted(next(), next(), next());
        // Taken behind a call of getcontext.
        handler.after_call = 1;
        let mut list = || (0..next()).map(|_| next()).collect();
        samples.push(Sample {
            interrupted,
            handler,
            memory: [(handler.sp, list()), (interrupted.sp - RED_ZONE, list())],
            frames: list(),
        });
    }
    samples
}

impl Sample {
    fn walk(&self, registers: Registers, mapped: &Mapped) -> Stack {
        let mut memory = |address: u64| {
            let word = |(start, words): &(u64, Vec<u64>)| {
                let offset = address.checked_sub(*start)?;
                words
                    .get(usize::try_from(offset / 8).ok()?)
                    .copied()
                    .filter(|_| offset % 8 == 0)
            };
            self.memory.iter().find_map(word)
        };
        let rule_at = |registers: &Registers| mapped.rule(ProcAddr(registers.lookup()));
        walk(registers, 512, rule_at, &mut memory)
    }

    /// Whether the walk came to the end; if not, that must be for a rule that rows do not express.
    fn check(&self, mapped: &Mapped) -> bool {
        let [_, _, interrupted @ ..] = self.frames.as_slice() else {
            panic!("libgcc found {} frames only", self.frames.len());
        };
        let stack = self.walk(self.interrupted, mapped);
        let complete = check_stack(&stack, interrupted);
        let from_handler = self.walk(self.handler, mapped);
        check_stack(
            &Stack {
                frames: from_handler.frames[1..].to_vec(),
                ..from_handler
            },
            &self.frames[1..],
        );
        complete
    }
}

fn address(frame: CodeAddr) -> u64 {
    match frame {
        CodeAddr::Exact(address) | CodeAddr::Return(address) => address.0,
    }
}

/// The two may end at different places, but not tell different stories: libgcc ends where code is not described
/// (linkage tables of static programs), ours at a rule that rows do not express.
fn check_stack(stack: &Stack, expected: &[u64]) -> bool {
    let ours: Vec<u64> = stack.frames.iter().map(|frame| address(*frame)).collect();
    let complete = stack.stop == Stop::End;
    assert!(
        complete || stack.stop == Stop::UnsupportedRule,
        "{:?}: {ours:x?}, not {expected:x?}",
        stack.stop
    );
    let both = if complete { expected.len() } else { ours.len() };
    assert_eq!(ours.get(..both), expected.get(..both), "{:?}", stack.stop);
    complete
}

/// Steps through a program built like this, and compares all stacks; at least `least` % of them are complete.
fn check(flags: &[&str], stack: &str, least: usize) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("stepped");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/unwind/tests/stepped.c");
    let mut compile = Command::new("gcc");
    compile
        .args(flags)
        .arg("-o")
        .arg(&program)
        .arg(source)
        .arg("-lm");
    let status = compile.status().expect("this test needs gcc");
    assert!(status.success(), "{flags:?}");
    let mut run = Command::new(&program);
    run.arg(stack).current_dir(directory.path());
    assert!(run.status().unwrap().success(), "{flags:?}");

    let mapped = Mapped::read(directory.path());
    let samples = read_samples(&fs::read(directory.path().join("samples")).unwrap());
    let complete = samples
        .iter()
        .filter(|sample| sample.check(&mapped))
        .count();
    println!(
        "{flags:?}: {complete} of {} stacks are complete",
        samples.len()
    );
    assert!(samples.len() >= 5000, "only {} stacks", samples.len());
    assert!(
        100 * complete >= least * samples.len(),
        "{flags:?}: {complete} of {}",
        samples.len()
    );
}

/// Without frame pointers, at every instruction of functions of all shapes. What is not complete is in a realigning function,
/// between the instruction that puts the CFA into r10 and the one that saves it.
#[test]
fn without_frame_pointers() {
    check(&["-O2", "-fomit-frame-pointer", "-Wl,-z,now"], "same", 99);
}

/// With frame pointers, and signal handlers on a stack of their own. Without the realigning function: libgcc crashes
/// at the end of it if the caller needs its rbp.
#[test]
fn with_frame_pointers() {
    let flags = [
        "-O0",
        "-fno-omit-frame-pointer",
        "-Wl,-z,now",
        "-DWITHOUT_REALIGNMENT",
    ];
    check(&flags, "alternative", 100);
}

/// Functions that are bound at their first call: the dynamic loader's part of it has its CFA in rbx, which is not
/// followed, but what there is of those stacks is right.
#[test]
fn lazy_binding() {
    check(&["-O2", "-fomit-frame-pointer", "-Wl,-z,lazy"], "same", 50);
}

/// A static program: no loader, linkage tables that nothing describes.
#[test]
fn static_program() {
    check(
        &["-O2", "-fomit-frame-pointer", "-static"],
        "alternative",
        99,
    );
}
