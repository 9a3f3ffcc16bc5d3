//! Ranges of addresses, each with what is there; a later one covers what it overlaps of earlier ones.

use std::collections::BTreeMap;

/// Ranges that do not overlap.
#[derive(Debug)]
pub(super) struct Layers<T> {
    /// By start; the limit is the first address behind.
    ranges: BTreeMap<u64, (u64, T)>,
}

impl<T> Default for Layers<T> {
    fn default() -> Self {
        Self {
            ranges: BTreeMap::new(),
        }
    }
}

impl<T: Copy> Layers<T> {
    /// Puts a range over what is there; an empty one changes nothing.
    ///
    /// What remains of a range that is cut keeps its value as it is, so a value must not depend on the start.
    pub(super) fn insert(&mut self, start: u64, limit: u64, value: T) {
        if start >= limit {
            return;
        }
        if let Some((&before, &(before_limit, before_value))) =
            self.ranges.range(..start).next_back()
            && before_limit > start
        {
            self.ranges.insert(before, (start, before_value));
            if before_limit > limit {
                self.ranges.insert(limit, (before_limit, before_value));
            }
        }
        while let Some((&inside, &(inside_limit, inside_value))) =
            self.ranges.range(start..limit).next()
        {
            self.ranges.remove(&inside);
            if inside_limit > limit {
                self.ranges.insert(limit, (inside_limit, inside_value));
            }
        }
        self.ranges.insert(start, (limit, value));
    }

    /// What is at an address, and up to where.
    pub(super) fn at(&self, address: u64) -> Option<(u64, T)> {
        let (_, &(limit, value)) = self.ranges.range(..=address).next_back()?;
        (address < limit).then_some((limit, value))
    }

    /// Where the first range begins that lies behind an address.
    pub(super) fn next_start(&self, address: u64) -> Option<u64> {
        let behind = self.ranges.range(address.checked_add(1)?..).next();
        behind.map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CO-01: what was inserted last is what is read, and the rest of what it covers stays what it was.
    #[test]
    fn later_ranges_cover_earlier_ones() {
        // Ranges as start and size; the first is the base, whose byte i is at address i, the others overlays
        // with 100 more. Then what is read from which address on.
        type Case<'a> = (&'a [(u64, u64)], &'a [(u64, u64)], u64, &'a [u64]);
        let cases: [Case<'_>; 9] = [
            (&[(0, 1)], &[(1, 1)], 0, &[0, 101]),
            (&[(1, 1)], &[(0, 1)], 0, &[100, 1]),
            (&[(1, 1)], &[(0, 3)], 0, &[100, 101, 102]),
            (&[(0, 2)], &[(1, 2)], 0, &[0, 101, 102]),
            (&[(0, 3)], &[(0, 2)], 0, &[100, 101, 2]),
            (&[(0, 5)], &[(1, 3)], 0, &[0, 101, 102, 103, 4]),
            (
                &[(10, 4), (14, 4)],
                &[(12, 4)],
                10,
                &[10, 11, 112, 113, 114, 115, 16, 17],
            ),
            // The two in which delve loses bytes (B6).
            (&[(0x10, 0x10)], &[(0xf, 0x18)], 0x1f, &[0x1f + 100]),
            (&[(0x100, 0x10)], &[(0xf0, 0x18)], 0x108, &[0x108, 0x109]),
        ];
        for (base, overlays, from, expected) in cases {
            let mut layers = Layers::default();
            for (add, ranges) in [(0, base), (100, overlays)] {
                for (start, size) in ranges {
                    layers.insert(*start, start + size, add);
                }
            }
            let read: Vec<u64> = (from..)
                .map_while(|at| Some(at + layers.at(at)?.1))
                .take(expected.len())
                .collect();
            assert_eq!(read, expected, "{base:?} {overlays:?}");
            let sorted = layers.ranges.iter().is_sorted_by(|a, b| a.1.0 <= *b.0);
            assert!(sorted, "{base:?} {overlays:?}: {layers:?}");
        }
    }

    /// Empty ranges are none, and the end of the address space is an address like any other.
    #[test]
    fn limits() {
        let mut layers = Layers::default();
        layers.insert(5, 5, 1);
        layers.insert(6, 5, 1);
        assert_eq!(layers.at(5), None);
        layers.insert(u64::MAX - 1, u64::MAX, 1);
        assert_eq!(layers.at(u64::MAX - 1), Some((u64::MAX, 1)));
        assert_eq!(layers.at(u64::MAX), None);
        assert_eq!(layers.next_start(0), Some(u64::MAX - 1));
        assert_eq!(layers.next_start(u64::MAX), None);
    }
}
