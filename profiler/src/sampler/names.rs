//! Decides by the name of the process which samples are wanted, and has the kernel leave the others out from then on.
//!
//! A pattern cannot be matched in BPF, so each name that is met is decided on once here. That is exact from the first
//! sample on: what the kernel does not know to be unwanted it sends.

use std::collections::HashMap;

use aya::Ebpf;
use aya::maps::{HashMap as BpfHashMap, MapData};
use profiler_common::{COMM_LEN, NameWords};
use regex::bytes::Regex;

use super::error::SamplerError;
use super::load::take;
use super::ring::{Event, Sample};

/// Names that the kernel is told at most; those used longest ago are forgotten first.
pub(super) const MOST_NAMES: u32 = 1 << 13;

/// The pattern, and what came of it.
#[derive(Debug)]
pub(super) struct NameFilter {
    pattern: Regex,
    unwanted: BpfHashMap<MapData, NameWords, u8>,
    /// Whether a name is wanted.
    decided: HashMap<[u8; COMM_LEN], bool>,
    discarded: u64,
}

impl NameFilter {
    pub(super) fn new(ebpf: &mut Ebpf, pattern: Regex) -> Result<Self, SamplerError> {
        Ok(Self {
            pattern,
            unwanted: take(ebpf, "UNWANTED_NAMES")?,
            decided: HashMap::new(),
            discarded: 0,
        })
    }

    /// Whether an event is to be handed on: all but those about samples of processes with other names.
    pub(super) fn passes(&mut self, event: &Event) -> bool {
        let sample = match event {
            Event::Sample(sample) => sample,
            Event::StackCopy(copy) => &copy.sample,
            // Comes behind the sample that it belongs to.
            Event::WalkCheck(copy) => return self.is_wanted(&copy.sample),
            Event::Fork { .. } | Event::Exec { .. } | Event::Exit { .. } | Event::Memory(_) => {
                return true;
            }
        };
        let is_wanted = self.is_wanted(sample);
        if !is_wanted {
            self.discarded += 1;
            if let Err(error) = self.unwanted.insert(words(sample.name), 1, 0) {
                log::debug!("an unwanted name is not known in the kernel: {error}");
            }
        }
        is_wanted
    }

    /// How many samples came here and were not wanted.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Names that were met and not wanted, in order.
    pub(super) fn unwanted(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .decided
            .iter()
            .filter(|(_, is_wanted)| !**is_wanted)
            .map(|(name, _)| String::from_utf8_lossy(text(name)).into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    fn is_wanted(&mut self, sample: &Sample) -> bool {
        // Programs may name themselves anything, as often as they like.
        if self.decided.len() >= MOST_NAMES as usize {
            self.decided.clear();
        }
        let pattern = &self.pattern;
        let decide = || pattern.is_match(text(&sample.name));
        *self.decided.entry(sample.name).or_insert_with(decide)
    }
}

/// A name without the zeros behind it.
fn text(name: &[u8; COMM_LEN]) -> &[u8] {
    let end = name.iter().position(|byte| *byte == 0);
    &name[..end.unwrap_or(COMM_LEN)]
}

/// A name as the kernel side compares it.
fn words(name: [u8; COMM_LEN]) -> NameWords {
    let number = u128::from_ne_bytes(name);
    let (low, high) = (number as u64, (number >> 64) as u64);
    if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words have the bytes of the name, in their order.
    #[test]
    fn words_are_the_bytes() {
        let name = *b"fifteen bytes!!\0";
        let bytes: Vec<u8> = words(name)
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(bytes, name);
        assert_eq!(text(&name), b"fifteen bytes!!");
        assert_eq!(text(b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), b"sh");
    }
}
