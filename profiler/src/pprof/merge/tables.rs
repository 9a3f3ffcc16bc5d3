//! The tables of a merged profile: each mapping, function, location and text once, whatever id it had where it came from.
//!
//! What is taken for the same is what pprof takes for the same (`profile/merge.go` of github.com/google/pprof): mappings by
//! build-id, or else by file, with offset and size; locations by their place in the mapping, and by their lines; functions by
//! all that is known of them. Only what a sample needs is taken over.

use std::collections::HashMap;

use crate::pprof::proto;
use crate::pprof::strings::Strings;

/// Sizes of mappings are rounded to pages, as pprof does.
const PAGE: u64 = 4096;

/// The tables.
pub(super) struct Tables {
    pub(super) strings: Strings,
    /// With ids from 1 in order, as all of them.
    pub(super) mappings: Vec<proto::Mapping>,
    mapping_ids: HashMap<MappingKey, u64>,
    pub(super) functions: Vec<proto::Function>,
    function_ids: HashMap<proto::Function, u64>,
    pub(super) locations: Vec<proto::Location>,
    location_ids: HashMap<LocationKey, u64>,
}

#[derive(PartialEq, Eq, Hash)]
struct MappingKey {
    size: u64,
    offset: u64,
    build_id_or_file: i64,
}

#[derive(PartialEq, Eq, Hash)]
struct LocationKey {
    mapping: u64,
    /// From the start of the mapping.
    offset: u64,
    lines: Box<[proto::Line]>,
    is_folded: bool,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            strings: Strings::new(),
            mappings: Vec::new(),
            mapping_ids: HashMap::new(),
            functions: Vec::new(),
            function_ids: HashMap::new(),
            locations: Vec::new(),
            location_ids: HashMap::new(),
        }
    }
}

/// What has been taken over of one profile.
pub(super) struct Source<'a> {
    message: &'a proto::Profile,
    mappings: HashMap<u64, &'a proto::Mapping>,
    functions: HashMap<u64, &'a proto::Function>,
    locations: HashMap<u64, &'a proto::Location>,
    texts: HashMap<i64, i64>,
    /// The id in the tables, and what has to be added to addresses.
    merged_mappings: HashMap<u64, (u64, u64)>,
    merged_functions: HashMap<u64, u64>,
    merged_locations: HashMap<u64, u64>,
}

impl<'a> Source<'a> {
    /// A profile in which every reference leads somewhere.
    pub(super) fn new(message: &'a proto::Profile) -> Self {
        let mappings = message.mapping.iter().map(|mapping| (mapping.id, mapping));
        let functions = message.function.iter();
        let locations = message.location.iter();
        Self {
            message,
            mappings: mappings.collect(),
            functions: functions.map(|function| (function.id, function)).collect(),
            locations: locations.map(|location| (location.id, location)).collect(),
            texts: HashMap::new(),
            merged_mappings: HashMap::new(),
            merged_functions: HashMap::new(),
            merged_locations: HashMap::new(),
        }
    }

    /// What a text of the profile says.
    pub(super) fn said(&self, index: i64) -> &'a str {
        super::text_of(&self.message.string_table, index)
    }

    /// The index of a text in the tables.
    pub(super) fn text(&mut self, tables: &mut Tables, index: i64) -> i64 {
        let said = self.said(index);
        let merged = self.texts.entry(index);
        *merged.or_insert_with(|| tables.strings.intern(said))
    }

    /// The id of a mapping in the tables, and what has to be added to addresses in it.
    pub(super) fn mapping(&mut self, tables: &mut Tables, id: u64) -> (u64, u64) {
        if let Some(&merged) = self.merged_mappings.get(&id) {
            return merged;
        }
        let Some(&mapping) = self.mappings.get(&id) else {
            return (0, 0);
        };
        let build_id = self.text(tables, mapping.build_id);
        let size = mapping.memory_limit.wrapping_sub(mapping.memory_start);
        let size = size.wrapping_add(PAGE - 1);
        let key = MappingKey {
            size: size - size % PAGE,
            offset: mapping.file_offset,
            build_id_or_file: if build_id == 0 {
                self.text(tables, mapping.filename)
            } else {
                build_id
            },
        };
        let next = tables.mappings.len() as u64 + 1;
        let merged = *tables.mapping_ids.entry(key).or_insert(next);
        if merged == next {
            let filename = self.text(tables, mapping.filename);
            tables.mappings.push(proto::Mapping {
                id: next,
                filename,
                build_id,
                ..*mapping
            });
        }
        let start = entry(&tables.mappings, merged).memory_start;
        let merged = (merged, start.wrapping_sub(mapping.memory_start));
        self.merged_mappings.insert(id, merged);
        merged
    }

    fn function(&mut self, tables: &mut Tables, id: u64) -> u64 {
        if let Some(&merged) = self.merged_functions.get(&id) {
            return merged;
        }
        let Some(&function) = self.functions.get(&id) else {
            return 0;
        };
        let key = proto::Function {
            id: 0,
            name: self.text(tables, function.name),
            system_name: self.text(tables, function.system_name),
            filename: self.text(tables, function.filename),
            start_line: function.start_line,
        };
        let next = tables.functions.len() as u64 + 1;
        let merged = *tables.function_ids.entry(key).or_insert(next);
        if merged == next {
            tables.functions.push(proto::Function { id: next, ..key });
        }
        self.merged_functions.insert(id, merged);
        merged
    }

    /// The id of a location in the tables.
    pub(super) fn location(&mut self, tables: &mut Tables, id: u64) -> u64 {
        if let Some(&merged) = self.merged_locations.get(&id) {
            return merged;
        }
        let Some(&location) = self.locations.get(&id) else {
            return 0;
        };
        let (mapping, shift) = self.mapping(tables, location.mapping_id);
        let address = location.address.wrapping_add(shift);
        let lines = location.line.iter().map(|line| proto::Line {
            function_id: self.function(tables, line.function_id),
            line: line.line,
        });
        let lines: Vec<proto::Line> = lines.collect();
        let start = match mapping {
            0 => 0,
            mapping => entry(&tables.mappings, mapping).memory_start,
        };
        let key = LocationKey {
            mapping,
            offset: address.wrapping_sub(start),
            lines: lines.clone().into(),
            is_folded: location.is_folded,
        };
        let next = tables.locations.len() as u64 + 1;
        let merged = *tables.location_ids.entry(key).or_insert(next);
        if merged == next {
            tables.locations.push(proto::Location {
                id: next,
                mapping_id: mapping,
                address,
                line: lines,
                is_folded: location.is_folded,
            });
        }
        self.merged_locations.insert(id, merged);
        merged
    }
}

/// What has the id, which counts from 1.
pub(super) fn entry<T>(table: &[T], id: u64) -> &T {
    &table[index(id)]
}

/// Where in a table the id is, which counts from 1.
pub(super) fn index(id: u64) -> usize {
    usize::try_from(id - 1).expect("ids count what is in memory")
}
