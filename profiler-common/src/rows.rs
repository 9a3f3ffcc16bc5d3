//! Unwind rows as the kernel holds them: which rule is in force at an address.
//!
//! ```text
//!  text of a binary, pages of 4 KiB        page index           rows (4 bytes)       rules (8 bytes)
//!  ┌────────┐ 0x1000                       ┌────────────┐       ┌──────┬─────┐       ┌─────────────┐
//!  │ f      │                              │ first, end │──────▶│ 1000 │ 0   │──────▶│ CFA, rbp    │
//!  │ g      │                              │ first, end │─┐     │ 1004 │ 1   │       │ CFA, rbp    │
//!  ├────────┤ 0x2000                       └────────────┘ │     │ 1ff0 │ 0   │◀ in   └─────────────┘
//!  │ g …    │                                             └────▶│ 2008 │ 2   │  force at 0x2000
//!  └────────┘                                                   └──────┴─────┘
//! ```
//!
//! A page's range begins with the row in force at its first byte, which usually lies in an earlier page.
//! Making rows is left to `profiler::unwind`, applying a rule to [`step`](crate::step()).

use crate::rule::Rule;

/// Text per element of the page index: `1 << PAGE_SHIFT` bytes.
pub const PAGE_SHIFT: u32 = 12;

/// Rows of one chunk of the row table; a page's rows lie in one chunk.
pub const CHUNK_ROWS: u32 = 1 << 18;

/// Most rows of one page: one per byte, and the one in force at its start.
pub const MAX_PAGE_ROWS: u32 = (1 << PAGE_SHIFT) + 1;

/// Most rules; the number of a rule has 16 bits.
pub const MAX_RULES: u32 = 1 << 16;

/// Steps of a binary search that are enough for [`MAX_PAGE_ROWS`].
pub const SEARCH_STEPS: u32 = PAGE_SHIFT + 1;

/// Steps that are enough for most pages, of 16 rows, and for nearly all, of 128.
const SHORT_SEARCH_STEPS: u32 = 4;
const USUAL_SEARCH_STEPS: u32 = 7;

/// From which address on which rule is in force: `pc_low:16 | rule:16`, the address in the higher half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Row(pub u32);

impl Row {
    /// The row that begins at this address; only its lowest 16 bits are kept.
    pub const fn new(pc: u64, rule: u16) -> Self {
        Self((pc as u16 as u32) << 16 | rule as u32)
    }

    /// The lowest 16 bits of the address where the row begins.
    #[inline(always)]
    pub const fn pc_low(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The number of the rule.
    #[inline(always)]
    pub const fn rule(self) -> u16 {
        self.0 as u16
    }
}

/// The rows of one page of text: from the one in force at its first byte to the last that begins in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Page {
    /// Number of the first row.
    pub first: u32,
    /// Number behind the last row; equal to `first` when the page has no rows.
    pub end: u32,
}

/// The row in force at an address, which lies in the page whose entry is given; `row` reads the table.
///
/// `None` when the page has no rows, or a row cannot be read. The first row is not compared: its address may
/// belong to an earlier page, whose low bits mean nothing here.
#[inline(always)]
pub fn find_row(page: Page, pc: u64, row: impl FnMut(u32) -> Option<Row>) -> Option<Row> {
    if page.first >= page.end {
        return None;
    }
    // Each step waits for the one before, and most pages have a dozen rows.
    let count = page.end.wrapping_sub(page.first);
    if count <= 1 << SHORT_SEARCH_STEPS {
        search::<SHORT_SEARCH_STEPS>(page, pc, row)
    } else if count <= 1 << USUAL_SEARCH_STEPS {
        search::<USUAL_SEARCH_STEPS>(page, pc, row)
    } else {
        search::<SEARCH_STEPS>(page, pc, row)
    }
}

/// Always the same steps, and no branch on what was read: each branch would double what the verifier has to look
/// at, because inside of a loop it does not take states with other bounds for the same.
#[inline(always)]
fn search<const STEPS: u32>(
    page: Page,
    pc: u64,
    mut row: impl FnMut(u32) -> Option<Row>,
) -> Option<Row> {
    let mut first = page.first;
    let mut count = page.end.wrapping_sub(first);
    for _ in 0..STEPS {
        let half = count >> 1;
        let begins = row(first.wrapping_add(half))?.pc_low();
        first = first.wrapping_add(half & all_ones_if_not_above(begins.into(), (pc as u16).into()));
        count = count.wrapping_sub(half);
    }
    row(first)
}

/// All bits set if `a <= b`, none otherwise; both must be below 2^63. For searches without branches.
#[inline(always)]
pub const fn all_ones_if_not_above(a: u64, b: u64) -> u32 {
    // Negative if a < b + 1, and the sign fills the rest.
    ((a.wrapping_sub(b).wrapping_sub(1) as i64) >> 63) as u32
}

const _: () = assert!(size_of::<Row>() == 4);
const _: () = assert!(size_of::<Rule>() == 8);
const _: () = assert!(size_of::<Page>() == 8);
const _: () = assert!(MAX_PAGE_ROWS <= CHUNK_ROWS);
// Each step halves the range, and one row must remain.
const _: () = assert!(MAX_PAGE_ROWS <= 1 << SEARCH_STEPS);

#[cfg(test)]
mod tests {
    use super::*;

    /// The search finds what a look at every row finds, in pages of any number of rows up to the most there are.
    #[test]
    fn search_agrees_with_a_scan() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100, 128, 129, MAX_PAGE_ROWS] {
            // The row in force at the start has low bits that compare as larger than all others.
            let first = Row::new(0x4_fff0, 9);
            let step = u64::from((MAX_PAGE_ROWS - 1) / count.max(2));
            let pc_of = |index: u32| 0x5_2000 + u64::from(index - 1) * step.max(1);
            let row = |index: u32| {
                let index = index.checked_sub(1000).filter(|index| *index < count)?;
                Some(if index == 0 {
                    first
                } else {
                    Row::new(pc_of(index), index as u16)
                })
            };
            let page = Page {
                first: 1000,
                end: 1000 + count,
            };
            for pc in 0x5_2000..0x5_3000 {
                let last = (1..count).rev().find(|index| pc_of(*index) <= pc);
                let expected = last.map_or(first, |index| Row::new(pc_of(index), index as u16));
                assert_eq!(
                    find_row(page, pc, row),
                    Some(expected),
                    "{count} rows, {pc:#x}"
                );
            }
        }
    }

    /// A page without rows and a table that cannot be read have no answer.
    #[test]
    fn nothing_found() {
        let any = |_| Some(Row::new(0, 0));
        assert_eq!(find_row(Page { first: 7, end: 7 }, 0, any), None);
        assert_eq!(find_row(Page { first: 8, end: 7 }, 0, any), None);
        assert_eq!(find_row(Page { first: 7, end: 8 }, 0, |_| None), None);
    }
}
