//! Readers that are kept from one call to the next: when they go, and that files may change in between.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::super::{Detail, Miss, Named, Options, Readers, Source, Symbolizer};
use super::workshop::{Workshop, addresses, frames, names, own};
use crate::addr::ElfAddr;
use crate::binary::Binary;

const PLENTY: u64 = 1 << 30;

/// Asks kept readers about a file.
struct Asker {
    readers: Readers,
    options: Options,
    addresses: Vec<ElfAddr>,
}

impl Asker {
    fn of(workshop: &Workshop, program: &Path, most_bytes: u64) -> Self {
        Self {
            readers: Readers::keeping(most_bytes),
            options: workshop.options(),
            addresses: addresses(program, own),
        }
    }

    fn ask(&mut self, binary: &Arc<Binary>) -> Vec<Named> {
        let source = Source::Binary(Arc::clone(binary));
        let symbolizer = Symbolizer::new(Detail::Full, self.options.clone());
        symbolizer.symbolize_by(&mut self.readers, &source, &self.addresses)
    }
}

fn open(program: &Path) -> Arc<Binary> {
    Arc::new(Binary::open(program).unwrap())
}

/// Whether this process has a file mapped, as its reader has.
fn is_mapped(program: &Path) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.contains(program.to_str().unwrap())
}

/// They answer as others do; they go when they were not asked for some turns, and with their binary.
#[test]
fn readers_go() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let mut asker = Asker::of(&workshop, &program, PLENTY);
    let expected = names(&program, Detail::Full, workshop.options(), &asker.addresses);
    let binary = open(&program);
    for _ in 0..3 {
        asker.readers.next_turn();
        assert_eq!(asker.ask(&binary), expected);
        assert!(is_mapped(&program));
    }
    let mut turns = 0;
    while is_mapped(&program) {
        asker.readers.next_turn();
        turns += 1;
    }
    assert_eq!(turns, 4);

    assert_eq!(asker.ask(&binary), expected);
    assert!(is_mapped(&program));
    drop(binary);
    asker.readers.next_turn();
    assert!(!is_mapped(&program), "its file system would be busy");
}

/// Without room for it, none is kept.
#[test]
fn no_room() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let mut asker = Asker::of(&workshop, &program, 0);
    let binary = open(&program);
    assert!(asker.ask(&binary).iter().all(Result::is_ok));
    assert!(!is_mapped(&program));
}

/// A program that is cut off where it lies, which would end whoever has it mapped and looks, is opened anew, and once
/// more when it is whole.
#[test]
fn cut_programs() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    let whole = fs::read(&program).unwrap();
    let mut asker = Asker::of(&workshop, &program, PLENTY);
    let binary = open(&program);
    let expected = asker.ask(&binary);
    assert!(is_mapped(&program));

    File::options()
        .write(true)
        .open(&program)
        .unwrap()
        .set_len(0)
        .unwrap();
    for named in asker.ask(&binary) {
        assert!(matches!(named, Err(Miss::Unreadable(_))), "{named:?}");
    }
    fs::write(&program, &whole).unwrap();
    assert_eq!(asker.ask(&binary), expected);
}

/// So is a debug file; what the program itself knows is left.
#[test]
fn cut_debug_files() {
    let workshop = Workshop::new();
    let program = workshop.build("inlined.c", "program", &["-g", "-O2"]);
    workshop.run(
        "objcopy",
        &["--only-keep-debug", "program", "program.debug"],
    );
    let mut asker = Asker::of(&workshop, &program, PLENTY);
    workshop.run(
        "objcopy",
        &["-g", "--add-gnu-debuglink=program.debug", "program"],
    );
    let debug_file = workshop.path("program.debug");
    let binary = open(&program);
    let has_line = |named: &Named| frames(named).iter().any(|(_, _, line)| *line > 0);
    assert!(asker.ask(&binary).iter().all(has_line));
    assert!(is_mapped(&debug_file));

    File::options()
        .write(true)
        .open(&debug_file)
        .unwrap()
        .set_len(0)
        .unwrap();
    let found = asker.ask(&binary);
    assert!(found.iter().all(|named| named.is_ok() && !has_line(named)));
}
