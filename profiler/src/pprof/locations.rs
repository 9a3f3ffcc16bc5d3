//! The location table: one entry per address of a mapping, with a line per function that it belongs to.
//!
//! Which addresses callers have (return address minus one) is decided by [`crate::addr::CodeAddr`].

use std::collections::HashMap;

use super::functions::{Function, FunctionId, FunctionWriter, Functions, Line};
use super::mappings::{MappingId, Numbers};
use super::proto;
use super::strings::Strings;
use super::usage::Known;

/// Names a location of one [`super::Builder`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocationId(pub(super) usize);

/// One address, and what is known of it.
pub(super) struct Location {
    pub(super) mapping: Option<MappingId>,
    pub(super) address: u64,
    /// Function and line number, innermost first; empty when nothing is known.
    lines: Vec<(FunctionId, u32)>,
}

impl Location {
    /// Whether the lines are these already, which is so each time but the first that an address comes.
    fn has_lines(&self, lines: &[Line<'_>], functions: &Functions) -> bool {
        let mut pairs = self.lines.iter().zip(lines);
        self.lines.len() == lines.len()
            && pairs
                .all(|(&(id, number), line)| number == line.line && functions.get(id).is_of(line))
    }

    /// What is known of every function of the address.
    pub(super) fn known(&self, functions: &Functions) -> Known {
        let all = |known: &dyn Fn(&Function, u32) -> bool| {
            let mut lines = self.lines.iter();
            !self.lines.is_empty() && lines.all(|&(id, line)| known(functions.get(id), line))
        };
        Known {
            functions: all(&|function, _| !function.name.is_empty()),
            files: all(&|function, _| !function.file.is_empty()),
            lines: all(&|_, line| line != 0),
        }
    }

    /// The message with the ids that mapping and functions have in the profile.
    pub(super) fn message(
        &self,
        id: u64,
        mappings: &Numbers,
        functions: &mut FunctionWriter<'_>,
        strings: &mut Strings,
    ) -> proto::Location {
        let lines = self.lines.iter().map(|&(function, line)| proto::Line {
            function_id: functions.id(function, strings),
            line: i64::from(line),
        });
        proto::Location {
            id,
            mapping_id: self.mapping.map_or(0, |mapping| mappings[mapping]),
            address: self.address,
            line: lines.collect(),
            is_folded: false,
        }
    }
}

/// Interns locations by mapping and address.
#[derive(Default)]
pub(super) struct Locations {
    ids: HashMap<(Option<MappingId>, u64), LocationId>,
    locations: Vec<Location>,
}

/// An address that was known already had other names.
pub(super) struct Conflict;

impl Locations {
    /// An address in no mapping: nobody can name it.
    pub(super) fn intern_unmapped(&mut self, address: u64) -> LocationId {
        self.entry(None, address)
    }

    /// An address in a mapping.
    ///
    /// A second set of names for an address does not make a second location. Of two, the one that says more is
    /// kept, and of equals the greater one, so that the order in which they come does not matter.
    pub(super) fn intern(
        &mut self,
        mapping: MappingId,
        address: u64,
        lines: &[Line<'_>],
        functions: &mut Functions,
    ) -> (LocationId, Option<Conflict>) {
        let id = self.entry(Some(mapping), address);
        if self.get(id).has_lines(lines, functions) {
            return (id, None);
        }
        let lines: Vec<_> = lines
            .iter()
            .filter_map(|line| Some((functions.intern(line)?, line.line)))
            .collect();
        let location = &mut self.locations[id.0];
        if lines == location.lines || lines.is_empty() {
            return (id, None);
        }
        let conflict = (!location.lines.is_empty()).then_some(Conflict);
        if values(&lines, functions) > values(&location.lines, functions) {
            location.lines = lines;
        }
        (id, conflict)
    }

    pub(super) fn get(&self, id: LocationId) -> &Location {
        &self.locations[id.0]
    }

    pub(super) fn len(&self) -> usize {
        self.locations.len()
    }

    fn entry(&mut self, mapping: Option<MappingId>, address: u64) -> LocationId {
        *self.ids.entry((mapping, address)).or_insert_with(|| {
            self.locations.push(Location {
                mapping,
                address,
                lines: Vec::new(),
            });
            LocationId(self.locations.len() - 1)
        })
    }
}

/// Lines by value, as ids depend on the order in which functions came.
fn values<'a>(
    lines: &[(FunctionId, u32)],
    functions: &'a Functions,
) -> (usize, Vec<(&'a Function, u32)>) {
    let values: Vec<_> = lines
        .iter()
        .map(|&(id, line)| (functions.get(id), line))
        .collect();
    (values.len(), values)
}
