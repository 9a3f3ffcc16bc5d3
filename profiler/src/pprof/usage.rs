//! What the locations and samples of a mapping say about it: how far it is symbolized, and how much it ran.
//!
//! What follows for the mapping's place and flags is left to [`super::mappings`].

use std::ops::{BitAnd, Index, IndexMut};

use super::mappings::MappingId;

/// What is known of one location, or of all locations of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) functions: bool,
    pub(super) files: bool,
    pub(super) lines: bool,
}

impl Known {
    /// What a mapping without locations claims: nothing, so that pprof would look if it had to.
    pub(super) const NOTHING: Self = Self {
        functions: false,
        files: false,
        lines: false,
    };
}

impl BitAnd for Known {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self {
            functions: self.functions && other.functions,
            files: self.files && other.files,
            lines: self.lines && other.lines,
        }
    }
}

/// What one mapping's locations and samples say about it.
#[derive(Clone, Copy, Default)]
pub(super) struct Use {
    /// What is known of all its locations; none without locations.
    pub(super) known: Option<Known>,
    /// Samples whose innermost frame it has.
    pub(super) leaf_samples: u64,
}

impl Use {
    pub(super) fn add_location(&mut self, known: Known) {
        self.known = Some(self.known.map_or(known, |before| before & known));
    }

    pub(super) fn add_samples(&mut self, count: u64) {
        self.leaf_samples = self.leaf_samples.saturating_add(count);
    }
}

/// [`Use`] by [`MappingId`].
pub(super) struct Uses(Vec<Use>);

impl Uses {
    /// None of `len` mappings is used.
    pub(super) fn none(len: usize) -> Self {
        Self(vec![Use::default(); len])
    }
}

impl Index<MappingId> for Uses {
    type Output = Use;

    fn index(&self, id: MappingId) -> &Use {
        &self.0[id.0]
    }
}

impl IndexMut<MappingId> for Uses {
    fn index_mut(&mut self, id: MappingId) -> &mut Use {
        &mut self.0[id.0]
    }
}
