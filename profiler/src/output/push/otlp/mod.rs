//! A profile as OTLP has it: one dictionary of tables whose entries refer to each other by index.
//!
//! The first entry of each table stands for nothing, so that 0 is "none"; no entry is there twice, and none that nothing
//! refers to. Names of attributes are those of OpenTelemetry's semantic conventions ([`attributes`]).
//! Comments have no place in OTLP, and are left out.

mod attributes;
mod dictionary;
#[cfg(test)]
mod tests;

use super::proto::opentelemetry::proto as messages;
use crate::pprof::{Contents, ValueType};
use dictionary::Dictionary;
use messages::collector::profiles::v1development::ExportProfilesServiceRequest;
use messages::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use messages::profiles::v1development::{
    Profile, ResourceProfiles, Sample, ScopeProfiles, ValueType as OtlpValueType,
};
use messages::resource::v1::Resource;

/// The request for one window.
pub(super) fn request(
    contents: &Contents,
    labels: Vec<(String, String)>,
    id: [u8; 16],
) -> ExportProfilesServiceRequest {
    let mut dictionary = Dictionary::new(contents);
    let types = 0..contents.sample_types.len();
    let profiles = types
        .filter(|&index| !is_times_period(contents, index))
        .zip(0_u8..)
        .map(|(index, number)| {
            let mut id = id;
            id[15] ^= number;
            profile(contents, index, id, &mut dictionary)
        });
    let scope = ScopeProfiles {
        scope: Some(InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        profiles: profiles.collect(),
        ..ScopeProfiles::default()
    };
    let attributes = labels.into_iter().map(|(key, value)| KeyValue {
        key,
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    });
    let resource = Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    };
    ExportProfilesServiceRequest {
        resource_profiles: vec![ResourceProfiles {
            resource: Some(resource),
            scope_profiles: vec![scope],
            ..ResourceProfiles::default()
        }],
        dictionary: Some(dictionary.into_message()),
    }
}

/// Whether a value is only the first one times the period, as CPU time is of samples: OTLP's profiles have one value
/// and a period, and whoever reads them multiplies.
fn is_times_period(contents: &Contents, index: usize) -> bool {
    let is_of_period = contents.period_type == contents.sample_types.get(index).copied();
    index > 0
        && is_of_period
        && contents.samples.iter().all(|sample| {
            sample.values[0].checked_mul(contents.period) == Some(sample.values[index])
        })
}

/// The profile of one of the values that samples have.
fn profile(
    contents: &Contents,
    index: usize,
    id: [u8; 16],
    dictionary: &mut Dictionary<'_>,
) -> Profile {
    let value_type = |value_type: ValueType, dictionary: &mut Dictionary<'_>| OtlpValueType {
        type_strindex: dictionary.text(value_type.name),
        unit_strindex: dictionary.text(value_type.unit),
    };
    let samples = contents.samples.iter().map(|sample| Sample {
        stack_index: dictionary.stack(&sample.stack),
        attribute_indices: dictionary.labels(&sample.labels),
        values: vec![sample.values[index]],
        ..Sample::default()
    });
    Profile {
        samples: samples.collect(),
        sample_type: Some(value_type(contents.sample_types[index], dictionary)),
        time_unix_nano: u64::try_from(contents.time_ns).unwrap_or(0),
        duration_nano: u64::try_from(contents.duration_ns).unwrap_or(0),
        period_type: contents
            .period_type
            .map(|period_type| value_type(period_type, dictionary)),
        period: contents.period,
        profile_id: id.to_vec(),
        ..Profile::default()
    }
}
