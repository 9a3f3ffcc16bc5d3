//! The mappings that frames refer to, each once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::process::Mapping;

/// Where frames lie.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A mapping of a process.
    User {
        /// The process that it was first seen in.
        pid: u32,
        /// The mapping.
        mapping: Arc<Mapping>,
    },
    /// The kernel.
    Kernel,
}

/// Index of a [`Place`] in a [`MappingTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct MappingIndex(u32);

/// Every place that has a frame or was asked to be kept.
#[derive(Debug, Default)]
pub(crate) struct MappingTable {
    places: Vec<Place>,
    /// By the address of the shared mapping, which stays unique because `places` keeps the mapping alive.
    users: HashMap<usize, MappingIndex>,
    kernel: Option<MappingIndex>,
    main: Vec<MappingIndex>,
}

impl MappingTable {
    /// The index of a process's mapping.
    pub(crate) fn user(&mut self, pid: u32, mapping: &Arc<Mapping>) -> MappingIndex {
        let Self { places, users, .. } = self;
        *users
            .entry(Arc::as_ptr(mapping) as usize)
            .or_insert_with(|| {
                push(
                    places,
                    Place::User {
                        pid,
                        mapping: Arc::clone(mapping),
                    },
                )
            })
    }

    /// The index of the kernel.
    pub(crate) fn kernel(&mut self) -> MappingIndex {
        let places = &mut self.places;
        *self
            .kernel
            .get_or_insert_with(|| push(places, Place::Kernel))
    }

    /// Remembers that this is the main binary of a process that was asked for.
    pub(crate) fn add_main(&mut self, index: MappingIndex) {
        if !self.main.contains(&index) {
            self.main.push(index);
        }
    }

    /// The main binaries of the processes that were asked for, in the order in which they were seen.
    pub(crate) fn mains(&self) -> &[MappingIndex] {
        &self.main
    }

    /// Every place with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MappingIndex, &Place)> {
        (0..).map(MappingIndex).zip(&self.places)
    }
}

impl MappingIndex {
    /// Position in the order of [`MappingTable::iter`].
    pub(crate) fn position(self) -> usize {
        self.0 as usize
    }
}

fn push(places: &mut Vec<Place>, place: Place) -> MappingIndex {
    places.push(place);
    MappingIndex(places.len() as u32 - 1)
}
