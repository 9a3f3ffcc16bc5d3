//! The rows of one binary, sorted, without repeats, with gaps marked; and the search in them.

use std::collections::HashMap;
use std::ops::Range;

use profiler_common::{MAX_RULES, Rule};

use super::{Miss, Misses};
use crate::addr::ElfAddr;

/// The unwind rows of one binary: from which address on which rule is in force.
///
/// Addresses are those that the file states. A row holds until the next one begins. Where nothing is known, a
/// rule says what to try instead, so each address has one.
#[derive(Clone, Debug)]
pub struct Rows {
    /// What the starts are relative to.
    base: u64,
    starts: Vec<u32>,
    /// Indices into `rules`, one for each start. Two arrays, as pairs would take a third more memory.
    numbers: Vec<u16>,
    rules: Vec<Rule>,
    gap: Rule,
    text: Box<[Range<u64>]>,
    functions: u32,
    misses: Misses,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no rows: the binary has no unwind information.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How many functions the rows were made from.
    pub fn functions(&self) -> u32 {
        self.functions
    }

    /// The rows in the order of their addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ElfAddr, Rule)> + '_ {
        self.range(0..self.len())
    }

    /// The rows that begin from one address on and before another.
    pub fn between(
        &self,
        addresses: Range<ElfAddr>,
    ) -> impl ExactSizeIterator<Item = (ElfAddr, Rule)> + '_ {
        let index = |address| {
            self.starts
                .partition_point(|start| self.address(*start) < address)
        };
        let first = index(addresses.start);
        self.range(first..index(addresses.end).max(first))
    }

    /// The rule in force at an address.
    pub fn find(&self, address: ElfAddr) -> Rule {
        let Some(offset) = address.0.checked_sub(self.base) else {
            return self.gap;
        };
        let behind = self
            .starts
            .partition_point(|start| u64::from(*start) <= offset);
        let number = behind
            .checked_sub(1)
            .and_then(|index| self.numbers.get(index));
        number.map_or(self.gap, |number| self.rule(*number))
    }

    /// The rule where nothing is known.
    pub fn gap(&self) -> Rule {
        self.gap
    }

    /// The distinct rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What could not be expressed.
    pub fn misses(&self) -> &Misses {
        &self.misses
    }

    /// Memory that the rows take, in bytes.
    pub fn size(&self) -> usize {
        self.starts.len() * size_of::<u32>()
            + self.numbers.len() * size_of::<u16>()
            + self.rules.len() * size_of::<Rule>()
    }

    /// The number of the rule where nothing is known: the builder enters it first.
    pub(super) fn gap_number(&self) -> u16 {
        0
    }

    /// Executable ranges of the file, ascending and apart.
    pub(super) fn text(&self) -> &[Range<u64>] {
        &self.text
    }

    /// The address and the number of the rule of a row.
    pub(super) fn row(&self, index: usize) -> Option<(u64, u16)> {
        Some((
            self.address(*self.starts.get(index)?).0,
            *self.numbers.get(index)?,
        ))
    }

    /// Rows by their indices, which must exist.
    fn range(&self, indices: Range<usize>) -> impl ExactSizeIterator<Item = (ElfAddr, Rule)> + '_ {
        let starts = self.starts[indices.clone()]
            .iter()
            .map(|start| self.address(*start));
        let rules = self.numbers[indices]
            .iter()
            .map(|number| self.rule(*number));
        starts.zip(rules)
    }

    fn address(&self, start: u32) -> ElfAddr {
        ElfAddr(self.base.wrapping_add(start.into()))
    }

    fn rule(&self, number: u16) -> Rule {
        self.rules
            .get(usize::from(number))
            .copied()
            .unwrap_or(self.gap)
    }
}

/// Takes rows in ascending order, and drops those that repeat the one before.
pub(super) struct Builder {
    rows: Rows,
    numbers: HashMap<Rule, u16>,
    /// The rules used lately, by a hash of them: nearly every row is found here.
    recent: Box<[(Rule, u16); RECENT]>,
}

const RECENT: usize = 256;

impl Builder {
    /// Rows for code in these ranges; `gap` is the rule where no row is.
    pub(super) fn new(text: &[Range<u64>], gap: Rule) -> Self {
        let base = text.iter().map(|range| range.start).min().unwrap_or(0);
        let rows = Rows {
            base,
            starts: Vec::new(),
            numbers: Vec::new(),
            rules: Vec::new(),
            gap,
            text: text.into(),
            functions: 0,
            misses: Misses::default(),
        };
        let mut builder = Self {
            rows,
            numbers: HashMap::new(),
            recent: Box::new([(gap, 0); RECENT]),
        };
        // Number 0, so that the table of recent rules is right from the start.
        builder.intern(gap);
        builder
    }

    /// The address behind the last one that a row can have.
    pub(super) fn end(&self) -> u64 {
        self.rows.base.saturating_add(u32::MAX.into())
    }

    /// From `start` on `rule` is in force. A row at or before the last one's start is ignored.
    pub(super) fn push(&mut self, start: u64, rule: Rule) {
        let Some(offset) = start
            .checked_sub(self.rows.base)
            .and_then(|n| u32::try_from(n).ok())
        else {
            return;
        };
        if self.rows.starts.last().is_some_and(|last| offset <= *last) {
            return;
        }
        let number = self.number(rule);
        // Before the first row nothing is known anyway.
        let before = self.rows.numbers.last().copied().unwrap_or(0);
        if number != before {
            self.rows.starts.push(offset);
            self.rows.numbers.push(number);
        }
    }

    /// The rule where nothing is known.
    pub(super) fn gap(&self) -> Rule {
        self.rows.gap
    }

    pub(super) fn miss(&mut self, miss: Miss) {
        self.rows.misses.add(miss);
    }

    pub(super) fn function(&mut self) {
        self.rows.functions = self.rows.functions.saturating_add(1);
    }

    pub(super) fn finish(mut self) -> Rows {
        self.rows.starts.shrink_to_fit();
        self.rows.numbers.shrink_to_fit();
        self.rows
    }

    fn number(&mut self, rule: Rule) -> u16 {
        // The golden ratio of 2^64: the high bits of the product depend on all bits of the rule.
        let hash = rule.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let (known, number) = self.recent[hash as usize % RECENT];
        if known == rule {
            return number;
        }
        let number = self.intern(rule);
        self.recent[hash as usize % RECENT] = (rule, number);
        number
    }

    fn intern(&mut self, rule: Rule) -> u16 {
        if let Some(number) = self.numbers.get(&rule) {
            return *number;
        }
        let count = self.rows.rules.len();
        if count as u32 >= MAX_RULES - 1 && rule != Rule::UNSUPPORTED {
            self.miss(Miss::TooManyRules);
            return self.intern(Rule::UNSUPPORTED);
        }
        // Less than MAX_RULES, which are as many as 16 bits can number.
        let number = count as u16;
        self.rows.rules.push(rule);
        self.numbers.insert(rule, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use profiler_common::{Cfa, SavedFp};

    use super::*;

    fn sp(n: i32) -> Rule {
        Rule::new(Cfa::Sp(n), SavedFp::Same)
    }

    /// A rule holds from its row to the next; repeats take no row; outside nothing is known.
    #[test]
    fn find_and_merge() {
        let text = 0x1000..0x9000;
        let mut builder = Builder::new(slice::from_ref(&text), Rule::NO_ROW);
        for (start, rule) in [
            (0xfff, sp(4)),
            (0x1000, Rule::NO_ROW),
            (0x2000, sp(8)),
            (0x2001, sp(16)),
            (0x2001, sp(99)),
            (0x1800, sp(99)),
            (0x2002, sp(16)),
            (0x2010, sp(8)),
            (0x3000, Rule::NO_ROW),
            (0x1_0000_0000_0000, sp(8)),
        ] {
            builder.push(start, rule);
        }
        let rows = builder.finish();
        let expected = [
            (0x2000, sp(8)),
            (0x2001, sp(16)),
            (0x2010, sp(8)),
            (0x3000, Rule::NO_ROW),
        ];
        assert!(
            rows.iter()
                .eq(expected.map(|(start, rule)| (ElfAddr(start), rule)))
        );
        for (address, rule) in [
            (0, Rule::NO_ROW),
            (0x1fff, Rule::NO_ROW),
            (0x2000, sp(8)),
            (0x200f, sp(16)),
            (0x2fff, sp(8)),
            (0x3000, Rule::NO_ROW),
            (u64::MAX, Rule::NO_ROW),
        ] {
            assert_eq!(rows.find(ElfAddr(address)), rule, "{address:#x}");
        }
    }

    /// More rules than a row can number: those that do not fit are unsupported, and counted.
    #[test]
    fn too_many_rules() {
        let text = 0..1 << 20;
        let mut builder = Builder::new(slice::from_ref(&text), Rule::NO_ROW);
        for n in 0..(1 << 16) + 5 {
            builder.push(n, sp(n as i32 + 1));
        }
        let rows = builder.finish();
        assert!(rows.rules().len() <= MAX_RULES as usize);
        assert_eq!(rows.find(ElfAddr(70_000)), Rule::UNSUPPORTED);
        assert_eq!(rows.find(ElfAddr(60_000)), sp(60_001));
        assert!(rows.misses().get(Miss::TooManyRules) > 0);
    }
}
