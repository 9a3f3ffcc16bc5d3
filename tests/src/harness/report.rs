//! What a target program says of its own CPU time in its last line.

use std::collections::BTreeMap;

/// `cpu total=N PHASE=N …`, nanoseconds as the kernel accounts them.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Report {
    /// CPU time of the process since its work began.
    pub(crate) total: u64,
    /// Parts of it, by name.
    pub(crate) phases: BTreeMap<String, u64>,
}

impl Report {
    /// Finds the line among all that a target has printed.
    pub(crate) fn find(printed: &str) -> Self {
        let line = printed.lines().find_map(|line| line.strip_prefix("cpu "));
        let line = line.unwrap_or_else(|| panic!("the target gives no account:\n{printed}"));
        let mut phases: BTreeMap<String, u64> = line
            .split_whitespace()
            .map(|part| part.split_once('=').expect("NAME=NUMBER"))
            .map(|(name, number)| (name.to_owned(), number.parse().expect("NAME=NUMBER")))
            .collect();
        let total = phases.remove("total").expect("there is a total");
        Self { total, phases }
    }
}
