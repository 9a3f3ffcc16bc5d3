//! When a window begins, by the clock on the wall, which somebody may set while windows are cut by the monotonic one.

use std::time::{Duration, SystemTime};

/// How far the two clocks may drift apart before it counts: a wall clock is slewed by less in any window.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Whether a clock that was set is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Clock {
    /// The clocks agree.
    #[default]
    Steady,
    /// The wall clock is behind the windows that there are.
    Behind,
}

/// When the window begins that follows one that began at `began` and lasted for `elapsed`, with `now` on the wall.
///
/// Windows adjoin. After a suspend, or when the clock was set forward, the next one begins by the new time, and the
/// gap shows. When it was set backward windows go on from where they were until the clock has caught up: otherwise
/// newer windows would sort before older ones, and be taken for the oldest.
pub(super) fn next(began: SystemTime, elapsed: Duration, now: SystemTime) -> (SystemTime, Clock) {
    let end = began.checked_add(elapsed).unwrap_or(began);
    match now.duration_since(end) {
        Ok(ahead) if ahead > TOLERANCE => (now, Clock::Steady),
        Ok(_) => (end, Clock::Steady),
        Err(behind) if behind.duration() > TOLERANCE => (end, Clock::Behind),
        Err(_) => (end, Clock::Steady),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// Windows adjoin to the nanosecond while the clocks agree, leave a gap after a suspend, and never go back.
    #[test]
    fn windows_follow_each_other() {
        let minute = Duration::from_secs(60);
        for (now, next_begins, clock) in [
            (160_000, 160_000, Clock::Steady),
            (160_900, 160_000, Clock::Steady),
            (159_100, 160_000, Clock::Steady),
            (220_000, 220_000, Clock::Steady),
            (10_000, 160_000, Clock::Behind),
        ] {
            assert_eq!(
                next(at(100_000), minute, at(now)),
                (at(next_begins), clock),
                "{now}"
            );
        }
    }
}
