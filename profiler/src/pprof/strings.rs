//! The string table: every text of a profile once, named by its index.
//!
//! What the strings mean is the business of those who intern them.

use std::collections::HashMap;

/// Interns strings; index 0 is the empty string, as the format demands.
///
/// That every string is UTF-8, which the format demands as well, follows from `str`.
pub(super) struct Strings {
    indices: HashMap<String, i64>,
}

impl Strings {
    pub(super) fn new() -> Self {
        Self {
            indices: HashMap::from([(String::new(), 0)]),
        }
    }

    /// The index of `text`, which is added when it is new.
    pub(super) fn intern(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.indices.get(text) {
            return index;
        }
        let index =
            i64::try_from(self.indices.len()).expect("memory holds fewer than 2^63 strings");
        self.indices.insert(text.to_owned(), index);
        index
    }

    /// The strings in the order of their indices.
    pub(super) fn into_table(self) -> Vec<String> {
        let mut table: Vec<_> = self.indices.into_iter().collect();
        table.sort_unstable_by_key(|&(_, index)| index);
        table.into_iter().map(|(text, _)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The empty string comes first, equal strings share an index, and the table is in the order of first use.
    #[test]
    fn strings_are_kept_once_in_order() {
        let mut strings = Strings::new();
        assert_eq!(strings.intern("b"), 1);
        assert_eq!(strings.intern("a"), 2);
        assert_eq!(strings.intern("b"), 1);
        assert_eq!(strings.intern(""), 0);
        assert_eq!(strings.into_table(), ["", "b", "a"]);
    }
}
