//! Labels of samples: what else is known of them beside the stack.
//!
//! Which labels there are is left to the caller.

use super::proto;
use super::strings::Strings;

/// Keys with this prefix belong to pprof itself.
const RESERVED_PREFIX: &str = "pprof::";

/// One label of a sample.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Label {
    /// Key and value.
    Str(String, String),
    /// Key, value and unit; the unit may be empty.
    Num(String, i64, String),
}

impl Label {
    fn key(&self) -> &str {
        match self {
            Self::Str(key, _) | Self::Num(key, ..) => key,
        }
    }

    /// Whether pprof would show the label.
    fn is_valid(&self) -> bool {
        let value_is_empty = matches!(self, Self::Str(_, value) if value.is_empty());
        !self.key().is_empty() && !self.key().starts_with(RESERVED_PREFIX) && !value_is_empty
    }

    /// A number 0 without a unit would look like no value at all; pprof itself takes the key for the unit of
    /// numbers that have none.
    fn with_unit(self) -> Self {
        match self {
            Self::Num(key, 0, unit) if unit.is_empty() => Self::Num(key.clone(), 0, key),
            label => label,
        }
    }

    pub(super) fn message(&self, strings: &mut Strings) -> proto::Label {
        match self {
            Self::Str(key, value) => proto::Label {
                key: strings.intern(key),
                str: strings.intern(value),
                ..proto::Label::default()
            },
            Self::Num(key, value, unit) => proto::Label {
                key: strings.intern(key),
                num: *value,
                num_unit: strings.intern(unit),
                ..proto::Label::default()
            },
        }
    }
}

/// The labels in one order, without those that pprof would not show and with one value per key; of several values
/// the smallest is kept.
pub(super) fn canonical(labels: &[Label]) -> Box<[Label]> {
    let valid = labels.iter().filter(|label| label.is_valid());
    let mut labels: Vec<Label> = valid.cloned().map(Label::with_unit).collect();
    labels.sort_unstable_by(|a, b| a.key().cmp(b.key()).then_with(|| a.cmp(b)));
    labels.dedup_by(|later, earlier| later.key() == earlier.key());
    labels.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str, value: &str) -> Label {
        Label::Str(key.to_owned(), value.to_owned())
    }

    fn number(key: &str, value: i64, unit: &str) -> Label {
        Label::Num(key.to_owned(), value, unit.to_owned())
    }

    /// Whatever comes in, what goes out is what pprof shows (rule 9).
    #[test]
    fn labels_become_canonical() {
        let cases: [(&[Label], &[Label]); 7] = [
            (&[], &[]),
            (
                &[text("b", "x"), number("a", 1, "")],
                &[number("a", 1, ""), text("b", "x")],
            ),
            (&[text("comm", "")], &[]),
            (&[text("", "x"), number("", 1, "")], &[]),
            (
                &[number("pid", 0, ""), number("n", 0, "bytes")],
                &[number("n", 0, "bytes"), number("pid", 0, "pid")],
            ),
            (&[text("pprof::base", "true")], &[]),
            (
                &[text("k", "b"), number("k", 1, ""), text("k", "a")],
                &[text("k", "a")],
            ),
        ];
        for (given, wanted) in cases {
            assert_eq!(&*canonical(given), wanted, "{given:?}");
        }
    }
}
