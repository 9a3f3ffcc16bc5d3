//! What was tried and what was lost, in numbers that only rise.

/// Samples that did not arrive, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Losses {
    /// Timer ticks that hit a target: samples received plus samples lost.
    pub tried: u64,
    /// The ring buffer was full.
    pub ring_full: u64,
    /// The kernel refused to put the sample into the ring buffer.
    pub output_failed: u64,
    /// Records that user space could not decode.
    pub malformed: u64,
    /// Process events (not samples) that did not fit into the ring.
    pub events: u64,
    /// Records of mappings, forks, execs and ends that the kernel had no room for.
    pub memory_events: u64,
    /// Children that could not be followed because the table of targets was full.
    pub children_not_followed: u64,
}

impl Losses {
    /// Samples that were taken but did not arrive.
    pub(crate) fn samples(&self) -> u64 {
        self.ring_full + self.output_failed + self.malformed
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            tried: self.tried + other.tried,
            ring_full: self.ring_full + other.ring_full,
            output_failed: self.output_failed + other.output_failed,
            malformed: self.malformed + other.malformed,
            events: self.events + other.events,
            memory_events: self.memory_events + other.memory_events,
            children_not_followed: self.children_not_followed + other.children_not_followed,
        }
    }

    /// What has come since `before`. What was tried and then found to be none of those asked for may have come before.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            tried: self.tried.saturating_sub(before.tried),
            ring_full: self.ring_full.saturating_sub(before.ring_full),
            output_failed: self.output_failed.saturating_sub(before.output_failed),
            malformed: self.malformed.saturating_sub(before.malformed),
            events: self.events.saturating_sub(before.events),
            memory_events: self.memory_events.saturating_sub(before.memory_events),
            children_not_followed: self
                .children_not_followed
                .saturating_sub(before.children_not_followed),
        }
    }
}
