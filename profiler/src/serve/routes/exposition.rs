//! The text format of Prometheus, version 0.0.4: what each metric is, and its numbers.

use std::fmt::{Display, Write as _};

/// What a number does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// The text, as it grows.
#[derive(Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// A metric of one number.
    pub(super) fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        self.sample(name, &[], value);
    }

    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A metric of a number for each value of a label.
    pub(super) fn each<L: AsRef<str>, V: Display>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(kind, name, help);
        for (text, value) in values {
            self.sample(name, &[(label, text.as_ref())], value);
        }
    }

    /// What a metric is; its samples follow.
    pub(super) fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A number, with its labels.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = text.replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Label values can be anything; each metric says once what it is.
    #[test]
    fn text_format() {
        let mut exposition = Exposition::default();
        exposition.one(Kind::Gauge, "a", "An a.", 1.5);
        exposition.each(
            Kind::Counter,
            "b_total",
            "Bs.",
            "of",
            [("x\"\\\n", 1), ("y", 2)],
        );
        assert_eq!(
            exposition.0,
            "# HELP a An a.\n# TYPE a gauge\na 1.5\n# HELP b_total Bs.\n# TYPE b_total counter\n\
             b_total{of=\"x\\\"\\\\\\n\"} 1\nb_total{of=\"y\"} 2\n"
        );
    }
}
