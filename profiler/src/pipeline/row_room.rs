//! Room for rows: which binaries are forgotten for others, and what is tried again when there is room.

use super::unwinding::{Loaded, Stage, Unwinding};
use crate::sampler::Tables;

/// So many binaries are remembered before those that no process uses are forgotten; a year of upgrades has fewer.
const MOST_BINARIES: usize = 1 << 13;

impl Unwinding {
    /// Has the rows made once more for which there was no room, if there is some now.
    pub(super) fn ask_again(&mut self) {
        if !self.binaries.values().any(Loaded::is_evictable) {
            return;
        }
        for loaded in self.binaries.values_mut() {
            if matches!(loaded.stage, Stage::NoRoom)
                && loaded.processes > 0
                && let Some(binary) = loaded.binary.upgrade()
            {
                loaded.stage = Stage::Asked;
                self.maker.ask(&binary);
            }
        }
    }

    /// Forgets the older half of the binaries that no process uses, when there are many.
    pub(super) fn forget_unused(&mut self, tables: &mut Tables) {
        if self.binaries.len() <= MOST_BINARIES {
            return;
        }
        let unused =
            |loaded: &&Loaded| loaded.processes == 0 && !matches!(loaded.stage, Stage::Asked);
        let mut times: Vec<u64> = self
            .binaries
            .values()
            .filter(unused)
            .map(|loaded| loaded.last_used)
            .collect();
        times.sort_unstable();
        let Some(middle) = times.get(times.len() / 2).copied() else {
            return;
        };
        self.binaries.retain(|_, loaded| {
            let stays = !unused(&&*loaded) || loaded.last_used >= middle;
            if !stays && let Stage::Published(published, _) = &loaded.stage {
                tables.release(published);
            }
            self.counts.evicted += u64::from(!stays);
            stays
        });
    }

    /// Takes the rows of the binary out of the tables that no process uses and that was used longest ago.
    pub(super) fn evict(&mut self, tables: &mut Tables) -> bool {
        let unused = self
            .binaries
            .iter()
            .filter(|(_, loaded)| loaded.is_evictable())
            .min_by_key(|(_, loaded)| loaded.last_used)
            .map(|(id, _)| *id);
        let Some(loaded) = unused.and_then(|id| self.binaries.remove(&id)) else {
            return false;
        };
        if let Stage::Published(published, _) = &loaded.stage {
            tables.release(published);
            Tables::rest();
        }
        self.counts.evicted += 1;
        true
    }
}

impl Loaded {
    /// Whether its rows are in the tables for nobody.
    fn is_evictable(&self) -> bool {
        self.processes == 0 && matches!(self.stage, Stage::Published(..))
    }
}
