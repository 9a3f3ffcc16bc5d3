//! How long the rows of a file take, from its open descriptor to what the kernel gets.
//!
//! `cargo bench -p profiler --bench cfi -- FILE…`; without files, this program itself.
//! Each file is read once before it is timed, so that it is in the page cache; printed is the fastest of five runs.

#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use profiler::binary::Binary;
use profiler::unwind::{Table, for_binary};

const RUNS: usize = 5;

fn main() -> Result<()> {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let files = if named.is_empty() {
        vec!["/proc/self/exe".to_owned()]
    } else {
        named
    };
    println!(
        "{:>8} {:>9} {:>6} {:>9} {:>9}  file",
        "rows ms", "table ms", "rules", "rows", "kernel B"
    );
    for file in files {
        measure(&file).with_context(|| format!("failed to measure {file}"))?;
    }
    Ok(())
}

fn measure(file: &str) -> Result<()> {
    let binary = Binary::open(file)?;
    let first = for_binary(&binary)?;
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..RUNS {
        let start = Instant::now();
        let rows = for_binary(&binary)?;
        let parsed = start.elapsed();
        let start = Instant::now();
        let table = Table::new(&rows);
        let arranged = start.elapsed();
        fastest = [fastest[0].min(parsed), fastest[1].min(arranged)];
        ensure!(
            rows.iter().eq(first.iter()),
            "another result than the first time"
        );
        ensure!(table.row_count() >= rows.len().min(1), "rows were lost");
    }
    println!(
        "{:>8.2} {:>9.2} {:>6} {:>9} {:>9}  {file}",
        fastest[0].as_secs_f64() * 1e3,
        fastest[1].as_secs_f64() * 1e3,
        first.rules().len(),
        first.len(),
        Table::new(&first).size(),
    );
    Ok(())
}
