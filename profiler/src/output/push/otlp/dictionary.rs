//! The tables of an OTLP message, filled as something refers to them.
//!
//! What refers to them is left to [`super`].

use std::collections::HashMap;
use std::hash::Hash;

use super::attributes::{self, BUILD_ID, FRAME_TYPE};
use super::messages::common::v1::{AnyValue, any_value};
use super::messages::profiles::v1development::{
    Function, KeyValueAndUnit, Line, Link, Location, Mapping, ProfilesDictionary, Stack,
};
use crate::pprof::{Contents, LabelValue, Text};

/// A table whose entry 0 stands for nothing.
struct Table<K, T> {
    indices: HashMap<K, i32>,
    entries: Vec<T>,
}

impl<K: Eq + Hash, T: Default> Table<K, T> {
    fn new() -> Self {
        Self {
            indices: HashMap::new(),
            entries: vec![T::default()],
        }
    }

    fn index(&self, key: &K) -> Option<i32> {
        self.indices.get(key).copied()
    }

    fn add(&mut self, key: K, entry: T) -> i32 {
        let index = i32::try_from(self.entries.len())
            .expect("a profile of 256 MiB has less than 2^31 of anything");
        self.entries.push(entry);
        self.indices.insert(key, index);
        index
    }
}

/// What tells attributes apart: key and unit as indices, and the value.
type AttributeKey = (i32, Value, i32);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Value {
    Text(String),
    Number(i64),
    Yes,
}

/// The tables for one profile.
pub(super) struct Dictionary<'a> {
    contents: &'a Contents,
    strings: Table<String, String>,
    attributes: Table<AttributeKey, KeyValueAndUnit>,
    mappings: Table<usize, Mapping>,
    functions: Table<usize, Function>,
    locations: Table<usize, Location>,
    stacks: Table<Vec<usize>, Stack>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn new(contents: &'a Contents) -> Self {
        let mut strings = Table::new();
        strings.indices.insert(String::new(), 0);
        let mut stacks = Table::new();
        stacks.indices.insert(Vec::new(), 0);
        Self {
            contents,
            strings,
            attributes: Table::new(),
            mappings: Table::new(),
            functions: Table::new(),
            locations: Table::new(),
            stacks,
        }
    }

    pub(super) fn into_message(self) -> ProfilesDictionary {
        ProfilesDictionary {
            mapping_table: self.mappings.entries,
            location_table: self.locations.entries,
            function_table: self.functions.entries,
            link_table: vec![Link::default()],
            string_table: self.strings.entries,
            attribute_table: self.attributes.entries,
            stack_table: self.stacks.entries,
        }
    }

    /// The index of a text of the profile.
    pub(super) fn text(&mut self, text: Text) -> i32 {
        self.string(self.contents.text(text))
    }

    fn string(&mut self, string: &str) -> i32 {
        // Looked up first without a copy, because most are there.
        if let Some(&index) = self.strings.indices.get(string) {
            return index;
        }
        self.strings.add(string.to_owned(), string.to_owned())
    }

    /// The index of a stack, innermost frame first.
    pub(super) fn stack(&mut self, stack: &[usize]) -> i32 {
        if let Some(&index) = self.stacks.indices.get(stack) {
            return index;
        }
        let location_indices = stack
            .iter()
            .map(|&location| self.location(location))
            .collect();
        self.stacks.add(stack.to_vec(), Stack { location_indices })
    }

    /// The indices of the labels of a sample.
    pub(super) fn labels(&mut self, labels: &[(Text, LabelValue)]) -> Vec<i32> {
        let labels = labels.iter().map(|&(key, value)| {
            let key = self.contents.text(key);
            let name = attributes::of_label(key);
            match value {
                LabelValue::Text(text) => {
                    let text = self.contents.text(text).to_owned();
                    self.attribute(&name, Value::Text(text), "")
                }
                LabelValue::Number(number, unit) => {
                    // pprof takes the key for the unit of a number that has none.
                    let unit = self.contents.text(unit);
                    let unit = if unit == key { "" } else { unit };
                    self.attribute(&name, Value::Number(number), unit)
                }
            }
        });
        labels.collect()
    }

    fn attribute(&mut self, name: &str, value: Value, unit: &str) -> i32 {
        let key = (self.string(name), value, self.string(unit));
        if let Some(index) = self.attributes.index(&key) {
            return index;
        }
        let value = match key.1.clone() {
            Value::Text(text) => any_value::Value::StringValue(text),
            Value::Number(number) => any_value::Value::IntValue(number),
            Value::Yes => any_value::Value::BoolValue(true),
        };
        let entry = KeyValueAndUnit {
            key_strindex: key.0,
            value: Some(AnyValue { value: Some(value) }),
            unit_strindex: key.2,
        };
        self.attributes.add(key, entry)
    }

    fn location(&mut self, index: usize) -> i32 {
        if let Some(known) = self.locations.index(&index) {
            return known;
        }
        let location = &self.contents.locations[index];
        let mapping = location
            .mapping
            .map(|mapping| &self.contents.mappings[mapping]);
        let file = mapping.map_or("", |mapping| self.contents.text(mapping.file));
        let innermost = location.lines.first();
        let source = innermost.map_or("", |&(function, _)| {
            self.contents.text(self.contents.functions[function].file)
        });
        let frame_type = attributes::frame_type(file, source).map(str::to_owned);
        let attribute_indices =
            frame_type.map(|kind| self.attribute(FRAME_TYPE, Value::Text(kind), ""));
        let lines = location.lines.iter().map(|&(function, line)| Line {
            function_index: self.function(function),
            line,
            column: 0,
        });
        let entry = Location {
            lines: lines.collect(),
            mapping_index: location.mapping.map_or(0, |mapping| self.mapping(mapping)),
            address: location.address,
            attribute_indices: attribute_indices.into_iter().collect(),
        };
        self.locations.add(index, entry)
    }

    fn function(&mut self, index: usize) -> i32 {
        if let Some(known) = self.functions.index(&index) {
            return known;
        }
        let function = &self.contents.functions[index];
        let entry = Function {
            name_strindex: self.text(function.name),
            system_name_strindex: self.text(function.system_name),
            filename_strindex: self.text(function.file),
            start_line: function.start_line,
        };
        self.functions.add(index, entry)
    }

    fn mapping(&mut self, index: usize) -> i32 {
        if let Some(known) = self.mappings.index(&index) {
            return known;
        }
        let mapping = &self.contents.mappings[index];
        let mut attribute_indices = Vec::new();
        let build_id = self.contents.text(mapping.build_id);
        if !build_id.is_empty() {
            attribute_indices.push(self.attribute(BUILD_ID, Value::Text(build_id.to_owned()), ""));
        }
        let flags = [
            ("pprof.mapping.has_functions", mapping.has_functions),
            ("pprof.mapping.has_filenames", mapping.has_filenames),
            ("pprof.mapping.has_line_numbers", mapping.has_line_numbers),
            ("pprof.mapping.has_inline_frames", mapping.has_inline_frames),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            attribute_indices.push(self.attribute(name, Value::Yes, ""));
        }
        let entry = Mapping {
            memory_start: mapping.start,
            memory_limit: mapping.limit,
            file_offset: mapping.offset,
            filename_strindex: self.text(mapping.file),
            attribute_indices,
        };
        self.mappings.add(index, entry)
    }
}
