//! Hits handed to observers, each of which may fail without keeping anything from the others.

use std::error::Error;
use std::fmt;
use std::io;

use super::{Hit, Scan};

/// Is called once for each hit.
pub type Observer<'a> = &'a mut dyn FnMut(&Hit) -> Result<(), Box<dyn Error + Send + Sync>>;

/// What came of a run.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// How many hits each observer was called with.
    pub hits: u64,
    /// What observers failed with, in the order in which that happened.
    pub failures: Vec<Failure>,
}

/// An observer failed at a hit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Which of the observers, counted from 0.
    pub observer: usize,
    /// The process of the hit.
    pub pid: u32,
    /// What it failed with.
    pub error: Box<dyn Error + Send + Sync>,
}

impl Scan {
    /// Calls each observer once for each hit of [`Self::hits`], in their order, and returns after the last call. One that
    /// fails is called again for the next hit.
    ///
    /// # Errors
    ///
    /// As [`Self::hits`].
    pub fn run(&mut self, observers: &mut [Observer<'_>]) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        for hit in self.hits()? {
            outcome.hits += 1;
            for (number, observer) in observers.iter_mut().enumerate() {
                if let Err(error) = observer(&hit) {
                    outcome.failures.push(Failure {
                        observer: number,
                        pid: hit.pid,
                        error,
                    });
                }
            }
        }
        Ok(outcome)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            observer,
            pid,
            error,
        } = self;
        write!(
            f,
            "observer {observer} failed at a hit in pid {pid}: {error}"
        )
    }
}
