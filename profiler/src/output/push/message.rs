//! A window in the form of its receiver, ready to be sent.
//!
//! This is work for the processor, a few milliseconds for a window, and knows no network.

use bytes::Bytes;
use prost::Message as _;

use super::proto::opentelemetry::proto::collector::profiles::v1development as otlp_service;
use super::proto::parca::profilestore::v1alpha1 as parca;
use super::proto::push::v1 as pyroscope;
use super::{Receiver, otlp, series};
use crate::output::Window;
use crate::pprof::{self, MergeError};

/// Names of threads and numbers are left out for Pyroscope, which makes a series of each value of a label that is a
/// text, and ignores numbers: a machine has thousands of names of threads, and one program many.
const SERIES_FOR_PYROSCOPE: [&str; 5] = ["comm", "cgroup", "container", "state", "truncated"];

/// What is sent.
#[derive(PartialEq, Debug)]
pub(super) enum Message {
    Pyroscope(Bytes),
    Otlp(Box<otlp_service::ExportProfilesServiceRequest>),
    Parca(Box<parca::WriteRawRequest>),
}

impl Message {
    /// Puts a window into the form of `receiver`, with the labels of the machine.
    pub(super) fn of(
        receiver: Receiver,
        machine: &[(String, String)],
        window: &Window,
    ) -> Result<Self, MergeError> {
        let labels = series::labels(receiver, machine, window);
        let id = series::id(machine, window);
        match receiver {
            Receiver::Pyroscope => {
                let profile = pprof::relabel(&window.profile, series_of_sample)?;
                Ok(Self::Pyroscope(for_pyroscope(labels, profile, id)))
            }
            Receiver::Otlp => {
                let contents = pprof::Contents::from_gzip(&window.profile)?;
                let request = otlp::request(&contents, labels, id);
                Ok(Self::Otlp(Box::new(request)))
            }
            Receiver::Parca => {
                let request = for_parca(labels, window.profile.to_vec());
                Ok(Self::Parca(Box::new(request)))
            }
        }
    }

    /// Its size in bytes, before HTTP compresses it.
    pub(super) fn size(&self) -> u64 {
        let size = match self {
            Self::Pyroscope(bytes) => bytes.len(),
            Self::Otlp(request) => request.encoded_len(),
            Self::Parca(request) => request.encoded_len(),
        };
        size as u64
    }
}

/// The value of a sample's label in Pyroscope, if it shall make a series.
fn series_of_sample(key: &str, value: &str) -> Option<String> {
    if !SERIES_FOR_PYROSCOPE.contains(&key) {
        return None;
    }
    // The kernel's workers have a name for each CPU and pool.
    let is_worker = key == "comm" && value.starts_with("kworker/");
    Some(if is_worker { "kworker" } else { value }.to_owned())
}

fn for_pyroscope(labels: Vec<(String, String)>, raw_profile: Vec<u8>, id: [u8; 16]) -> Bytes {
    let labels = labels.into_iter();
    let labels = labels.map(|(name, value)| pyroscope::LabelPair { name, value });
    let series = pyroscope::RawProfileSeries {
        labels: labels.collect(),
        samples: vec![pyroscope::RawSample {
            raw_profile,
            id: series::uuid(id),
        }],
    };
    let request = pyroscope::PushRequest {
        series: vec![series],
    };
    request.encode_to_vec().into()
}

fn for_parca(labels: Vec<(String, String)>, raw_profile: Vec<u8>) -> parca::WriteRawRequest {
    let labels = labels.into_iter();
    let labels = labels.map(|(name, value)| parca::Label { name, value });
    let series = parca::RawProfileSeries {
        labels: Some(parca::LabelSet {
            labels: labels.collect(),
        }),
        samples: vec![parca::RawSample { raw_profile }],
    };
    parca::WriteRawRequest {
        series: vec![series],
        // Addresses are those of processes, as pprof wants them.
        normalized: false,
    }
}
