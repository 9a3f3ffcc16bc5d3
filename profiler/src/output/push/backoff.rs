//! How long to wait before the next try: longer each time, by chance, and never shorter than the receiver asks for.
//!
//! Waiting itself is left to the caller.

use std::time::Duration;

/// How pauses grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pauses {
    /// The longest possible first one.
    pub(crate) first: Duration,
    /// The longest possible one.
    pub(crate) longest: Duration,
    /// The longest that a receiver may ask for: one that errs in the unit must not stop pushes for good.
    pub(crate) longest_asked: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            longest_asked: Duration::from_secs(3600),
        }
    }
}

/// The pauses of one series of tries that failed.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: Pauses,
    tries: u32,
}

impl Backoff {
    pub(super) fn new(pauses: Pauses) -> Self {
        Self { pauses, tries: 0 }
    }

    /// A try has succeeded: the next pause is a first one again.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// A pause for what people have to put right: no shorter than half the longest, as nothing is in a hurry.
    pub(super) fn long(&self) -> Duration {
        self.pauses.longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The next pause, of `asked` at least.
    ///
    /// By chance between nothing and the bound, which doubles ("full jitter"): when a receiver comes back, the
    /// profilers of a fleet must not all come at once.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self
            .pauses
            .first
            .saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX))
            .min(self.pauses.longest);
        self.tries = self.tries.saturating_add(1);
        let asked = asked.unwrap_or_default().min(self.pauses.longest_asked);
        bound.mul_f64(fastrand::f64()) + asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(8),
        longest_asked: Duration::from_secs(60),
    };

    /// Pauses stay below a bound that doubles up to the longest, and are not all the same.
    #[test]
    fn pauses_grow_by_chance() {
        let mut backoff = Backoff::new(PAUSES);
        let mut seen = Vec::new();
        for bound in [1, 2, 4, 8].into_iter().chain([8; 100]) {
            let pause = backoff.next(None);
            assert!(pause <= Duration::from_secs(bound), "{pause:?} > {bound} s");
            seen.push(pause);
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 50, "{} different pauses", seen.len());
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_secs(1));
        for _ in 0..100 {
            let pause = backoff.long();
            assert!(pause >= PAUSES.longest / 2 && pause <= PAUSES.longest);
        }
    }

    /// What the receiver asks for is waited, and no more than the longest of that.
    #[test]
    fn wishes_are_respected() {
        let mut backoff = Backoff::new(PAUSES);
        let asked = Duration::from_secs(20);
        assert!(backoff.next(Some(asked)) >= asked);
        let pause = backoff.next(Some(Duration::MAX));
        assert!(pause >= PAUSES.longest_asked);
        assert!(pause <= PAUSES.longest_asked + PAUSES.longest);
    }
}
