//! Samples: values and labels.

use std::collections::HashSet;

use profiler::pprof::proto;

use super::{Report, Rule, text};

pub(super) fn check(message: &proto::Profile, report: &mut Report) {
    let mut seen = HashSet::new();
    for (index, sample) in message.sample.iter().enumerate() {
        values(message, sample, index, report);
        labels(message, sample, index, report);
        let mut labels: Vec<_> = sample
            .label
            .iter()
            .map(|label| (label.key, label.str, label.num, label.num_unit))
            .collect();
        labels.sort_unstable();
        report.expect(
            seen.insert((&sample.location_id, labels)),
            Rule::Samples,
            || format!("sample {index} is there twice"),
        );
    }
}

fn values(message: &proto::Profile, sample: &proto::Sample, index: usize, report: &mut Report) {
    report.expect(
        sample.value.len() == message.sample_type.len(),
        Rule::Header,
        || format!("sample {index} has {} values", sample.value.len()),
    );
    let (count, nanoseconds) = match sample.value[..] {
        [count, nanoseconds] => (count, Some(nanoseconds)),
        // Threads of a core file, which are not of time.
        [count] => (count, None),
        _ => return,
    };
    report.expect(count > 0, Rule::Header, || {
        format!("sample {index} stands for {count} samples")
    });
    let Some(nanoseconds) = nanoseconds else {
        return;
    };
    report.expect(
        count.checked_mul(message.period) == Some(nanoseconds),
        Rule::Header,
        || {
            format!(
                "sample {index}: {nanoseconds} ns are not {count} periods of {}",
                message.period
            )
        },
    );
}

fn labels(message: &proto::Profile, sample: &proto::Sample, index: usize, report: &mut Report) {
    let mut keys = HashSet::new();
    for label in &sample.label {
        let key = text(message, label.key);
        let mut expect = |is_kept, what: &str| {
            report.expect(is_kept, Rule::Samples, || {
                format!("sample {index}, label {key:?}: {what}")
            });
        };
        expect(keys.insert(label.key), "has two values");
        expect(!key.is_empty(), "has no key");
        expect(!key.starts_with("pprof::"), "belongs to pprof");
        let is_text = label.str != 0;
        let is_number = label.num != 0 || label.num_unit != 0;
        expect(
            is_text || is_number,
            "has no value: empty text, or number 0 without unit",
        );
        expect(!(is_text && is_number), "is text and number");
    }
}
