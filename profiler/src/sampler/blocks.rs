//! Which elements of a table are in use: blocks of sizes that are powers of two, aligned to their size.
//!
//! Aligned, so that a block never crosses a chunk of the table, whose size is a power of two as well. Blocks that
//! are given back rest for a while, because a walk that has just begun may still read them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a block rests. A walk takes microseconds, but a virtual machine may be held up in the midst of one.
pub(super) const REST: Duration = Duration::from_millis(20);

/// Sizes of blocks: `unit << class`.
const CLASSES: usize = 24;

/// The allocation of one table.
#[derive(Debug)]
pub(super) struct Blocks {
    unit: u32,
    limit: u32,
    next: u32,
    free: [VecDeque<(u32, Instant)>; CLASSES],
    used: u32,
}

impl Blocks {
    /// A table of `limit` elements in which the smallest block has `unit`, a power of two.
    pub(super) fn new(unit: u32, limit: u32) -> Self {
        Self {
            unit,
            limit,
            next: 0,
            free: std::array::from_fn(|_| VecDeque::new()),
            used: 0,
        }
    }

    /// How many elements are in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// A block for so many elements; `None` when there is no room.
    pub(super) fn take(&mut self, length: usize, now: Instant) -> Option<u32> {
        let class = self.class(length)?;
        let size = self.unit << class;
        let rested = |(_, since): &(u32, Instant)| now.saturating_duration_since(*since) >= REST;
        let block = match self.free[class].front() {
            Some(first) if rested(first) => self.free[class].pop_front().map(|(block, _)| block),
            _ => self.take_new(size, now),
        };
        self.used += if block.is_some() { size } else { 0 };
        block
    }

    /// Gives a block back that was taken for so many elements.
    pub(super) fn give(&mut self, block: u32, length: usize, now: Instant) {
        if let Some(class) = self.class(length) {
            self.used -= self.unit << class;
            self.free[class].push_back((block, now));
        }
    }

    fn class(&self, length: usize) -> Option<usize> {
        let units = length
            .max(1)
            .div_ceil(self.unit as usize)
            .next_power_of_two();
        let class = units.trailing_zeros() as usize;
        (class < CLASSES && units <= self.limit as usize).then_some(class)
    }

    /// A block that was never used; what alignment leaves out before it can be taken as smaller blocks.
    fn take_new(&mut self, size: u32, now: Instant) -> Option<u32> {
        let block = self.next.checked_next_multiple_of(size)?;
        let end = block.checked_add(size).filter(|end| *end <= self.limit)?;
        while self.next < block {
            let gap = 1 << self.next.trailing_zeros();
            let class = (gap / self.unit).trailing_zeros() as usize;
            // Never used, so it need not rest.
            let long_ago = now.checked_sub(REST).unwrap_or(now);
            self.free[class].push_front((self.next, long_ago));
            self.next += gap;
        }
        self.next = end;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks are aligned, do not overlap, and fill the table.
    #[test]
    fn blocks_fill_the_table() {
        let now = Instant::now();
        let mut blocks = Blocks::new(4, 64);
        let lengths = [1, 9, 4, 5, 16, 3];
        let taken: Vec<u32> = lengths
            .iter()
            .map(|length| blocks.take(*length, now).unwrap())
            .collect();
        assert_eq!(taken, [0, 16, 4, 8, 32, 48]);
        assert_eq!(blocks.used(), 4 + 16 + 4 + 8 + 16 + 4);
        assert_eq!(blocks.take(16, now), None);
        assert_eq!(blocks.take(65, now), None);
    }

    /// A block that was given back is used again, but not at once.
    #[test]
    fn blocks_rest() {
        let now = Instant::now();
        let mut blocks = Blocks::new(1, 2);
        assert_eq!(blocks.take(2, now), Some(0));
        blocks.give(0, 2, now);
        assert_eq!(blocks.used(), 0);
        assert_eq!(blocks.take(2, now), None);
        assert_eq!(blocks.take(2, now + REST), Some(0));
    }
}
