//! `unsafe` only where it is expected, and never without its reason.

use super::code::has_word;
use super::{Finding, Source};

/// Where `unsafe` may be: directories (ending in a slash) and files. A new one is added here, with the review
/// that it asks for.
const PLACES: &[&str] = &[
    "profiler-ebpf/src/",
    "profiler-common/src/user.rs",
    "profiler/src/launch.rs",
    "profiler/src/name_services.rs",
    "profiler/src/resident.rs",
    "profiler/src/sampler/mapped.rs",
    "profiler/src/sampler/perf_ring.rs",
    "tests/programs/phases.rs",
    "tests/programs/stacks.rs",
];

/// How far above an `unsafe` its reason may begin.
const REACH: usize = 8;

/// `unsafe` is in the named files only.
pub(super) fn only_in_named_files(source: &Source) -> Vec<Finding> {
    let is_expected = PLACES.iter().any(|place| {
        source.path == *place || (place.ends_with('/') && source.path.starts_with(place))
    });
    if is_expected || !source.is_rust() {
        return Vec::new();
    }
    let message = "no `unsafe` here: use a library that wraps it (rustix), or move it to a file in PLACES of \
                   xtask/src/tidy/unsafety.rs";
    source
        .code
        .lines()
        .filter(|(_, line)| has_word(line, "unsafe"))
        .map(|(number, _)| Finding::new(number, message))
        .collect()
}

/// A comment with `SAFETY:` stands above each `unsafe` block and implementation.
pub(super) fn every_block_has_its_reason(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let text: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    for (number, line) in source.code.lines() {
        let promises = ["unsafe {", "unsafe impl"]
            .iter()
            .any(|begin| has_word(line, begin));
        let above = &text[(number - 1).saturating_sub(REACH)..number];
        if promises && !above.iter().any(|line| line.contains("// SAFETY: ")) {
            let message = "say in a comment `// SAFETY: …` right above which rule makes this sound, and who keeps it";
            findings.push(Finding::new(number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::{every_block_has_its_reason, only_in_named_files};

    /// `unsafe` outside the list is found, in tests too; the word in a sentence or a lint's name is not.
    #[test]
    fn unsafe_is_confined() {
        let check = |path: &str, text: &str, wanted: &[usize]| {
            assert_eq!(
                lines(only_in_named_files, path, text),
                wanted,
                "{path}: {text}"
            );
        };
        check("profiler/src/process/maps.rs", "\nunsafe { f() }", &[2]);
        check(
            "profiler/src/process/maps.rs",
            "#[cfg(test)]\nunsafe fn f() {}",
            &[2],
        );
        check("profiler-ebpf/src/walk.rs", "unsafe { f() }", &[]);
        check("profiler/src/launch.rs", "unsafe { f() }", &[]);
        check(
            "profiler/src/process/maps.rs",
            "// unsafe\n#![forbid(unsafe_code)]",
            &[],
        );
    }

    /// A block needs its reason above it, not only somewhere in the file; an attribute or a signature does not.
    #[test]
    fn unsafe_blocks_have_reasons() {
        let check = |text: &str, wanted: &[usize]| {
            let found = lines(
                every_block_has_its_reason,
                "profiler-ebpf/src/walk.rs",
                text,
            );
            assert_eq!(found, wanted, "{text}");
        };
        check("let x = unsafe { f() };", &[1]);
        check("// SAFETY: f takes anything\nlet x = unsafe { f() };", &[]);
        check("// SAFETY: plain bytes\nunsafe impl Pod for A {}\n", &[]);
        check("unsafe impl Pod for A {}\n", &[1]);
        check(
            "// SAFETY: for the first\nunsafe { f() }\n\n\n\n\n\n\n\n\nunsafe { f() }",
            &[11],
        );
        check("// unsafe without a reason\nunsafe { f() }", &[2]);
        check(
            "#[unsafe(no_mangle)]\nunsafe extern \"C\" {}\nunsafe fn f() {}",
            &[],
        );
    }
}
