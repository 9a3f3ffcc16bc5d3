//! How much each program has of a merged profile.

use std::collections::HashMap;

use super::Merge;
use super::header::Header;

/// What a program has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Total {
    /// The name of its processes (label `comm`), or else the name of the main binary's file.
    pub program: String,
    /// The sum of the first value, which are samples.
    pub samples: i64,
    /// The sum of the value that the profile is about, such as nanoseconds of CPU time.
    pub value: i64,
}

impl Merge {
    /// The sums by program, largest first.
    pub fn totals(mut self) -> Vec<Total> {
        let main = self.main_value();
        let comm = self.tables.strings.intern("comm");
        let mut names = vec![None; self.labels.len()];
        for (labels, number) in &self.labels {
            let label = labels
                .iter()
                .find(|label| label.key == comm && label.str != 0);
            names[*number as usize] = label.map(|label| label.str);
        }
        let first = self.tables.mappings.first();
        let nameless = first.map_or(0, |mapping| mapping.filename);
        let mut sums: HashMap<(bool, i64), (i64, i64)> = HashMap::new();
        for sample in &self.samples {
            let name = names[sample.labels as usize];
            let key = (name.is_some(), name.unwrap_or(nameless));
            let value = |index: usize| sample.values.get(index).copied().unwrap_or(0);
            let sum = sums.entry(key).or_default();
            sum.0 = sum.0.saturating_add(value(0));
            sum.1 = sum.1.saturating_add(value(main));
        }
        let strings = self.tables.strings.into_table();
        let mut totals: HashMap<String, Total> = HashMap::new();
        for ((is_comm, name), (samples, value)) in sums {
            let text = super::text_of(&strings, name);
            let file = || text.rsplit('/').next().unwrap_or(text);
            let program = if is_comm { text } else { file() }.to_owned();
            let total = totals.entry(program.clone()).or_insert(Total {
                program,
                samples: 0,
                value: 0,
            });
            total.samples = total.samples.saturating_add(samples);
            total.value = total.value.saturating_add(value);
        }
        let mut totals: Vec<Total> = totals.into_values().collect();
        totals.sort_by(|one, other| {
            other
                .value
                .cmp(&one.value)
                .then_with(|| one.program.cmp(&other.program))
        });
        totals
    }

    /// The unit of [`Total::value`] and of a tree's values, such as `nanoseconds`; empty before a profile was added.
    pub fn unit(&self) -> &str {
        self.header.as_ref().map_or("", Header::main_unit)
    }
}
