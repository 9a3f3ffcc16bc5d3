//! The two names of a function.

use std::fmt::Write;

use super::super::names::{Demangler, Names};

/// Name and system name follow what pprof makes of them: mangled and demangled, or one name twice, or no system
/// name where pprof would cut the name.
#[test]
fn name_and_system_name() {
    let cases = [
        ("main", "main", "main"),
        ("memcpy@@GLIBC_2.14", "memcpy", "memcpy"),
        ("memcpy@GLIBC_2.2.5", "memcpy", "memcpy"),
        ("user@example", "user@example", "user@example"),
        ("_ZN3foo3barEi", "foo::bar(int)", "_ZN3foo3barEi"),
        (
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "std::vector<int, std::allocator<int> >::push_back(int&&)",
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
        ),
        ("_ZSt4cout@@GLIBCXX_3.4", "std::cout", "_ZSt4cout"),
        (
            "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE",
            "core::fmt::Write::write_fmt",
            "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE",
        ),
        (
            "_ZN70_$LT$alloc..vec..Vec$LT$u8$GT$$u20$as$u20$core..iter..FromIterator$GT$9from_iter17h0123456789abcdefE",
            "<alloc::vec::Vec<u8> as core::iter::FromIterator>::from_iter",
            "_ZN70_$LT$alloc..vec..Vec$LT$u8$GT$$u20$as$u20$core..iter..FromIterator$GT$9from_iter17h0123456789abcdefE",
        ),
        (
            "_RNvCskwGfYPst2Cb_3foo16example_function",
            "foo::example_function",
            "_RNvCskwGfYPst2Cb_3foo16example_function",
        ),
        ("_Znonsense", "_Znonsense", "_Znonsense"),
        ("main.(*Server).Serve", "main.(*Server).Serve", ""),
        ("spin<u32>", "spin<u32>", ""),
        ("", "", ""),
    ];
    let mut demangler = Demangler::default();
    for (raw, name, system_name) in cases {
        let expected = Names {
            name: name.to_owned(),
            system_name: system_name.to_owned(),
        };
        for _ in 0..2 {
            assert_eq!(demangler.names(raw), expected);
        }
    }
}

/// A short symbol that stands for megabytes of text keeps its mangled name.
#[test]
fn exploding_names() {
    // Every `B<..>` repeats the one before it twice; each adds two entries to the list that `S.._` refers to.
    let mut symbol = "_Z1fI3abc1AIS_S_E".to_owned();
    for index in (2..36).step_by(2) {
        let reference = char::from_digit(index, 36).unwrap().to_ascii_uppercase();
        write!(symbol, "1BIS{reference}_S{reference}_E").unwrap();
    }
    symbol.push_str("Evv");
    let names = Demangler::default().names(&symbol);
    assert_eq!(
        names,
        Names {
            name: symbol.clone(),
            system_name: symbol
        }
    );
}
