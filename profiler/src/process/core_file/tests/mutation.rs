//! Core files with some bytes changed or the end cut off: an answer or an error, never a panic.

use super::made::{BASE, auxiliary, core, only_core, program_in_memory};
use crate::addr::ProcAddr;
use crate::binary::elf_builder::Xorshift;
use crate::process::{CoreFile, Process, ReadMemory};

/// Whatever is changed, all that can be asked has an answer.
#[test]
fn any_bytes() {
    let elf = core();
    let notes = auxiliary(&elf, &[(33, BASE), (31, BASE + 0x10)]);
    let whole = program_in_memory(&elf.note_segment(&notes, 4), b"/nowhere/prog").build();
    let mut random = Xorshift(0x5eed);
    // What counts: small numbers, the ends of ranges, kinds of headers and notes.
    let telling = [0, 1, 2, 3, 4, 6, 8, 0x7f, 0x80, 0xff];
    let mut opened = 0;
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        random.mutate(&mut bytes, &telling);
        let Ok(core) = CoreFile::from_bytes(bytes, &only_core()) else {
            continue;
        };
        opened += 1;
        for thread in core.threads() {
            let pc = thread.registers.map_or(0, |set| set.instruction_pointer());
            let _ = core.read_u64(ProcAddr(pc));
        }
        for mapping in core.mappings() {
            assert!(mapping.start < mapping.limit);
            let _ = (mapping.build_id(), mapping.elf_addr(mapping.start));
            assert!(core.mapping_at(mapping.start).is_some());
        }
        for module in core.modules() {
            let _ = core.locate(module.start);
        }
    }
    assert!(opened > 1000, "{opened}");
}
