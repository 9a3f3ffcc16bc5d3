//! What a file without section headers exports: the functions of the symbol table that the dynamic linker needs.
//!
//! Finding the table is left to [`crate::binary`]. blazesym finds tables by their section headers only.

use crate::binary::{Binary, Symbol, SymbolPattern, SymbolType, find_symbols};

/// The functions that a binary exports, in the order of their addresses.
#[derive(Default)]
pub(super) struct Exported(Vec<Symbol>);

impl Exported {
    /// Reads the table; empty when there is none. What can be read of a damaged one is taken.
    pub(super) fn read(binary: &Binary) -> Self {
        let mut symbols = Vec::new();
        let all = SymbolPattern::regex("").expect("it is a regular expression");
        if let Err(error) = find_symbols(binary, &all, &mut symbols) {
            log::debug!("symbols of {}: {error}", binary.path().display());
        }
        symbols.retain(|symbol| matches!(symbol.kind, SymbolType::Func | SymbolType::Ifunc));
        symbols.sort_by_key(|symbol| symbol.value);
        Self(symbols)
    }

    /// Whether there is any function.
    pub(super) fn has_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// The name of the function that has an address. One without a size has its first byte only: what comes next need
    /// not be exported.
    pub(super) fn name(&self, address: u64) -> Option<&str> {
        let behind = self.0.partition_point(|symbol| symbol.value <= address);
        let symbol = &self.0[behind.checked_sub(1)?];
        (address - symbol.value < symbol.size.max(1)).then_some(&symbol.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From its first byte to its last one a function has its name, and what lies behind it has not.
    #[test]
    fn bounds_of_a_function() {
        let libc = std::fs::read(crate::process::tests::support::own_libc()).unwrap();
        let mut bytes = libc.clone();
        crate::binary::elf_builder::take_section_headers(&mut bytes);
        let whole = Binary::from_image(&libc, "libc").unwrap();
        let bare = Binary::from_image(&bytes, "libc").unwrap();
        let mut found = Vec::new();
        let qsort = SymbolPattern::exact("qsort").unwrap();
        find_symbols(&whole, &qsort, &mut found).unwrap();
        let function = &found[0];
        let exported = Exported::read(&bare);
        assert!(exported.has_some());
        let (start, end) = (function.value, function.value + function.size);
        for address in [start, start + 1, end - 1] {
            assert_eq!(exported.name(address), Some("qsort"));
        }
        assert_ne!(exported.name(end), Some("qsort"));
        assert_ne!(exported.name(start - 1), Some("qsort"));
        assert_eq!(exported.name(0), None);
    }
}
