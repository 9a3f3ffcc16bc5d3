//! blazesym's answers, judged and turned into this module's.
//!
//! Getting them is left to the parent module.

use blazesym::symbolize::{CodeInfo, Sym};

use super::super::Function;
use super::super::contents::Contents;
use super::super::names::{Demangler, is_mangled};

/// Whether a symbol really covers the address.
///
/// Assembly code has symbols without a size, and blazesym lets each reach to the next one. None reaches into
/// another section, which keeps the stubs in `.plt` from being taken for the `_init` before them.
/// Functions that debug information describes as several ranges (split into a hot and a cold part) come without
/// size, and with 0 for their address.
pub(super) fn is_plausible(sym: &Sym<'_>, address: u64, contents: &Contents) -> bool {
    sym.addr == 0
        || sym.size.is_some_and(|size| size > 0)
        || contents.same_section(sym.addr, address)
}

/// blazesym's answer in pprof's order: innermost first.
pub(super) fn functions(sym: &Sym<'_>, demangler: &mut Demangler) -> Vec<Function> {
    let mut function = |raw: &str, code: Option<&CodeInfo<'_>>| Function {
        file: code.map_or_else(String::new, |code| {
            code.to_path().to_string_lossy().into_owned()
        }),
        line: code.and_then(|code| code.line).unwrap_or(0),
        ..demangler.names(raw).into()
    };
    let mut functions: Vec<Function> = sym
        .inlined
        .iter()
        .rev()
        .map(|inlined| function(&inlined.name, inlined.code_info.as_ref()))
        .collect();
    functions.push(function(&sym.name, sym.code_info.as_deref()));
    functions
}

/// Whether the name of the outermost function is all that can be known.
///
/// Debug information may have a bare `spin<u32>` where the symbol table has the whole path of the function (Rust
/// with `debug = "line-tables-only"`, gcc for templates of local types), or no name at all (dwz, whose shared
/// names blazesym does not follow).
pub(super) fn is_complete(functions: &[Function]) -> bool {
    functions.last().is_some_and(|outermost| {
        let mangles = [".rs", ".cc", ".cpp", ".cxx", ".C", ".h", ".hpp", ".hh"];
        // Template arguments give C++ away in headers without a suffix.
        let unmangled = outermost.system_name.is_empty()
            || mangles
                .iter()
                .any(|suffix| outermost.file.ends_with(suffix))
                && !is_mangled(&outermost.system_name);
        !outermost.name.is_empty() && !unmangled
    })
}

/// Replaces the name of the outermost function by that of the symbol table, if that says more.
pub(super) fn adopt_linker_name(functions: &mut [Function], symbol: Option<Function>) {
    if let (Some(outermost), Some(symbol)) = (functions.last_mut(), symbol)
        && (outermost.name.is_empty() || is_mangled(&symbol.system_name))
    {
        outermost.name = symbol.name;
        outermost.system_name = symbol.system_name;
    }
}
