//! The mapping table: which file an address range belongs to, in which order, and how far it is symbolized.
//!
//! Where the ranges come from is left to [`crate::process`], who the main binary is to the caller.

use std::collections::HashMap;
use std::ops::Index;

use super::proto;
use super::strings::Strings;
use super::usage::{Known, Uses};

/// A range of addresses and the file (or `[vdso]`, `[kernel.kallsyms]`, …) that it belongs to.
///
/// For a file the range is its executable PT_LOAD as loaded: `start` is the load bias plus `p_vaddr` rounded down
/// to a page, `offset` is `p_offset` rounded down to a page, `limit` is the end of the joined lines of the maps file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mapping {
    /// First address of the range, in the memory of the process.
    pub start: u64,
    /// First address behind the range.
    pub limit: u64,
    /// Offset in the file of what is mapped at `start`, in bytes.
    pub offset: u64,
    /// The file as the process sees it, without ` (deleted)`; or a name in brackets; empty when there is none.
    pub file: String,
    /// The GNU build-id as the note has it, at its real length; empty when there is none.
    ///
    /// Bytes, not text: pprof compares the texts, so there must be one way only to write them.
    pub build_id: Vec<u8>,
}

impl Mapping {
    /// Whether there is a file that somebody could open, by pprof's rules for what cannot be symbolized
    /// (`Unsymbolizable` in google/pprof's profile/profile.go).
    fn is_file(&self) -> bool {
        const NO_FILES: [&str; 5] = ["[", "//anon", "/memfd:", "/dev/dri/", "linux-vdso"];
        !self.file.is_empty() && !NO_FILES.iter().any(|prefix| self.file.starts_with(prefix))
    }

    fn message(&self, id: u64, known: Known, strings: &mut Strings) -> proto::Mapping {
        let build_id: String = self
            .build_id
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        proto::Mapping {
            id,
            memory_start: self.start,
            memory_limit: self.limit,
            file_offset: self.offset,
            filename: strings.intern(&self.file),
            build_id: strings.intern(&build_id),
            has_functions: known.functions,
            has_filenames: known.functions && known.files,
            has_line_numbers: known.functions && known.files && known.lines,
            // Function, file and line come from debug information, which knows of inlined calls too.
            has_inline_frames: known.functions && known.files && known.lines,
        }
    }
}

/// Names a mapping of one [`super::Builder`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MappingId(pub(super) usize);

/// Interns mappings by value.
#[derive(Default)]
pub(super) struct Mappings {
    ids: HashMap<Mapping, MappingId>,
    mappings: Vec<Mapping>,
    main: Option<MappingId>,
}

impl Mappings {
    pub(super) fn intern(&mut self, mapping: Mapping) -> MappingId {
        if let Some(&id) = self.ids.get(&mapping) {
            return id;
        }
        let id = MappingId(self.mappings.len());
        self.mappings.push(mapping.clone());
        self.ids.insert(mapping, id);
        id
    }

    pub(super) fn set_main(&mut self, id: MappingId) {
        self.main = Some(id);
    }

    pub(super) fn contains(&self, id: MappingId, address: u64) -> bool {
        let mapping = &self.mappings[id.0];
        mapping.start <= address && address < mapping.limit
    }

    pub(super) fn len(&self) -> usize {
        self.mappings.len()
    }

    /// The messages in their final order, and the final id of each mapping that has one.
    ///
    /// The main binary comes first, used or not; pprof takes the header of its reports from there. Behind it come
    /// those with locations, by address. With no main binary given (system-wide), the file with most samples at
    /// its own code is taken; a nameless range never comes first if anything else is there.
    pub(super) fn write(
        &self,
        uses: &Uses,
        strings: &mut Strings,
    ) -> (Vec<proto::Mapping>, Numbers) {
        let mut order: Vec<MappingId> = (0..self.mappings.len())
            .map(MappingId)
            .filter(|&id| uses[id].known.is_some() && Some(id) != self.main)
            .collect();
        order.sort_unstable_by_key(|&id| &self.mappings[id.0]);
        if let Some(main) = self.main {
            order.insert(0, main);
        } else if let Some(position) = self.likely_main(&order, uses) {
            order[..=position].rotate_right(1);
        }
        let mut numbers = Numbers(vec![0; self.mappings.len()]);
        let mut messages = Vec::with_capacity(order.len());
        for (id, number) in order.into_iter().zip(1..) {
            numbers.0[id.0] = number;
            let known = uses[id].known.unwrap_or(Known::NOTHING);
            messages.push(self.mappings[id.0].message(number, known, strings));
        }
        (messages, numbers)
    }

    /// The position in `order` of what to take for the main binary.
    fn likely_main(&self, order: &[MappingId], uses: &Uses) -> Option<usize> {
        let rank = |id: MappingId| {
            let mapping = &self.mappings[id.0];
            (
                mapping.is_file(),
                !mapping.file.is_empty(),
                uses[id].leaf_samples,
            )
        };
        // The first of equals, so that the order by address decides.
        (0..order.len())
            .rev()
            .max_by_key(|&position| rank(order[position]))
    }
}

/// The id in the profile by [`MappingId`]; 0 for mappings that were dropped.
pub(super) struct Numbers(Vec<u64>);

impl Index<MappingId> for Numbers {
    type Output = u64;

    fn index(&self, id: MappingId) -> &u64 {
        &self.0[id.0]
    }
}
