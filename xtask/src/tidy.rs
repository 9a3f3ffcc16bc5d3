//! `tidy`: the rules of ARCHITECTURE.md that a program can check, over the text of the sources.
//!
//! A rule is a function from one file to findings; each finding says how to comply. The rules are in `arrows`
//! (who may name what), `unsafety` and `shape`; `code` takes comments and strings out of the way first.

mod arrows;
mod code;
mod shape;
mod unsafety;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;
use code::Code;

/// The directories with sources that the rules are for.
const DIRECTORIES: &[&str] = &[
    "profiler",
    "profiler-common",
    "profiler-ebpf",
    "tests",
    "xtask",
];

/// A rule; it returns nothing when the file complies.
type Rule = fn(&Source) -> Vec<Finding>;

const RULES: &[Rule] = &[
    arrows::only_where_allowed,
    arrows::arrows_point_right,
    unsafety::only_in_named_files,
    unsafety::every_block_has_its_reason,
    shape::begins_with_what_it_is,
    shape::is_not_too_long,
    shape::has_a_name,
    shape::common_has_no_dependency,
    shape::shared_structs_have_a_size,
];

/// One file of the repository.
struct Source {
    /// From the workspace's root, with slashes.
    path: String,
    text: String,
    code: Code,
}

/// A place that breaks a rule, and how to comply.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Counted from one.
    line: usize,
    message: String,
}

/// `cargo xtask tidy`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    let findings = check_all(&workspace::root())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} places break a rule"),
    }
}

fn check_all(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for directory in DIRECTORIES {
        for path in workspace::files_below(&root.join(directory))? {
            let is_manifest = path.file_name().is_some_and(|name| name == "Cargo.toml");
            if !is_manifest && path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let path = path
                .strip_prefix(root)
                .expect("the file lies below the root");
            let source = Source::new(&path.to_string_lossy(), &text);
            for finding in RULES.iter().flat_map(|rule| rule(&source)) {
                findings.push(format!(
                    "{}:{}: {}",
                    source.path, finding.line, finding.message
                ));
            }
        }
    }
    Ok(findings)
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: Code::new(path, text),
        }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Generated code follows no rule but that of its generator.
    fn is_generated(&self) -> bool {
        crate::codegen::GENERATED.contains(&self.path.as_str())
    }
}

impl Finding {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// Runs one rule over one text, for the tests of the rules: the lines that it complains about.
#[cfg(test)]
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text))
        .into_iter()
        .map(|finding| finding.line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check_all;
    use crate::workspace;

    /// The sources as they are keep every rule, so that a plain `cargo test` tells, too.
    #[test]
    fn sources_keep_the_rules() {
        let findings = check_all(&workspace::root()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
