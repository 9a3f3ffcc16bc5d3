//! Any bytes as Go's table of functions: rows come out in order, and not more than the bytes can mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::unwind::{Input, Section, Table, rows_of};

const TEXT: std::ops::Range<u64> = 0x1000..0x9000;

fuzz_target!(|data: &[u8]| {
    let rows = rows_of(&Input {
        go_functions: Section { address: 0xa000, data },
        go_text: Some(TEXT.start),
        keeps_frame_pointers: true,
        text: &[TEXT],
        ..Input::default()
    });
    assert!(rows.iter().is_sorted_by(|(one, _), (other, _)| one < other));
    // The last row may say that nothing is known behind the code.
    assert!(rows.iter().all(|(address, _)| (TEXT.start..=TEXT.end).contains(&address.0)));
    assert!(Table::new(&rows).row_count() >= rows.len().min(1));
});
