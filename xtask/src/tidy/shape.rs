//! What a file looks like from outside: its first line, length, name; and what `profiler-common` may hold.

use super::{Finding, Source};

/// More than this is more than one topic, nearly always.
const LONGEST: usize = 400;

/// A file of tests may hold a long table.
const LONGEST_TESTS: usize = 800;

/// How a file says why it is longer.
const EXCUSE: &str = "//! Long because ";

/// Names under which things gather that found no name of their own.
const NO_NAMES: &[&str] = &[
    "util", "utils", "common", "types", "manager", "handler", "helpers", "misc",
];

/// Every file says what it is, and what it leaves to others.
pub(super) fn begins_with_what_it_is(source: &Source) -> Vec<Finding> {
    if !source.is_rust() || source.is_generated() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Finding::new(
        1,
        "begin the file with `//! `: what it is, and what it leaves to others",
    )]
}

/// A file has one topic.
pub(super) fn is_not_too_long(source: &Source) -> Vec<Finding> {
    let length = source.text.lines().count();
    let is_tests = source.code.shipped().next().is_none();
    let limit = if is_tests { LONGEST_TESTS } else { LONGEST };
    let is_excused = source.text.lines().any(|line| line.starts_with(EXCUSE));
    if !source.is_rust() || source.is_generated() || length <= limit || is_excused {
        return Vec::new();
    }
    let message = format!(
        "{length} lines: split the file by topic, or write `{EXCUSE}…` in its head (limit {limit})"
    );
    vec![Finding::new(limit + 1, message)]
}

/// Modules of the profiler are called after what they are about.
pub(super) fn has_a_name(source: &Source) -> Vec<Finding> {
    let Some(place) = source.path.strip_prefix("profiler/src/") else {
        return Vec::new();
    };
    let place = place.strip_suffix(".rs").unwrap_or(place);
    place
        .split('/')
        .filter(|part| NO_NAMES.contains(part))
        .map(|part| {
            Finding::new(
                1,
                format!("`{part}` names no topic: call the module after what it is about"),
            )
        })
        .collect()
}

/// What the BPF programs share with user space drags nothing in.
pub(super) fn common_has_no_dependency(source: &Source) -> Vec<Finding> {
    if source.path != "profiler-common/Cargo.toml" {
        return Vec::new();
    }
    let mut section = "";
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = line;
        }
        let is_dependency = section == "[dependencies]" && line.contains('=');
        let is_aya = line.starts_with("aya ") && line.contains("optional = true");
        let is_table = line.starts_with("[dependencies.");
        if (is_dependency && !is_aya) || is_table {
            let message = "profiler-common depends on nothing but the optional aya of its feature `user`: \
                           move what needs this to the side that needs it";
            findings.push(Finding::new(index + 1, message));
        }
    }
    findings
}

/// A struct that crosses the kernel boundary states its size, so that padding cannot creep in.
pub(super) fn shared_structs_have_a_size(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("profiler-common/src/") {
        return Vec::new();
    }
    let mut is_shared = false;
    let mut findings = Vec::new();
    for (number, line) in source.code.shipped() {
        let line = line.trim_start();
        if line.starts_with("#[repr(C") {
            is_shared = true;
        }
        let Some((_, rest)) = line.split_once("struct ") else {
            continue;
        };
        let name = rest
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default();
        let has_size = source.text.contains(&format!("size_of::<{name}>()"));
        if is_shared && !has_size {
            let message = format!(
                "assert the size of `{name}` in this file: `const _: () = assert!(size_of::<{name}>() == …);`"
            );
            findings.push(Finding::new(number, message));
        }
        is_shared = false;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::{
        EXCUSE, LONGEST, LONGEST_TESTS, begins_with_what_it_is, common_has_no_dependency,
        has_a_name, is_not_too_long, shared_structs_have_a_size,
    };

    /// No complaint.
    const FINE: [usize; 0] = [];

    /// A file without its first sentence is found; generated code and manifests are not asked for one.
    #[test]
    fn files_say_what_they_are() {
        let rule = begins_with_what_it_is;
        assert_eq!(lines(rule, "profiler/src/a.rs", "use std::fs;\n"), [1]);
        assert_eq!(lines(rule, "profiler/src/a.rs", "\n//! Late.\n"), [1]);
        assert_eq!(lines(rule, "profiler/src/a.rs", "//! A thing.\n"), FINE);
        assert_eq!(
            lines(rule, "profiler/src/pprof/proto.rs", "pub struct A;"),
            FINE
        );
        assert_eq!(lines(rule, "profiler/Cargo.toml", "[package]"), FINE);
    }

    /// One line more than the limit is too long, unless the head says why.
    #[test]
    fn files_are_short() {
        let text = "//! A thing.\n".to_owned() + &"\n".repeat(LONGEST - 1);
        assert_eq!(lines(is_not_too_long, "xtask/src/a.rs", &text), FINE);
        assert_eq!(
            lines(is_not_too_long, "xtask/src/a.rs", &format!("{text}\n")),
            [LONGEST + 1]
        );
        let tests = "xtask/src/a/tests.rs";
        assert_eq!(lines(is_not_too_long, tests, &format!("{text}\n")), FINE);
        assert_eq!(
            lines(is_not_too_long, tests, &text.repeat(3)),
            [LONGEST_TESTS + 1]
        );
        let excused = format!("{text}\n\n{EXCUSE}it is one table.\n");
        assert_eq!(lines(is_not_too_long, "xtask/src/a.rs", &excused), FINE);
    }

    /// A module of a forbidden name is found as a file and as a directory, in the profiler only.
    #[test]
    fn modules_have_names() {
        assert_eq!(lines(has_a_name, "profiler/src/process/util.rs", ""), [1]);
        assert_eq!(lines(has_a_name, "profiler/src/common/mod.rs", ""), [1]);
        assert_eq!(lines(has_a_name, "profiler/src/process/maps.rs", ""), FINE);
        assert_eq!(lines(has_a_name, "profiler-common/src/types.rs", ""), FINE);
    }

    /// Only aya may be a dependency of the shared crate, and only if it is optional.
    #[test]
    fn shared_crate_stays_alone() {
        let check = |dependencies: &str, wanted: &[usize]| {
            let text =
                format!("[features]\nuser = [\"dep:aya\"]\n[dependencies]\n{dependencies}\n");
            let found = lines(
                common_has_no_dependency,
                "profiler-common/Cargo.toml",
                &text,
            );
            assert_eq!(found, wanted, "{dependencies}");
        };
        check("aya = { workspace = true, optional = true }", &[]);
        check("aya = { workspace = true }", &[4]);
        check("# none\nlog = \"0.4\"", &[5]);
        check("[dependencies.log]", &[4]);
        check("[lints]\nworkspace = true", &[]);
    }

    /// A struct with C layout and no stated size is found; others are none of this rule's business.
    #[test]
    fn shared_structs_are_measured() {
        let check = |text: &str, wanted: &[usize]| {
            let found = lines(
                shared_structs_have_a_size,
                "profiler-common/src/sample.rs",
                text,
            );
            assert_eq!(found, wanted, "{text}");
        };
        check("#[repr(C)]\n#[derive(Clone)]\npub struct A {\n}\n", &[3]);
        check(
            "#[repr(C)]\npub struct A {}\nconst _: () = assert!(size_of::<A>() == 8);\n",
            &[],
        );
        check(
            "#[repr(C, align(8))]\npub struct A(u64);\nassert!(size_of::<AB>() == 8);",
            &[2],
        );
        check("pub struct A {}\n", &[]);
    }
}
