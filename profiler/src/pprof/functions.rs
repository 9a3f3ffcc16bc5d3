//! The function table, and how a function's two names are chosen.
//!
//! Which functions an address belongs to is known to [`super::locations`].

use std::collections::HashMap;
use std::sync::Arc;

use super::proto;
use super::strings::Strings;

/// One function that an address belongs to, and the source line of the address in it.
///
/// Several make up the answer for an address in inlined code, innermost first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line<'a> {
    /// Name for people, demangled; empty when not known.
    pub name: &'a str,
    /// Name as the symbol table has it, mangled; empty when it never was mangled.
    pub system_name: &'a str,
    /// Source file; empty when not known.
    pub file: &'a str,
    /// Line in `file` at which the function begins; 0 when not known.
    pub start_line: u32,
    /// Line of the address in `file`; 0 when not known.
    pub line: u32,
}

/// Names a function of one [`Functions`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FunctionId(usize);

/// A function as the profile has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) system_name: String,
    pub(super) file: String,
    pub(super) start_line: u32,
}

impl Function {
    /// Whether `line` would become this function.
    pub(super) fn is_of(&self, line: &Line<'_>) -> bool {
        self.name == line.name
            && self.system_name == system_name(line)
            && self.file == line.file
            && self.start_line == line.start_line
    }
}

/// Interns functions by value.
#[derive(Default)]
pub(super) struct Functions {
    ids: HashMap<Arc<Function>, FunctionId>,
    functions: Vec<Arc<Function>>,
}

impl Functions {
    /// The function of `line`, which is added when it is new; none when nothing is known of it.
    pub(super) fn intern(&mut self, line: &Line<'_>) -> Option<FunctionId> {
        if line.name.is_empty() && line.file.is_empty() {
            return None;
        }
        let function = Function {
            name: line.name.to_owned(),
            system_name: system_name(line).to_owned(),
            file: line.file.to_owned(),
            start_line: line.start_line,
        };
        if let Some(&id) = self.ids.get(&function) {
            return Some(id);
        }
        let id = FunctionId(self.functions.len());
        let function = Arc::new(function);
        self.functions.push(Arc::clone(&function));
        self.ids.insert(function, id);
        Some(id)
    }

    pub(super) fn get(&self, id: FunctionId) -> &Function {
        &self.functions[id.0]
    }
}

/// Writes functions with ids in the order of their first use, so that they depend on the locations alone.
pub(super) struct FunctionWriter<'a> {
    functions: &'a Functions,
    /// The written id by [`FunctionId`]; 0 for those not used yet.
    written: Vec<u64>,
    messages: Vec<proto::Function>,
}

impl<'a> FunctionWriter<'a> {
    pub(super) fn new(functions: &'a Functions) -> Self {
        Self {
            functions,
            written: vec![0; functions.functions.len()],
            messages: Vec::new(),
        }
    }

    /// The id by which lines name the function.
    pub(super) fn id(&mut self, id: FunctionId, strings: &mut Strings) -> u64 {
        if self.written[id.0] == 0 {
            self.written[id.0] = self.messages.len() as u64 + 1;
            let function = self.functions.get(id);
            self.messages.push(proto::Function {
                id: self.written[id.0],
                name: strings.intern(&function.name),
                system_name: strings.intern(&function.system_name),
                filename: strings.intern(&function.file),
                start_line: i64::from(function.start_line),
            });
        }
        self.written[id.0]
    }

    pub(super) fn into_messages(self) -> Vec<proto::Function> {
        self.messages
    }
}

/// The system name to write.
///
/// When both names are equal pprof demangles, and cuts `<…>` and `(…)` out of whatever looks like C++ then:
/// `<Vec<u8> as FromIterator<u8>>::from_iter` would print as `::from_iter`. An empty system name keeps such a
/// name whole. Any other name that never was mangled has itself as system name, as `runtime/pprof` writes it,
/// because pprof's `-raw` shows a system name that differs.
fn system_name<'a>(line: &Line<'a>) -> &'a str {
    let never_mangled = line.system_name.is_empty() || line.system_name == line.name;
    if !never_mangled {
        line.system_name
    } else if line.name.contains(['<', '(']) {
        ""
    } else {
        line.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that pprof would cut have another system name (PR-08); all others keep what they have.
    #[test]
    fn system_name_protects_generics() {
        let cases = [
            ("main", "", "main"),
            ("main", "main", "main"),
            ("a::b", "_ZN1a1bE", "_ZN1a1bE"),
            ("_ZN1a1bE", "_ZN1a1bE", "_ZN1a1bE"),
            ("<A as B>::c", "<A as B>::c", ""),
            ("<A as B>::c", "", ""),
            (
                "<A as B>::c",
                "_RNvXs_1aNtB4_1ANtB4_1B1c",
                "_RNvXs_1aNtB4_1ANtB4_1B1c",
            ),
            ("main.(*T).f", "main.(*T).f", ""),
            ("", "", ""),
        ];
        for (name, given, wanted) in cases {
            let line = Line {
                name,
                system_name: given,
                ..Line::default()
            };
            assert_eq!(system_name(&line), wanted, "{name} / {given}");
        }
    }

    /// A function is kept once per value, and one of which nothing is known is none.
    #[test]
    fn functions_are_kept_once() {
        let mut functions = Functions::default();
        let line = Line {
            name: "main",
            file: "a.c",
            line: 3,
            ..Line::default()
        };
        let first = functions.intern(&line);
        assert!(first.is_some());
        assert_eq!(functions.intern(&Line { line: 4, ..line }), first);
        assert_ne!(
            functions.intern(&Line {
                file: "b.c",
                ..line
            }),
            first
        );
        assert_eq!(
            functions.intern(&Line {
                line: 5,
                ..Line::default()
            }),
            None
        );
    }
}
