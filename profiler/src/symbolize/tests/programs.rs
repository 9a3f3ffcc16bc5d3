//! Functions, lines and inlined calls of programs in C, C++ and Rust.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::super::{Detail, Miss, Named, Options, Source, Symbolizer};
use super::workshop::{Workshop, addr2line, addresses, frames, names, own};
use crate::addr::ElfAddr;
use crate::binary::Binary;

const LEGACY: [&str; 2] = ["-Csymbol-mangling-version=legacy", "-Zunstable-options"];
const V0: &str = "-Csymbol-mangling-version=v0";

/// Compares every frame of every address with addr2line's, which reads `reference`.
fn check(program: &Path, reference: &Path, options: Options, deepest: usize) {
    let addresses = addresses(reference, own);
    let expected = addr2line(reference, &addresses);
    let found = names(program, Detail::Full, options, &addresses);
    for ((address, expected), found) in addresses.iter().zip(&expected).zip(&found) {
        assert_eq!(
            &frames(found),
            expected,
            "{address:?} of {}",
            program.display()
        );
    }
    let depth = found.iter().flatten().map(Vec::len).max();
    assert_eq!(
        depth,
        Some(deepest),
        "inlined calls of {}",
        program.display()
    );
}

/// Functions, full paths, lines and inlined calls agree with addr2line, however a program is built and linked.
#[test]
fn programs_with_debug_information() {
    let workshop = Workshop::new();
    let cases: [(&str, &[&str], usize); 10] = [
        ("inlined.c", &["-g"], 3),
        ("inlined.c", &["-g", "-O2"], 3),
        ("inlined.c", &["-g", "-O2", "-gdwarf-4"], 3),
        ("inlined.c", &["-g", "-O2", "-gz"], 3),
        ("inlined.c", &["-g", "-O2", "-no-pie"], 3),
        ("split.c", &["-g", "-O2"], 1),
        ("templates.cc", &["-g"], 1),
        ("templates.cc", &["-g", "-O2"], 1),
        ("generics.rs", &["-g", "-O", LEGACY[0], LEGACY[1]], 3),
        ("generics.rs", &["-g", "-O", V0], 3),
    ];
    for (number, (source, flags, deepest)) in cases.into_iter().enumerate() {
        let program = workshop.build(source, &format!("program{number}"), flags);
        check(&program, &program, workshop.options(), deepest);
    }
}

/// Generic Rust functions keep all of their name in both manglings, also where debug information has lines only
/// and calls the function by its bare name.
#[test]
fn rust_names_are_whole() {
    let workshop = Workshop::new();
    let cases: [(&[&str], &str); 2] = [
        (&LEGACY, "<generics::Wrapped<T> as generics::Spin>::spin"),
        (
            &[V0, "-Cdebuginfo=line-tables-only"],
            "<generics::Wrapped<u8> as generics::Spin>::spin",
        ),
    ];
    for (number, (flags, name)) in cases.into_iter().enumerate() {
        let program = workshop.build("generics.rs", &format!("program{number}"), flags);
        let addresses = addresses(&program, |symbol| {
            symbol.contains("4spin") && symbol.contains("Wrapped")
        });
        let answers = names(&program, Detail::Full, workshop.options(), &addresses);
        for answer in &answers {
            let outermost = answer.as_ref().unwrap().last().unwrap();
            assert!(
                outermost.system_name.starts_with("_R") || outermost.system_name.starts_with("_ZN")
            );
        }
        let found = |answer: &Named| answer.as_ref().unwrap().last().unwrap().name == name;
        assert!(answers.iter().any(found), "{flags:?}: {:?}", answers.last());
    }
}

/// Names of C++ functions are those that c++filt gives.
#[test]
fn cpp_names_are_demangled() {
    let workshop = Workshop::new();
    let program = workshop.build("templates.cc", "program", &[]);
    let addresses = addresses(&program, own);
    for answer in names(&program, Detail::Full, workshop.options(), &addresses) {
        let function = &answer.unwrap()[0];
        let expected = workshop.run("c++filt", &[&function.system_name]);
        assert_eq!(function.name, expected.trim_end());
        assert_eq!((function.file.as_str(), function.line), ("", 0));
    }
}

/// With functions only, the outermost function is named from the symbol table, and nothing else is said.
#[test]
fn functions_only() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let addresses = addresses(&program, own);
    let full = names(&program, Detail::Full, workshop.options(), &addresses);
    let functions = names(&program, Detail::Functions, workshop.options(), &addresses);
    for (full, functions) in full.iter().zip(&functions) {
        let outermost = frames(full).pop().unwrap();
        assert_eq!(frames(functions), [(outermost.0, String::new(), 0)]);
    }
    let none = names(&program, Detail::None, workshop.options(), &addresses);
    assert_eq!(none, vec![Err(Miss::NotAsked); addresses.len()]);
}

/// Answers are in the order of the questions, repeated ones included, and do not depend on how often the file is
/// reopened to bound memory.
#[test]
fn order_and_reopening_change_nothing() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let sorted = addresses(&program, own);
    let expected = names(&program, Detail::Full, workshop.options(), &sorted);
    let shuffle = |index: usize| index * 7919 % sorted.len();
    let count = 3 * sorted.len();
    let shuffled: Vec<ElfAddr> = (0..count).map(|index| sorted[shuffle(index)]).collect();
    let reopening = Options {
        memory_limit: 0,
        ..workshop.options()
    };
    for options in [workshop.options(), reopening] {
        let found = names(&program, Detail::Full, options, &shuffled);
        for (index, found) in found.iter().enumerate() {
            assert_eq!(found, &expected[shuffle(index)]);
        }
    }
}

/// A stub in `.plt` is not taken for the `_init` before it, and what no symbol covers is a miss with that reason.
#[test]
fn symbols_do_not_reach_into_other_sections() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let headers = workshop.run("readelf", &["-SW", "program"]);
    let plt = headers
        .lines()
        .find(|line| line.contains(" .plt "))
        .unwrap();
    let address = plt
        .split_ascii_whitespace()
        .find(|field| field.len() == 16)
        .unwrap();
    let address = ElfAddr(u64::from_str_radix(address, 16).unwrap());
    let asked = [address, ElfAddr(u64::MAX), ElfAddr(0)];
    for detail in [Detail::Full, Detail::Functions] {
        let answers = names(&program, detail, workshop.options(), &asked);
        assert_eq!(answers, vec![Err(Miss::NoSymbol); 3]);
    }
}

/// Stubs have the names that binutils give them, whatever kind the linker made, and of C++ and without symbols too.
#[test]
fn stubs_of_calls() {
    let workshop = Workshop::new();
    let cases: [(&str, &[&str]); 6] = [
        ("calls.c", &["-O2", "-Wl,-z,lazy"]),
        ("calls.c", &["-O2", "-Wl,-z,now"]),
        ("calls.c", &["-O2", "-no-pie"]),
        ("calls.c", &["-O2", "-fcf-protection", "-Wl,-z,ibtplt"]),
        ("calls.c", &["-O2", "-s"]),
        ("calls.cc", &["-O2"]),
    ];
    for (number, (source, flags)) in cases.into_iter().enumerate() {
        let output = format!("program{number}");
        let program = workshop.build(source, &output, flags);
        let listing = workshop.run("objdump", &["-d", "--no-show-raw-insn", &output]);
        // `0000000000001030 <strlen@plt>:`, and in the first table of two that of what looks the function up.
        let headings = listing.lines().filter_map(|line| {
            let (start, name) = line.strip_suffix("@plt>:")?.split_once(" <")?;
            Some((u64::from_str_radix(start, 16).ok()?, name))
        });
        let expected: Vec<(u64, &str)> = headings.collect();
        assert!(expected.len() >= 3, "{flags:?}: {listing}");
        for (start, name) in expected {
            let asked = [start, start + 5].map(ElfAddr);
            let for_people = match name {
                "_Znwm" => "operator new(unsigned long)",
                _ if name.starts_with("_Z") => "",
                _ => name,
            };
            for detail in [Detail::Full, Detail::Functions] {
                for answer in names(&program, detail, workshop.options(), &asked) {
                    let function = &answer.unwrap()[0];
                    assert_eq!(function.system_name, format!("{name}@plt"), "{flags:?}");
                    assert!(function.name.ends_with("@plt"), "{}", function.name);
                    assert!(function.name.starts_with(for_people), "{}", function.name);
                }
            }
        }
    }
}

/// The stub of a function that is selected when the program starts has the name of that function.
#[test]
fn stubs_of_selected_functions() {
    let workshop = Workshop::new();
    for flags in [&["-O2"][..], &["-O2", "-g"], &["-O2", "-no-pie"]] {
        let program = workshop.build("selected.c", "program", flags);
        let listing = workshop.run("objdump", &["-d", "program"]);
        // `1139: e8 f2 fe ff ff  call 1030 <*ABS*+0x1126@plt>`.
        let call = listing
            .lines()
            .skip_while(|line| !line.ends_with("<main>:"))
            .find_map(|line| line.split_once("call ")?.1.trim_start().split_once(" <"));
        let address = u64::from_str_radix(call.unwrap().0, 16).unwrap();
        let asked = [ElfAddr(address)];
        let answers = names(&program, Detail::Full, workshop.options(), &asked);
        let function = &answers[0].as_ref().unwrap()[0];
        assert!(
            ["twice@plt", "select_twice@plt"].contains(&function.name.as_str()),
            "{flags:?}: {function:?}"
        );
        assert_eq!((function.file.as_str(), function.line), ("", 0));
    }
}

/// A file that was deleted after it was opened is named like before.
#[test]
fn deleted_file() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let addresses = addresses(&program, own);
    let expected = names(&program, Detail::Full, workshop.options(), &addresses);
    let source = Source::Binary(Arc::new(Binary::open(&program).unwrap()));
    fs::remove_file(&program).unwrap();
    fs::write(&program, "another file has taken the name").unwrap();
    let found = Symbolizer::new(Detail::Full, workshop.options()).symbolize(&source, &addresses);
    assert_eq!(found, expected);
}

/// The vDSO's functions are named from its image, of which no process has a file.
#[test]
fn vdso() {
    let workshop = Workshop::new();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
    let (start, rest) = line.split_once('-').unwrap();
    let (end, _) = rest.split_once(' ').unwrap();
    let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
    let mut image = vec![0; usize::try_from(end - start).unwrap()];
    let mut memory = fs::File::open("/proc/self/mem").unwrap();
    memory.seek(SeekFrom::Start(start)).unwrap();
    memory.read_exact(&mut image).unwrap();
    fs::write(workshop.path("vdso"), image).unwrap();

    let symbols = workshop.run("nm", &["-D", "vdso"]);
    let symbol = symbols
        .lines()
        .find(|line| line.ends_with("clock_gettime@@LINUX_2.6"))
        .unwrap();
    let address = ElfAddr(u64::from_str_radix(&symbol[..16], 16).unwrap() + 1);
    let answer = names(
        &workshop.path("vdso"),
        Detail::Full,
        workshop.options(),
        &[address],
    );
    assert!(
        answer[0].as_ref().unwrap()[0]
            .name
            .ends_with("clock_gettime"),
        "{answer:?}"
    );
}
