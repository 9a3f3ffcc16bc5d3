//! Kernel functions out of texts in the form of `/proc/kallsyms`.

use std::fs;

use super::super::{Detail, KernelSymbols, Miss, Named, Options, Source, Symbolizer};
use super::workshop::Workshop;
use crate::addr::ElfAddr;

/// A kernel of 6.18 with one module and two BPF programs, shortened; the module's symbols are not sorted.
const KALLSYMS: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T srso_alias_untrain_ret
ffffffff81000000 T _text
ffffffff81000080 T entry_SYSCALL_64
ffffffff81000080 t local_alias
ffffffff81000100 W weak_first
ffffffff81000100 T strong
ffffffff81000200 t __pfx_schedule
ffffffff81000210 T schedule
ffffffff81000210 D not_code
ffffffff81000300 T _etext
ffffffff81800000 D data
ffffffffc0279400 t fuse_late\t[fuse]
ffffffffc0279010 T fuse_dev_init\t[fuse]
ffffffffc02791d0 T fuse_ctl_init\t[fuse]
ffffffffc003b960 t bpf_prog_7cc47bbf07148bfe_hid_tail_call\t[bpf]
ffffffffc003e9c8 t bpf_prog_30304e82b4033ea3_kprobe__cap_capable\t[bpf]
";

fn symbolize(kallsyms: &str, addresses: &[u64]) -> Vec<Result<(String, String), Miss>> {
    let workshop = Workshop::new();
    let path = workshop.path("kallsyms");
    fs::write(&path, kallsyms).unwrap();
    let addresses: Vec<ElfAddr> = addresses.iter().copied().map(ElfAddr).collect();
    let options = Options {
        kallsyms: path,
        ..workshop.options()
    };
    let kept = KernelSymbols::lasting().name(&options.kallsyms, &addresses);
    let found = Symbolizer::new(Detail::Full, options).symbolize(&Source::Kernel, &addresses);
    assert_eq!(found, kept, "what is kept of the list must not matter");
    found
        .into_iter()
        .map(|named| {
            named.map(|mut functions| {
                let function = functions.remove(0);
                (function.name, function.system_name)
            })
        })
        .collect()
}

/// What cannot have changed is not read again: the kernel's own functions, and those of modules that are still there.
#[test]
fn lists_are_read_again_when_they_may_have_changed() {
    const SCHEDULE: u64 = 0xffff_ffff_8100_0215;
    const FUSE: u64 = 0xffff_ffff_c027_9010;
    const BPF: u64 = 0xffff_ffff_c003_b961;
    const OF_FUSE: &str = "fuse 192512 1 - Live 0xffffffffc0279000\n";
    let workshop = Workshop::new();
    let path = workshop.path("kallsyms");
    let write = |kallsyms: &str, modules: &str| {
        fs::write(&path, kallsyms).unwrap();
        fs::write(workshop.path("modules"), modules).unwrap();
    };
    let mut symbols = KernelSymbols::lasting();
    let mut first_letters = |addresses: &[u64]| -> String {
        let addresses: Vec<ElfAddr> = addresses.iter().copied().map(ElfAddr).collect();
        let letter =
            |named: Named| named.map_or('-', |found| found[0].name.chars().next().unwrap());
        symbols
            .name(&path, &addresses)
            .into_iter()
            .map(letter)
            .collect()
    };
    let changed = KALLSYMS
        .replace(" schedule", " Xschedule")
        .replace(" fuse", " Yfuse")
        .replace(" bpf", " Zbpf");

    // Read up to one function, the list lasts for those before it and not for others.
    write(KALLSYMS, OF_FUSE);
    assert_eq!(first_letters(&[0xffff_ffff_8100_0108]), "s");
    write(&changed, OF_FUSE);
    assert_eq!(first_letters(&[0xffff_ffff_8100_0081]), "e");
    assert_eq!(first_letters(&[SCHEDULE]), "X");

    write(KALLSYMS, OF_FUSE);
    assert_eq!(first_letters(&[SCHEDULE]), "X");
    assert_eq!(first_letters(&[SCHEDULE, FUSE]), "sf");
    write(&changed, &OF_FUSE.replace(" 1 - ", " 2 nfs, "));
    assert_eq!(first_letters(&[SCHEDULE, FUSE]), "sf");
    write(&changed, &OF_FUSE.replace("192512", "192513"));
    assert_eq!(first_letters(&[SCHEDULE]), "s");
    assert_eq!(first_letters(&[SCHEDULE, FUSE]), "XY");

    // BPF programs come and go unseen, and what had no name may have one now.
    write(KALLSYMS, OF_FUSE);
    assert_eq!(first_letters(&[SCHEDULE, BPF]), "sb");
    write(&changed, OF_FUSE);
    assert_eq!(first_letters(&[SCHEDULE, BPF]), "XZ");
    assert_eq!(first_letters(&[SCHEDULE, BPF + (1 << 20)]), "X-");
    write(KALLSYMS, OF_FUSE);
    assert_eq!(first_letters(&[SCHEDULE, BPF + (1 << 20)]), "s-");

    // Of a kernel that does not tell of its modules, their functions are asked for each time.
    fs::remove_file(workshop.path("modules")).unwrap();
    fs::write(&path, &changed).unwrap();
    assert_eq!(first_letters(&[FUSE]), "Y");
    fs::write(&path, KALLSYMS).unwrap();
    assert_eq!(first_letters(&[FUSE]), "f");
}

/// Each address gets the nearest symbol of code before it, the most public of several, modules named.
#[test]
fn nearest_symbol() {
    let cases: [(u64, Result<&str, Miss>); 14] = [
        (0xffff_ffff_8100_0000, Ok("srso_alias_untrain_ret")),
        (0xffff_ffff_8100_007f, Ok("srso_alias_untrain_ret")),
        (0xffff_ffff_8100_0080, Ok("entry_SYSCALL_64")),
        (0xffff_ffff_8100_0108, Ok("strong")),
        (0xffff_ffff_8100_0215, Ok("schedule")),
        (0xffff_ffff_8100_0301, Err(Miss::NoSymbol)),
        (0xffff_ffff_8180_0001, Err(Miss::NoSymbol)),
        (
            0xffff_ffff_c003_b961,
            Ok("bpf_prog_7cc47bbf07148bfe_hid_tail_call [bpf]"),
        ),
        (
            0xffff_ffff_c003_e9c8,
            Ok("bpf_prog_30304e82b4033ea3_kprobe__cap_capable [bpf]"),
        ),
        (0xffff_ffff_c027_9010, Ok("fuse_dev_init [fuse]")),
        (0xffff_ffff_c027_91d1, Ok("fuse_ctl_init [fuse]")),
        (0xffff_ffff_c027_9500, Ok("fuse_late [fuse]")),
        (0xffff_ffff_c127_9500, Err(Miss::NoSymbol)),
        (0x1000, Err(Miss::NoSymbol)),
    ];
    let addresses = cases.each_ref().map(|case| case.0);
    let together = symbolize(KALLSYMS, &addresses);
    for ((address, expected), found) in cases.iter().zip(together) {
        let name = |(name, _): &(String, String)| name.clone();
        let expected = expected.clone().map(str::to_owned);
        assert_eq!(
            found.as_ref().map(name).map_err(Clone::clone),
            expected,
            "{address:#x}"
        );
        // Alone, the reading may end early; that must not matter.
        assert_eq!(
            symbolize(KALLSYMS, &[*address]),
            [found],
            "{address:#x} alone"
        );
    }
}

/// The module is shown but is no part of the symbol.
#[test]
fn module_is_not_part_of_the_symbol() {
    let answer = symbolize(KALLSYMS, &[0xffff_ffff_c027_9010]);
    assert_eq!(
        answer,
        [Ok((
            "fuse_dev_init [fuse]".to_owned(),
            "fuse_dev_init".to_owned()
        ))]
    );
}

/// Hidden addresses, an empty file and a missing one are told apart from an unknown address.
#[test]
fn unreadable() {
    let hidden = "0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n0000000000000000 T schedule\n";
    for kallsyms in [hidden, ""] {
        let answers = symbolize(kallsyms, &[0xffff_ffff_8100_0000, 0xffff_ffff_8100_0001]);
        for answer in answers {
            assert!(
                matches!(answer, Err(Miss::Unreadable(reason)) if reason.contains("kptr_restrict"))
            );
        }
    }
    let options = Options {
        kallsyms: "/nonexistent/kallsyms".into(),
        ..Options::default()
    };
    let answer = Symbolizer::new(Detail::Full, options).symbolize(&Source::Kernel, &[ElfAddr(1)]);
    assert!(
        matches!(&answer[0], Err(Miss::Unreadable(reason)) if reason.contains("/nonexistent/kallsyms"))
    );
}

/// Lines that are cut, binary or absurdly long are passed over.
#[test]
fn damaged_lines() {
    let long = "x".repeat(30_000);
    let text = format!(
        "\n \nffff\nzzzz T no\nffffffff81000000 T {long}\nffffffff81000010 T\nffffffff81000020 T last"
    );
    let answers = symbolize(
        &text,
        &[
            0xffff_ffff_8100_0001,
            0xffff_ffff_8100_0011,
            0xffff_ffff_8100_0021,
        ],
    );
    assert_eq!(answers[0], Ok((long.clone(), long)));
    assert_eq!(answers[1], Err(Miss::NoSymbol));
    assert_eq!(answers[2], Ok(("last".to_owned(), "last".to_owned())));
}
