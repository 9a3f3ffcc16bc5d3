//! What a receiver shall find a window by: the labels of the machine and of the program, in the words of each receiver.
//!
//! Labels of single samples are in the profile, and no business of this file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Receiver;
use crate::output::Window;

/// The label that says which machine it is, among those that the caller gives.
pub(crate) const HOST_LABEL: &str = "hostname";
/// What a window is of when it is of no single program.
const WHOLE_MACHINE: &str = "system";
/// The kind of profile, as Parca and Pyroscope know CPU time from Go's profiles.
const PROFILE_NAME: &str = "process_cpu";

/// Why labels cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LabelError {
    /// No name.
    #[error("a label needs a name: write NAME=VALUE")]
    Empty,
    /// A name that is ours.
    #[error("the label `{0}` is the profiler's own; choose another name")]
    Reserved(String),
    /// A name twice, as a receiver sees it.
    #[error("the label `{0}` is there twice (`.` and `-` count as `_`); name it once")]
    Twice(String),
}

/// Checks that every receiver can take the labels.
pub(super) fn check(labels: &[(String, String)]) -> Result<(), LabelError> {
    let mut seen = HashSet::new();
    for (name, _) in labels {
        if name.is_empty() {
            return Err(LabelError::Empty);
        }
        if name == "__name__" {
            return Err(LabelError::Reserved(name.clone()));
        }
        if !seen.insert(plain_name(name)) {
            return Err(LabelError::Twice(name.clone()));
        }
    }
    Ok(())
}

/// The labels of a window for a receiver, by name.
///
/// A user's own `service_name` or `service.name` goes before the name of the program.
pub(super) fn labels(
    receiver: Receiver,
    machine: &[(String, String)],
    window: &Window,
) -> Vec<(String, String)> {
    let (service, host) = match receiver {
        Receiver::Pyroscope => ("service_name", HOST_LABEL),
        // Parca's list of agents goes by `node`.
        Receiver::Parca => ("service_name", "node"),
        Receiver::Otlp => ("service.name", "host.name"),
    };
    let program = window.program.as_deref().unwrap_or(WHOLE_MACHINE);
    let mut labels = vec![(service.to_owned(), program.to_owned())];
    if receiver != Receiver::Otlp {
        labels.push(("__name__".to_owned(), PROFILE_NAME.to_owned()));
    }
    for (name, value) in machine {
        let plain = plain_name(name);
        if plain == "service_name" {
            labels[0].1.clone_from(value);
            continue;
        }
        let name = match receiver {
            _ if name == HOST_LABEL => host.to_owned(),
            Receiver::Otlp => name.clone(),
            Receiver::Pyroscope | Receiver::Parca => plain,
        };
        labels.push((name, value.clone()));
    }
    labels.sort();
    labels
}

/// A name that Parca and Pyroscope take: `[a-zA-Z_][a-zA-Z0-9_]*`, as Prometheus has it.
fn plain_name(name: &str) -> String {
    let mut plain: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => character,
            _ => '_',
        })
        .collect();
    if plain.starts_with(|first: char| first.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    plain
}

/// An id that a window keeps when it is sent again, by which a receiver can tell that it has it.
pub(super) fn id(machine: &[(String, String)], window: &Window) -> [u8; 16] {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (
            salt,
            machine,
            window.started_at,
            &window.program,
            &window.profile,
        )
            .hash(&mut hasher);
        hasher.finish().to_be_bytes()
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half(0));
    id[8..].copy_from_slice(&half(1));
    // Version 8, made in a way of one's own (RFC 9562).
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

/// An id as text, in the form of a UUID.
pub(super) fn uuid(id: [u8; 16]) -> String {
    let number = u128::from_be_bytes(id);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xffff,
        number >> 64 & 0xffff,
        number >> 48 & 0xffff,
        number & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn window(program: Option<&str>) -> Window {
        Window {
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs(60),
            program: program.map(Into::into),
            samples: 1,
            profile: b"profile".as_slice().into(),
        }
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        let labels = labels.iter();
        labels
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Each receiver gets the labels under the names that it knows, and a user's service name wins.
    #[test]
    fn labels_are_in_the_words_of_the_receiver() {
        let machine = owned(&[("hostname", "db1"), ("k8s.cluster", "eu"), ("1st", "x")]);
        let cases: [(Receiver, &[(&str, &str)]); 3] = [
            (
                Receiver::Pyroscope,
                &[
                    ("_1st", "x"),
                    ("__name__", "process_cpu"),
                    ("hostname", "db1"),
                    ("k8s_cluster", "eu"),
                    ("service_name", "postgres"),
                ],
            ),
            (
                Receiver::Parca,
                &[
                    ("_1st", "x"),
                    ("__name__", "process_cpu"),
                    ("k8s_cluster", "eu"),
                    ("node", "db1"),
                    ("service_name", "postgres"),
                ],
            ),
            (
                Receiver::Otlp,
                &[
                    ("1st", "x"),
                    ("host.name", "db1"),
                    ("k8s.cluster", "eu"),
                    ("service.name", "postgres"),
                ],
            ),
        ];
        for (receiver, wanted) in cases {
            let got = labels(receiver, &machine, &window(Some("postgres")));
            assert_eq!(got, owned(wanted), "{receiver:?}");
        }
        let own = owned(&[("service.name", "shop")]);
        let got = labels(Receiver::Otlp, &own, &window(None));
        assert_eq!(got, own);
        let got = labels(Receiver::Otlp, &[], &window(None));
        assert_eq!(got, owned(&[("service.name", "system")]));
    }

    /// Labels that a receiver would mix up or that are ours are refused.
    #[test]
    fn wrong_labels_are_refused() {
        for (labels, wanted) in [
            (&[("", "x")][..], "needs a name"),
            (&[("__name__", "x")], "the profiler's own"),
            (&[("a.b", "x"), ("a_b", "y")], "is there twice"),
        ] {
            let error = check(&owned(labels)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert_eq!(check(&owned(&[("a", "x"), ("b", "x")])), Ok(()));
    }

    /// The same window has the same id, any other another one, in the form of a UUID.
    #[test]
    fn ids_are_stable() {
        let machine = owned(&[("hostname", "db1")]);
        let one = id(&machine, &window(None));
        assert_eq!(one, id(&machine, &window(None)));
        assert_ne!(one, id(&machine, &window(Some("a"))));
        assert_ne!(one, id(&[], &window(None)));
        let text = uuid([
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x87, 0x08, 0x89, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
            0x0f, 0x10,
        ]);
        assert_eq!(text, "01020304-0506-8708-890a-0b0c0d0e0f10");
    }
}
