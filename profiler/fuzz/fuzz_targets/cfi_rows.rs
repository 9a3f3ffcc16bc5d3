//! Any bytes as unwind sections: rows come out in order, and the kernel's arrangement of them has them all.

#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler::unwind::{Framed, Input, Plt, Section, Table, rows_of};

fuzz_target!(|data: &[u8]| {
    let (debug_frame, eh_frame) = data.split_at(data.len() / 4);
    let framed: Vec<Framed> = Framed::new(0x4000, debug_frame).into_iter().collect();
    let rows = rows_of(&Input {
        eh_frame: Section { address: 0xa000, data: eh_frame },
        debug_frame: Section { address: 0, data: debug_frame },
        text: &[0x1000..0x9000, 0xffff_ffff_0000_0000..u64::MAX],
        entry: Some(0x2000),
        plts: &[Plt::Lazy { range: 0x3000..0x3040, threshold: 11 }],
        framed: &framed,
        ..Input::default()
    });
    assert!(rows.iter().is_sorted_by(|(one, _), (other, _)| one < other));
    assert!(rows.len() <= 4 * data.len() + 32);
    assert!(Table::new(&rows).row_count() >= rows.len().min(1));
});
