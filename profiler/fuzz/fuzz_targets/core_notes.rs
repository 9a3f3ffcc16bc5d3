//! Any bytes as a core file: headers and notes are read or refused, and whatever is said of it holds together.

#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::addr::ProcAddr;
use profiler::process::{CoreFile, Process, ReadMemory, Search};

fuzz_target!(|data: &[u8]| {
    let search = Search { core_only: true, ..Search::default() };
    let Ok(core) = CoreFile::from_bytes(data.to_vec(), &search) else {
        return;
    };
    for damage in core.damages() {
        assert!(!damage.to_string().is_empty());
    }
    for note in core.notes() {
        assert!(core.note_bytes(note).len() <= data.len());
    }
    for thread in core.threads() {
        let top = thread.registers.map_or(0, |set| set.stack_pointer());
        let _ = core.read_u64(ProcAddr(top));
    }
    for mapping in core.mappings() {
        assert!(mapping.start < mapping.limit);
        assert!(core.mapping_at(mapping.start).is_some());
        let _ = (mapping.build_id(), mapping.elf_addr(mapping.start), mapping.profile_range());
    }
    for module in core.modules() {
        let mut bytes = [0; 64];
        let read = core.read(module.start, &mut bytes);
        assert_eq!(read.missing.is_none(), read.count == bytes.len());
        let _ = core.locate(module.start);
    }
});
