//! What notes tell: threads, program, signal, and how regions of notes may look.

use super::made::{core, core_of, from_bytes, info, note, open, status};
use crate::addr::ProcAddr;
use crate::process::core_file::notes::NT_SIGINFO;
use crate::process::{Damage, Process};

fn tids(core: &crate::process::CoreFile) -> Vec<u32> {
    core.threads().iter().map(|thread| thread.tid).collect()
}

/// CO-13: the notes come in any order; gdb writes the program before the threads.
#[test]
fn order_does_not_matter() {
    let elf = core();
    let program = info(&elf, 40, b"prog", b"prog -x ");
    let threads = [status(&elf, 41, 6), status(&elf, 42, 0)].concat();
    for notes in [
        [program.clone(), threads.clone()].concat(),
        [threads, program].concat(),
    ] {
        let core = open(&elf.clone().note_segment(&notes, 4));
        assert_eq!(tids(&core), [41, 42]);
        assert_eq!(core.pid(), Some(40));
        assert_eq!(core.name().unwrap(), "prog");
        assert_eq!(core.program().unwrap().args, "prog -x");
        let signal = core.signal().unwrap();
        assert_eq!(
            (signal.number, signal.to_string()),
            (6, "6 SIGABRT, sent by kill".to_owned())
        );
    }
}

/// Registers have their names, and the three that stacks need are found by them.
#[test]
fn registers_by_name() {
    let elf = core();
    let core = open(&elf.clone().note_segment(&status(&elf, 1, 0), 4));
    let registers = core.threads()[0].registers.unwrap();
    assert_eq!(registers.instruction_pointer(), 116);
    assert_eq!(registers.stack_pointer(), 119);
    assert_eq!(registers.frame_pointer(), 104);
    let named: Vec<_> = registers.iter().collect();
    assert_eq!(
        (named.len(), named[0], named[26]),
        (27, ("r15", 100), ("gs", 126))
    );
    assert!(named.contains(&("rip", 116)) && named.contains(&("orig_rax", 115)));
}

/// CO-14: several regions of notes are all read.
#[test]
fn several_regions() {
    let elf = core();
    let (one, two) = (status(&elf, 1, 0), status(&elf, 2, 0));
    let core = open(&elf.note_segment(&one, 4).note_segment(&two, 4));
    assert_eq!(tids(&core), [1, 2]);
}

/// CO-15: an alignment of 0 and 1 means 4, as 4 does; 8 means 8.
#[test]
fn alignments() {
    for (stated, real) in [(0, 4), (1, 4), (4, 4), (8, 8)] {
        let elf = core();
        let mut notes = elf.note(b"CORE\0", 99, &[0; 5], real);
        notes.extend(elf.note(b"CORE\0", 98, &[], real));
        notes.extend(elf.note(b"LINUX\0", 0x202, &[7; 12], real));
        let core = open(&elf.note_segment(&notes, stated));
        let kinds: Vec<u32> = core.notes().iter().map(|note| note.kind).collect();
        assert_eq!(kinds, [99, 98, 0x202], "{stated}");
        let last = core.notes().last().unwrap();
        assert_eq!(
            (&*last.owner, core.note_bytes(last)),
            (&b"LINUX"[..], vec![7; 12])
        );
    }
}

/// CO-17: a file that ends in the second thread's registers has the first thread whole, and no made-up ones.
#[test]
fn cut_in_a_thread() {
    let elf = core();
    let notes = [status(&elf, 1, 11), status(&elf, 2, 0)].concat();
    let mut bytes = elf.note_segment(&notes, 4).build();
    let second = bytes.len() - 336;
    for (kept, is_known) in [(200, true), (100, true), (20, false)] {
        bytes.truncate(second + kept);
        let core = from_bytes(bytes.clone());
        let threads = core.threads();
        assert!(threads[0].registers.is_some());
        assert_eq!(threads.len(), 1 + usize::from(is_known), "{kept}");
        assert!(threads[1..].iter().all(|thread| thread.registers.is_none()));
        assert!(
            core.damages().contains(&Damage::Thread { index: 1 }),
            "{kept}"
        );
    }
}

/// CO-28: without notes nothing is known of threads, and that is said.
#[test]
fn no_notes() {
    let core = open(&core());
    assert!(core.threads().is_empty() && core.pid().is_none() && core.signal().is_none());
    assert!(core.damages().contains(&Damage::NoNotes));
}

/// CO-29: a note of kind 3 is the program when CORE owns it, and a build-id only when GNU does.
#[test]
fn kinds_belong_to_owners() {
    let elf = core();
    let other = elf.note(b"GNU\0", 3, &[1; 20], 4);
    let core = open(&elf.clone().note_segment(&other, 4));
    assert!(core.program().is_none() && core.modules().is_empty());
    let own = info(&elf, 5, b"p", b"");
    assert_eq!(open(&elf.note_segment(&own, 4)).pid(), Some(5));
}

/// The details of a signal have an address only for those that are about one.
#[test]
fn signals() {
    let elf = core();
    let detail = |number: u64, code: i32, address: u64| {
        let mut desc = elf.number(number, 4);
        desc.extend(elf.number(0, 4));
        desc.extend(elf.number(u64::from(code.cast_unsigned()), 4));
        desc.extend([0; 4]);
        desc.extend(elf.number(address, 8));
        desc.resize(128, 0);
        let notes = note(&elf, NT_SIGINFO, &desc);
        open(&elf.clone().note_segment(&notes, 4)).signal()
    };
    let segv = detail(11, 1, 0x10).unwrap();
    assert_eq!(segv.address, Some(ProcAddr(0x10)));
    assert_eq!(segv.to_string(), "11 SIGSEGV, address not mapped: 0x10");
    assert_eq!(detail(6, -6, 0x1_0000_0001).unwrap().address, None);
    assert_eq!(detail(11, 0, 1).unwrap().address, None);
    assert_eq!(detail(0, 0, 0), None);
    assert_eq!(
        detail(35, -1, 0).unwrap().to_string(),
        "35 SIG35, sent by sigqueue"
    );
}

/// CO-25: other classes and byte orders have their threads and programs read, without registers.
#[test]
fn other_machines() {
    for (is_64, big, machine) in [(true, true, 22), (false, false, 3), (false, true, 8)] {
        let mut elf = core_of(is_64, big);
        elf.machine = machine;
        let notes = [status(&elf, 77, 8), info(&elf, 70, b"prog", b"prog 1")].concat();
        let core = open(&elf.note_segment(&notes, 4));
        assert_eq!(tids(&core), [77]);
        assert_eq!(core.threads()[0].signal, Some(8));
        assert!(core.threads()[0].registers.is_none());
        assert_eq!(
            (core.pid(), core.program().unwrap().args.to_str()),
            (Some(70), Some("prog 1"))
        );
        assert_eq!((core.is_64_bit(), core.is_big_endian()), (is_64, big));
    }
}
