//! Rows as the kernel looks them up: a page index, and shards of 4-byte rows. Where they go is the sink's choice.
//!
//! A shard is a run of rows that is stored in one piece. All rows of a page lie in one shard, so a shard begins
//! with the row in force at its first page, which repeats the last row of the shard before it.

use std::ops::Range;

use profiler_common::{CHUNK_ROWS, MAX_PAGE_ROWS, PAGE_SHIFT, Page, Row, Rule};

use super::Rows;
use crate::addr::ElfAddr;

/// Most rows that are handed over in one piece: 64 KiB, an 16th of a chunk, so that little of a chunk is left over.
pub const MAX_SHARD_ROWS: u32 = 1 << 14;

const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Where rows go: the kernel's tables, or a test's.
///
/// Three tables: rules are shared by all binaries and never go away, rows and pages belong to one binary. What
/// was handed over when an error came is the sink's to take back.
pub trait TableSink {
    /// Why something did not fit.
    type Error;

    /// The number of a rule in the table of all rules, entered if it is new.
    ///
    /// # Errors
    ///
    /// The table is full.
    fn rule(&mut self, rule: Rule) -> Result<u16, Self::Error>;

    /// Stores rows side by side, at most [`MAX_SHARD_ROWS`], within one chunk; the number of the first of them.
    ///
    /// # Errors
    ///
    /// There is no room.
    fn rows(&mut self, rows: &[Row]) -> Result<u32, Self::Error>;

    /// Stores a run of the page index side by side; the number of the first entry.
    ///
    /// # Errors
    ///
    /// There is no room.
    fn pages(&mut self, pages: &[Page]) -> Result<u32, Self::Error>;
}

/// The rows of one binary, arranged for the kernel, not yet placed.
#[derive(Clone, Debug)]
pub struct Table {
    rules: Vec<Rule>,
    shards: Vec<Vec<Row>>,
    regions: Vec<Region>,
}

/// A run of pages of text.
#[derive(Clone, Debug)]
struct Region {
    start: u64,
    pages: Vec<PageRows>,
}

/// The rows of one page: a range of a shard.
#[derive(Clone, Copy, Debug)]
struct PageRows {
    shard: usize,
    first: u32,
    end: u32,
}

/// Where the rows of one binary are in the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// The text that has pages, ascending.
    pub regions: Vec<PublishedRegion>,
    /// Ranges of row numbers that belong to the binary.
    pub rows: Vec<Range<u32>>,
}

/// A run of text and its part of the page index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishedRegion {
    /// The first address, at the start of a page.
    pub start: ElfAddr,
    /// The address behind the last page.
    pub end: ElfAddr,
    /// Number of the entry of the first page.
    pub first_page: u32,
}

impl PublishedRegion {
    /// The entry of the page that an address of this region lies in.
    pub fn page(&self, address: ElfAddr) -> Option<u32> {
        (self.start..self.end)
            .contains(&address)
            .then(|| self.first_page + ((address.0 - self.start.0) >> PAGE_SHIFT) as u32)
    }
}

impl Table {
    /// Arranges rows. Pages exist from the first to the last row of each executable range; outside of them nothing is
    /// known, as the last row says.
    pub fn new(rows: &Rows) -> Self {
        let mut builder = Builder {
            rows,
            shards: Vec::new(),
            next: 0,
            in_force: Row::new(0, rows.gap_number()),
        };
        let regions = runs_of_pages(rows)
            .into_iter()
            .map(|run| builder.region(run))
            .collect();
        Self {
            rules: rows.rules().to_vec(),
            shards: builder.shards,
            regions,
        }
    }

    /// How many rows will be stored; a few more than the binary has, for repeats.
    pub fn row_count(&self) -> usize {
        self.shards.iter().map(Vec::len).sum()
    }

    /// How many entries of the page index will be stored.
    pub fn page_count(&self) -> usize {
        self.regions.iter().map(|region| region.pages.len()).sum()
    }

    /// Memory that rows and pages will take in the kernel's tables, in bytes; rules are shared and not in it.
    pub fn size(&self) -> usize {
        self.row_count() * size_of::<Row>() + self.page_count() * size_of::<Page>()
    }

    /// Hands everything to the sink: rules, rows, then the pages that refer to them.
    ///
    /// # Errors
    ///
    /// What the sink says when something does not fit.
    pub fn publish<S: TableSink + ?Sized>(&self, sink: &mut S) -> Result<Published, S::Error> {
        let numbers = self.rules.iter().map(|rule| sink.rule(*rule));
        let numbers: Vec<u16> = numbers.collect::<Result<_, _>>()?;
        let mut stored: Vec<Range<u32>> = Vec::with_capacity(self.shards.len());
        let mut renumbered: Vec<Row> = Vec::new();
        for shard in &self.shards {
            renumbered.clear();
            let rule = |row: Row| numbers[usize::from(row.rule())];
            renumbered.extend(
                shard
                    .iter()
                    .map(|row| Row::new(row.pc_low().into(), rule(*row))),
            );
            let first = sink.rows(&renumbered)?;
            // A shard has at most MAX_SHARD_ROWS rows.
            stored.push(first..first + shard.len() as u32);
        }
        let mut regions = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            let page = |page: &PageRows| Page {
                first: stored[page.shard].start + page.first,
                end: stored[page.shard].start + page.end,
            };
            let pages: Vec<Page> = region.pages.iter().map(page).collect();
            regions.push(PublishedRegion {
                start: ElfAddr(region.start),
                end: ElfAddr(region.start + pages.len() as u64 * PAGE_SIZE),
                first_page: sink.pages(&pages)?,
            });
        }
        Ok(Published {
            regions,
            rows: stored,
        })
    }
}

struct Builder<'a> {
    rows: &'a Rows,
    shards: Vec<Vec<Row>>,
    /// The first row that has not been taken.
    next: usize,
    in_force: Row,
}

impl Builder<'_> {
    fn region(&mut self, run: Range<u64>) -> Region {
        let pages = (run.start..run.end).step_by(PAGE_SIZE as usize);
        Region {
            start: run.start,
            pages: pages.map(|start| self.page(start)).collect(),
        }
    }

    fn page(&mut self, start: u64) -> PageRows {
        let mut new = Vec::new();
        while let Some((pc, rule)) = self
            .rows
            .row(self.next)
            .filter(|(pc, _)| *pc < start + PAGE_SIZE)
        {
            if pc <= start {
                // In force at the first byte: what is stored of it is only its rule.
                self.in_force = Row::new(pc, rule);
            } else {
                new.push(Row::new(pc, rule));
            }
            self.next += 1;
        }
        self.store(&new)
    }

    fn store(&mut self, new: &[Row]) -> PageRows {
        let full = |shard: &Vec<Row>| shard.len() + new.len() + 1 > MAX_SHARD_ROWS as usize;
        if self.shards.last().is_none_or(full) {
            self.shards.push(Vec::new());
        }
        let index = self.shards.len() - 1;
        let shard = &mut self.shards[index];
        if shard.last() != Some(&self.in_force) {
            shard.push(self.in_force);
        }
        // At most MAX_SHARD_ROWS, so the numbers fit.
        let first = (shard.len() - 1) as u32;
        shard.extend_from_slice(new);
        self.in_force = new.last().copied().unwrap_or(self.in_force);
        PageRows {
            shard: index,
            first,
            end: shard.len() as u32,
        }
    }
}

/// The pages of each executable range between its first and its last row, apart from each other.
fn runs_of_pages(rows: &Rows) -> Vec<Range<u64>> {
    let Some((first, last)) = rows
        .row(0)
        .zip(rows.len().checked_sub(1).and_then(|last| rows.row(last)))
    else {
        return Vec::new();
    };
    let mut runs: Vec<Range<u64>> = Vec::new();
    for text in rows.text() {
        let start = text.start.max(first.0) & !(PAGE_SIZE - 1);
        let start = start.max(runs.last().map_or(0, |run| run.end));
        let end = text
            .end
            .min(last.0.saturating_add(1))
            .checked_next_multiple_of(PAGE_SIZE);
        if let Some(end) = end.filter(|end| *end > start) {
            runs.push(start..end);
        }
    }
    runs
}

const _: () = assert!(MAX_PAGE_ROWS <= MAX_SHARD_ROWS);
const _: () = assert!(CHUNK_ROWS.is_multiple_of(MAX_SHARD_ROWS));

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
