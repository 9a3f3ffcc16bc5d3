//! Any bytes as an ELF file: its build-ids and its symbols are read or refused, and what is found is as was asked for.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use profiler::binary::{Binary, SymbolPattern, build_id_of_file, build_id_of_image, find_symbols};

static PATTERNS: LazyLock<[SymbolPattern; 3]> = LazyLock::new(|| {
    [
        SymbolPattern::exact("main").expect("it is a name"),
        SymbolPattern::exact("memcpy@@GLIBC_2.14").expect("it is a name"),
        SymbolPattern::regex("").expect("it is an expression"),
    ]
});

fuzz_target!(|data: &[u8]| {
    // Either may fail, and neither may panic.
    let _ = build_id_of_file(data);
    let _ = build_id_of_image(data);
    let Ok(binary) = Binary::from_image(data, "fuzz") else {
        return;
    };
    for (number, pattern) in PATTERNS.iter().enumerate() {
        let mut found = Vec::new();
        let _ = find_symbols(&binary, pattern, &mut found);
        // Two tables, whose entries take at least 16 bytes each, may lie on top of each other.
        assert!(found.len() <= data.len() / 8);
        let names = ["main", "memcpy"];
        assert!(number == 2 || found.iter().all(|symbol| symbol.name == names[number]));
    }
});
