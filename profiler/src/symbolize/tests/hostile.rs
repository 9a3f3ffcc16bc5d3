//! Files that are not what they claim to be.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::{
    Detail, Miss, Named, Options, Source, Symbolizer, guard, silence_caught_panics,
};
use super::workshop::{Workshop, addresses, names, own};
use crate::addr::ElfAddr;
use crate::binary::Binary;

/// Files that are no ELF files, or end early, are misses that say so.
#[test]
fn garbage() {
    let workshop = Workshop::new();
    let program = fs::read(workshop.build("inlined.c", "program", &["-g", "-O2"])).unwrap();
    let file = workshop.path("file");
    let half_a_header = &program[..40];
    let half_a_file = &program[..program.len() / 2];
    for content in [
        &b""[..],
        b"\x7fELF",
        b"#!/bin/sh\n",
        half_a_header,
        half_a_file,
    ] {
        for detail in [Detail::Full, Detail::Functions] {
            let binary = overwritten(&file, &program, content);
            let source = Source::Binary(binary);
            let answers = Symbolizer::new(detail, workshop.options())
                .symbolize(&source, &[ElfAddr(0x1139), ElfAddr(1)]);
            assert!(
                answers.iter().all(is_unreadable),
                "{} bytes: {answers:?}",
                content.len()
            );
        }
    }
}

/// A binary that was sound when it was opened and has another content since.
fn overwritten(file: &Path, sound: &[u8], content: &[u8]) -> Arc<Binary> {
    fs::write(file, sound).unwrap();
    let binary = Binary::open(file).unwrap();
    fs::write(file, content).unwrap();
    Arc::new(binary)
}

fn is_unreadable(answer: &Named) -> bool {
    matches!(answer, Err(Miss::Unreadable(reason)) if !reason.is_empty())
}

/// A section that claims to be gigantic when unpacked is a miss, not the end of the process.
#[test]
fn compressed_section_that_lies() {
    let workshop = Workshop::new();
    let path = workshop.build("inlined.c", "program", &["-g", "-O2", "-gz"]);
    let headers = workshop.run("readelf", &["-SW", "program"]);
    let section = headers
        .lines()
        .find(|line| line.contains(" .debug_info "))
        .unwrap();
    let offset = section
        .split(" PROGBITS ")
        .nth(1)
        .unwrap()
        .split_ascii_whitespace()
        .nth(1)
        .unwrap();
    let header = usize::from_str_radix(offset, 16).unwrap();
    let mut program = fs::read(&path).unwrap();
    // `ch_size` of `Elf64_Chdr` (elf(5)): enough to fail to allocate, which Rust answers with an abort.
    program[header + 8..header + 16].copy_from_slice(&(1_u64 << 46).to_le_bytes());
    fs::write(&path, program).unwrap();
    let answers = names(&path, Detail::Full, workshop.options(), &[ElfAddr(0x1139)]);
    assert!(is_unreadable(&answers[0]), "{answers:?}");
}

/// Debug information that would take more memory than allowed when unpacked costs the lines, not the names.
#[test]
fn compressed_beyond_the_limit() {
    let workshop = Workshop::new();
    let path = workshop.build("inlined.c", "program", &["-g", "-O2", "-gz"]);
    let addresses = addresses(&path, own);
    let options = Options {
        memory_limit: 100,
        ..workshop.options()
    };
    for answer in names(&path, Detail::Full, options, &addresses) {
        let functions = answer.unwrap();
        assert_eq!((functions.len(), functions[0].line), (1, 0));
    }
}

/// A panic is turned into its message, and does not reach the caller.
#[test]
fn panics_are_caught() {
    silence_caught_panics();
    assert_eq!(guard::catch(|| 1), Ok(1));
    assert_eq!(
        guard::catch(|| panic!("plain")),
        Err::<(), _>("plain".to_owned())
    );
    assert_eq!(
        guard::catch(|| panic!("number {}", 1)),
        Err::<(), _>("number 1".to_owned())
    );
}

/// However a file is damaged, every address gets an answer, and the damage costs no other file.
#[test]
fn damaged() {
    silence_caught_panics();
    let workshop = Workshop::new();
    let path = workshop.build("inlined.c", "program", &["-g", "-O2", "-gz"]);
    let addresses: Vec<ElfAddr> = addresses(&path, own).into_iter().step_by(5).collect();
    let whole = fs::read(&path).unwrap();
    let sound = names(&path, Detail::Full, workshop.options(), &addresses);
    let file = workshop.path("file");
    // xorshift64 (Marsaglia, "Xorshift RNGs"): the same damage in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut differing = 0;
    for round in 0..400 {
        let mut damaged = whole.clone();
        // The headers of file and sections are where a little damage does most.
        let headers = damaged.len() - 2500;
        for _ in 0..=random(8) {
            let position = match round % 4 {
                0 => random(64),
                1 => headers + random(2500),
                _ => random(damaged.len()),
            };
            damaged[position] = u8::try_from(random(256)).unwrap();
        }
        damaged.truncate(
            whole.len()
                - if round % 5 == 0 {
                    random(whole.len())
                } else {
                    0
                },
        );
        let source = Source::Binary(overwritten(&file, &whole, &damaged));
        let answers =
            Symbolizer::new(Detail::Full, workshop.options()).symbolize(&source, &addresses);
        assert_eq!(answers.len(), addresses.len());
        differing += usize::from(answers != sound);
    }
    assert!(
        differing > 100,
        "only {differing} files were damaged so that it shows"
    );
    assert_eq!(
        names(&path, Detail::Full, workshop.options(), &addresses),
        sound
    );
}
