//! What a mapping needs to open its binary, and what came of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::OpenError;
use super::image::{Image, Opener};
use super::mapping::Mapping;
use crate::addr::ProcAddr;
use crate::binary::FileRange;

/// What a mapping needs to open its binary.
#[derive(Debug)]
pub(super) struct Parts {
    /// The range that `map_files` knows; that of one line, of possibly several.
    pub(super) link: (ProcAddr, ProcAddr),
    /// All ranges of the same file in the process, this one included.
    pub(super) siblings: Arc<[FileRange]>,
    pub(super) source: Arc<dyn Opener>,
    pub(super) image: OnceLock<Result<Image, Arc<OpenError>>>,
    /// A failure that may pass, and when it was met.
    pub(super) failure: Mutex<Option<(Instant, Arc<OpenError>)>>,
}

impl Parts {
    pub(super) fn new(
        link: (ProcAddr, ProcAddr),
        siblings: Arc<[FileRange]>,
        source: Arc<dyn Opener>,
    ) -> Self {
        Self {
            link,
            siblings,
            source,
            image: OnceLock::new(),
            failure: Mutex::default(),
        }
    }

    /// The failure that may pass, if the last try met one.
    pub(super) fn last_failure(&self) -> Option<Arc<OpenError>> {
        let failure = self.failure.lock();
        let failure = failure.unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(|(_, error)| Arc::clone(error))
    }

    /// Opens the binary of `mapping`, whose parts these are, unless that failed a moment ago.
    #[cold]
    pub(super) fn open(&self, mapping: &Mapping) -> Option<&Image> {
        // Held while opening, so that only one thread does it.
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if self.image.get().is_none() {
            let retry_after = self.source.retry_after();
            // What has come meanwhile is known without asking for it once more.
            let recent = |(at, error): &(Instant, Arc<OpenError>)| {
                at.elapsed() < retry_after && !matches!(**error, OpenError::NoAnswer)
            };
            if failure.as_ref().is_some_and(recent) {
                return None;
            }
            match self.source.open(mapping) {
                Err(error) if error.is_transient() => {
                    *failure = Some((Instant::now(), Arc::new(error)));
                    return None;
                }
                result => {
                    *failure = None;
                    self.image.get_or_init(|| result.map_err(Arc::new));
                }
            }
        }
        self.image.get()?.as_ref().ok()
    }
}
