//! Names for people out of names for linkers: demangling, and what pprof wants as name and system name.
//!
//! Where the linker's name comes from is left to the other files of this module.

use std::collections::HashMap;
use std::fmt::{self, Write};

use super::Function;

/// Longest demangled name that is kept, in bytes.
///
/// Both manglings can refer back to earlier parts of a name, so a short symbol can stand for an enormous name.
/// The longest that C++ libraries really contain are a few KiB.
const LONGEST_NAME: usize = 64 << 10;

/// A function's name in both forms that pprof stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Names {
    /// For people.
    pub(super) name: String,
    /// As the linker knows it.
    pub(super) system_name: String,
}

impl From<Names> for Function {
    /// A function of which nothing but the name is known.
    fn from(names: Names) -> Self {
        Self {
            name: names.name,
            system_name: names.system_name,
            file: String::new(),
            line: 0,
        }
    }
}

/// Demangles, and remembers what it has demangled: the functions of one binary come again and again.
#[derive(Default, Debug)]
pub(super) struct Demangler {
    known: HashMap<String, Names>,
}

impl Demangler {
    /// The two names of the function that symbol table or debug information call `raw`.
    pub(super) fn names(&mut self, raw: &str) -> Names {
        if let Some(names) = self.known.get(raw) {
            return names.clone();
        }
        let names = names(raw);
        self.known.insert(raw.to_owned(), names.clone());
        names
    }
}

/// Whether `raw` looks like a name that a C++ or Rust compiler has mangled.
pub(super) fn is_mangled(raw: &str) -> bool {
    raw.starts_with("_Z") || raw.starts_with("_R")
}

/// The two names of a function that never was mangled.
///
/// pprof takes a function whose two names are equal for not demangled yet, and when its demangler refuses the
/// name, cuts out what stands in `<>` and `()` (`demangleSingleFunction` in pprof's `symbolizer.go`). An empty
/// system name keeps it from doing so.
pub(super) fn plain(name: &str) -> Names {
    let looks_mangled = name.contains(['<', '(']);
    Names {
        name: name.to_owned(),
        system_name: if looks_mangled {
            String::new()
        } else {
            name.to_owned()
        },
    }
}

fn names(raw: &str) -> Names {
    let symbol = without_version(raw);
    match is_mangled(symbol).then(|| demangle(symbol)).flatten() {
        Some(name) => Names {
            name,
            system_name: symbol.to_owned(),
        },
        None => plain(symbol),
    }
}

/// The symbol without the version that ld.bfd writes behind the names in `.symtab` (`memcpy@@GLIBC_2.14`).
///
/// Versions begin with a capital letter by convention; anything else behind an `@` belongs to the name.
fn without_version(raw: &str) -> &str {
    match raw.split_once('@') {
        Some((symbol, version))
            if !symbol.is_empty()
                && version
                    .trim_start_matches('@')
                    .starts_with(|c: char| c.is_ascii_uppercase()) =>
        {
            symbol
        }
        _ => raw,
    }
}

/// The demangled name; none if `symbol` is in neither mangling or stands for an unreasonably long name.
///
/// Rust first: its older mangling is a valid C++ one, with a hash as the last part of the name.
fn demangle(symbol: &str) -> Option<String> {
    let mut text = Limited(String::new());
    if let Ok(demangled) = rustc_demangle::try_demangle(symbol) {
        // `#` leaves out the hash of the older mangling and the crate's of the newer.
        write!(text, "{demangled:#}").ok()?;
    } else {
        cpp_demangle::BorrowedSymbol::new(symbol.as_bytes())
            .ok()?
            .structured_demangle(&mut text, &cpp_demangle::DemangleOptions::new())
            .ok()?;
    }
    Some(text.0).filter(|text| !text.is_empty())
}

/// Text that refuses to grow beyond [`LONGEST_NAME`].
struct Limited(String);

impl Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_NAME {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
