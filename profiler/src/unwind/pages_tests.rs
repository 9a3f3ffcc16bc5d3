//! What the kernel finds through pages and shards is what the rows say.

use std::convert::Infallible;

use profiler_common::{CHUNK_ROWS, Cfa, SavedFp, find_row};

use super::*;
use crate::unwind::rows;

const TEXT: Range<u64> = 0x1000..0x1000_0000;

/// Tables in memory, already filled with somebody else's rows.
#[derive(Default)]
struct Tables {
    rules: Vec<Rule>,
    rows: Vec<Row>,
    pages: Vec<Page>,
}

impl TableSink for Tables {
    type Error = Infallible;

    fn rule(&mut self, rule: Rule) -> Result<u16, Infallible> {
        let known = self.rules.iter().position(|known| *known == rule);
        Ok(known.unwrap_or_else(|| {
            self.rules.push(rule);
            self.rules.len() - 1
        }) as u16)
    }

    fn rows(&mut self, rows: &[Row]) -> Result<u32, Infallible> {
        assert!(!rows.is_empty() && rows.len() <= MAX_SHARD_ROWS as usize);
        // Another chunk, if this one has not enough room.
        let chunk = CHUNK_ROWS as usize;
        if self.rows.len() % chunk + rows.len() > chunk {
            self.rows.resize(
                self.rows.len().next_multiple_of(chunk),
                Row::new(0, u16::MAX),
            );
        }
        self.rows.extend(rows);
        Ok((self.rows.len() - rows.len()) as u32)
    }

    fn pages(&mut self, pages: &[Page]) -> Result<u32, Infallible> {
        self.pages.extend(pages);
        Ok((self.pages.len() - pages.len()) as u32)
    }
}

fn look_up(tables: &Tables, published: &Published, address: ElfAddr) -> Option<Rule> {
    let page = published
        .regions
        .iter()
        .find_map(|region| region.page(address))?;
    let page = tables.pages[page as usize];
    assert_eq!(
        page.first / CHUNK_ROWS,
        (page.end - 1) / CHUNK_ROWS,
        "a page in two chunks"
    );
    let row = find_row(page, address.0, |index| {
        tables.rows.get(index as usize).copied()
    })?;
    Some(tables.rules[usize::from(row.rule())])
}

/// Rows from a list of starts, each with another rule than the one before.
fn check(text: &[Range<u64>], starts: impl Iterator<Item = u64>) {
    let mut builder = rows::Builder::new(text, Rule::NO_ROW);
    let mut last = 0;
    for (index, start) in (0..).zip(starts) {
        builder.push(start, Rule::new(Cfa::Sp(8 + index % 50), SavedFp::Same));
        last = start;
    }
    builder.push(last + 1, Rule::NO_ROW);
    let rows = builder.finish();
    let table = Table::new(&rows);
    let mut tables = Tables::default();
    tables
        .rows
        .resize(CHUNK_ROWS as usize - 100, Row::new(0, u16::MAX));
    tables.rules.push(Rule::OUTERMOST);
    tables.pages.push(Page::default());
    let published = table.publish(&mut tables).unwrap();
    assert_eq!(table.page_count() + 1, tables.pages.len());
    assert_eq!(
        published
            .rows
            .iter()
            .map(ExactSizeIterator::len)
            .sum::<usize>(),
        table.row_count()
    );
    for (start, _) in rows.iter() {
        let page = start.0 & !(PAGE_SIZE - 1);
        for address in [
            start.0 - 1,
            start.0,
            start.0 + 1,
            page,
            page + PAGE_SIZE - 1,
        ] {
            let inside = text.iter().any(|range| range.contains(&address));
            let expected = rows.find(ElfAddr(address));
            let found = look_up(&tables, &published, ElfAddr(address));
            let agree =
                found == Some(expected) || found.is_none() && (!inside || expected == Rule::NO_ROW);
            assert!(agree, "{address:#x}: {found:?} instead of {expected}");
        }
    }
}

/// The kernel's lookup finds the same rule as the rows, in pages that are empty, full, or in several shards.
#[test]
fn lookup_agrees() {
    let text = [TEXT];
    check(&text, std::iter::empty());
    check(&text, [0x1000].into_iter());
    check(
        &text,
        [0x1fff, 0x2000, 0x2fff, 0x9_0000, 0x9_0001].into_iter(),
    );
    // A page with a row at each byte, at both ends of a 64 KiB block.
    check(&text, 0xf000..0x1_1000);
    check(&text, (0x1000..0x100_0000).step_by(61));
    check(&text, (0..40_000).map(|n| 0x1000 + n * n / 7));
}

/// Two executable segments, apart or in the same page.
#[test]
fn several_segments() {
    check(
        &[0x1000..0x2800, 0x2900..0x5000],
        (0x1010..0x5000).step_by(7),
    );
    check(
        &[0x1000..0x2800, 0x80_2900..0x80_5000],
        (0x1010..0x2000).chain(0x80_2a00..0x80_3000),
    );
}
