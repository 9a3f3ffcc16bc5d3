//! A profile with other labels: for receivers that make a series of their own of each combination of labels.
//!
//! Which labels stay is left to the caller.

use std::collections::HashMap;

use super::decode::decode;
use super::{Filter, Merge, MergeError, proto};

/// The profile in `gzip` with the labels that `keep` returns: it gets the key and the value of each that is a text.
/// Numbers are left out. Samples that become equal are added up.
///
/// A merge of it alone does that, and leaves out what nothing refers to any more.
pub(crate) fn relabel(
    gzip: &[u8],
    keep: impl Fn(&str, &str) -> Option<String>,
) -> Result<Vec<u8>, MergeError> {
    let mut message = decode(gzip)?;
    let mut strings = std::mem::take(&mut message.string_table);
    let mut renamed: HashMap<(i64, i64), Option<proto::Label>> = HashMap::new();
    for sample in &mut message.sample {
        let mut labels = Vec::new();
        for label in sample.label.iter().filter(|label| label.str != 0) {
            let key = (label.key, label.str);
            let renamed = renamed
                .entry(key)
                .or_insert_with(|| rename(label, &mut strings, &keep));
            labels.extend(*renamed);
        }
        sample.label = labels;
    }
    message.string_table = strings;
    let mut merge = Merge::new(Filter::default());
    merge.add_message(&message)?;
    Ok(merge.finish())
}

/// The label as it shall be; the table of strings grows when its value is another one.
fn rename(
    label: &proto::Label,
    strings: &mut Vec<String>,
    keep: impl Fn(&str, &str) -> Option<String>,
) -> Option<proto::Label> {
    let text = |index: i64| {
        let index = usize::try_from(index).expect("decoding has checked every index");
        &strings[index]
    };
    let value = keep(text(label.key), text(label.str))?;
    if value == *text(label.str) {
        return Some(*label);
    }
    let place = strings.iter().position(|string| *string == value);
    let place = place.unwrap_or_else(|| {
        strings.push(value);
        strings.len() - 1
    });
    Some(proto::Label {
        str: i64::try_from(place).ok()?,
        ..*label
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, Contents, Header, Label, LabelValue};
    use super::*;

    fn text(key: &str, value: &str) -> Label {
        Label::Str(key.to_owned(), value.to_owned())
    }

    /// Labels are left out, kept or changed; samples that become equal are added up, others keep apart.
    #[test]
    fn labels_are_changed() {
        let mut builder = Builder::new(Header {
            period_ns: 10,
            ..Header::default()
        });
        let (one, two) = (builder.unmapped(1), builder.unmapped(2));
        let pid = |number| Label::Num("pid".to_owned(), number, String::new());
        builder.add(&[one], 1, &[pid(1), text("comm", "a"), text("thread", "x")]);
        builder.add(&[one], 2, &[pid(2), text("comm", "a"), text("thread", "y")]);
        builder.add(&[one], 4, &[text("comm", "b")]);
        builder.add(&[two], 8, &[text("comm", "c")]);
        builder.add(&[two], 16, &[text("comm", "kworker")]);
        let relabelled = relabel(&builder.finish().to_gzip(), |key, value| {
            match (key, value) {
                ("comm", "c") => Some("kworker".to_owned()),
                ("comm", "b") => Some("new".to_owned()),
                ("comm", _) => Some(value.to_owned()),
                _ => None,
            }
        });
        let contents = Contents::from_gzip(&relabelled.unwrap()).unwrap();
        let samples = contents.samples.iter().map(|sample| {
            let labels = sample.labels.iter().map(|&(key, value)| match value {
                LabelValue::Text(value) => (contents.text(key), contents.text(value)),
                LabelValue::Number(..) => panic!("{sample:?}"),
            });
            let address = contents.locations[sample.stack[0]].address;
            (address, labels.collect::<Vec<_>>(), sample.values.clone())
        });
        let mut samples: Vec<_> = samples.collect();
        samples.sort();
        assert_eq!(
            samples,
            [
                (1, vec![("comm", "a")], vec![3, 30]),
                (1, vec![("comm", "new")], vec![4, 40]),
                (2, vec![("comm", "kworker")], vec![24, 240]),
            ]
        );
    }
}
