//! Who may name what: each outside thing has one home, and the line of modules is walked in one direction.
//!
//! Long because it is a table.

use super::code::has_word;
use super::{Finding, Source};

/// Words that only some places of the profiler may use.
struct Home {
    words: &'static [&'static str],
    /// Directories (ending in a slash) or files below `profiler/src/`.
    places: &'static [&'static str],
    message: &'static str,
}

const HOMES: &[Home] = &[
    Home {
        words: &["aya", "aya_obj", "aya_log"],
        places: &["sampler/"],
        message: "only sampler/ names aya: give it a function or an event for this",
    },
    Home {
        words: &["prost", "proto"],
        places: &["pprof/", "output/push/"],
        message: "only pprof/ knows protobuf, and output/push/ that of its receivers: use its own types",
    },
    Home {
        words: &["pprof::proto"],
        places: &["pprof/"],
        message: "only pprof/ knows the messages of pprof: use pprof::Contents",
    },
    Home {
        words: &[
            "File::create",
            "File::create_new",
            "OpenOptions",
            "fs::write",
            "NamedTempFile",
            "TcpListener::bind",
            "TcpStream::connect",
            "UnixListener::bind",
            "UnixStream::connect",
        ],
        places: &["output/"],
        message: "only output/ opens result files and sockets: hand it the bytes",
    },
    Home {
        words: &[
            "print!",
            "println!",
            "eprint!",
            "eprintln!",
            "process::exit",
        ],
        places: &["main.rs", "cli/", "cli.rs"],
        message: "only main.rs and cli/ print or exit: return a value or an error, or use the log crate",
    },
];

/// What a module must not know that stands beside the line and serves it.
const ALL_STEPS: &[&str] = &[
    "sampler",
    "process",
    "aggregate",
    "symbolize",
    "pprof",
    "output",
    "pipeline",
    "scan",
    "serve",
    "cli",
];

/// The modules, and which others each must not know: those on its left and those far on its right.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "sampler",
        &[
            "process",
            "aggregate",
            "symbolize",
            "pprof",
            "output",
            "pipeline",
            "serve",
            "cli",
        ],
    ),
    (
        "process",
        &[
            "sampler",
            "aggregate",
            "symbolize",
            "pprof",
            "output",
            "pipeline",
            "scan",
            "serve",
            "cli",
        ],
    ),
    ("cgroup", ALL_STEPS),
    (
        "doctor",
        &[
            "aggregate",
            "pprof",
            "output",
            "pipeline",
            "scan",
            "serve",
            "cli",
        ],
    ),
    ("binary", ALL_STEPS),
    (
        "scan",
        &[
            "sampler",
            "unwind",
            "aggregate",
            "symbolize",
            "pprof",
            "output",
            "pipeline",
            "serve",
            "cli",
        ],
    ),
    (
        "unwind",
        &[
            "sampler",
            "aggregate",
            "symbolize",
            "pprof",
            "output",
            "pipeline",
            "serve",
            "cli",
        ],
    ),
    (
        "aggregate",
        &[
            "sampler",
            "symbolize",
            "pprof",
            "output",
            "pipeline",
            "serve",
            "cli",
        ],
    ),
    (
        "symbolize",
        &[
            "sampler",
            "process",
            "aggregate",
            "pprof",
            "output",
            "pipeline",
            "scan",
            "serve",
            "cli",
        ],
    ),
    (
        "pprof",
        &[
            "sampler",
            "process",
            "symbolize",
            "output",
            "pipeline",
            "scan",
            "serve",
            "cli",
        ],
    ),
    (
        "output",
        &[
            "sampler",
            "process",
            "aggregate",
            "symbolize",
            "pipeline",
            "serve",
            "cli",
        ],
    ),
    ("pipeline", &["serve", "cli"]),
    (
        "serve",
        &["sampler", "aggregate", "symbolize", "scan", "cli"],
    ),
];

/// aya, protobuf, result files and the terminal are each spoken to in one place.
pub(super) fn only_where_allowed(source: &Source) -> Vec<Finding> {
    let Some(place) = source.path.strip_prefix("profiler/src/") else {
        return Vec::new();
    };
    let strangers = HOMES.iter().filter(|home| {
        !home.places.iter().any(|allowed| {
            place == *allowed || (allowed.ends_with('/') && place.starts_with(allowed))
        })
    });
    let strangers: Vec<&Home> = strangers.collect();
    let mut findings = Vec::new();
    for (number, line) in source.code.shipped() {
        for home in &strangers {
            let found = home.words.iter().find(|word| has_word(line, word));
            if let Some(word) = found {
                findings.push(Finding::new(number, format!("`{word}`: {}", home.message)));
            }
        }
    }
    findings
}

/// What comes earlier in the line is unknown to what comes later, see the table.
pub(super) fn arrows_point_right(source: &Source) -> Vec<Finding> {
    let Some(place) = source.path.strip_prefix("profiler/src/") else {
        return Vec::new();
    };
    let module = place.split(['/', '.']).next().unwrap_or_default();
    let Some((_, forbidden)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut pending = String::new();
    let mut began = 0;
    for (number, line) in source.code.shipped() {
        if pending.is_empty() {
            began = number;
        }
        pending.push_str(line);
        // A `use crate::{…}` over several lines is looked at when its braces are closed.
        let is_open = pending.contains("crate::{")
            && pending.matches('{').count() > pending.matches('}').count();
        if is_open && !line.trim_end().ends_with(';') {
            continue;
        }
        for name in modules_named(&pending) {
            if forbidden.contains(&name.as_str()) {
                let message = format!(
                    "`{module}` must not know `{name}`: pass what it needs as a plain value, or through a trait of \
                     its own"
                );
                findings.push(Finding::new(began, message));
            }
        }
        pending.clear();
    }
    findings
}

/// The modules that follow `crate::`, alone or as a list in braces.
fn modules_named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut is_begin = true;
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_begin = true,
                _ if is_begin && !character.is_whitespace() => {
                    names.push(first_word(&list[at..]));
                    is_begin = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::{arrows_point_right, modules_named, only_where_allowed};

    /// Each outside thing is refused outside its home and allowed in it, and in tests.
    #[test]
    fn things_stay_at_home() {
        let check = |path: &str, text: &str, wanted: &[usize]| {
            assert_eq!(
                lines(only_where_allowed, path, text),
                wanted,
                "{path}: {text}"
            );
        };
        check(
            "profiler/src/process/maps.rs",
            "\nuse aya::maps::RingBuf;",
            &[2],
        );
        check(
            "profiler/src/sampler/ring.rs",
            "use aya::maps::RingBuf;",
            &[],
        );
        check("profiler/src/sampler.rs", "use aya::maps::RingBuf;", &[1]);
        check("profiler/src/output/file.rs", "use prost::Message;", &[1]);
        check(
            "profiler/src/aggregate.rs",
            "use crate::pprof::proto;",
            &[1, 1],
        );
        check("profiler/src/pprof/mod.rs", "mod proto;", &[]);
        check(
            "profiler/src/output/push/otlp.rs",
            "use prost::Message;",
            &[],
        );
        check(
            "profiler/src/output/push/otlp.rs",
            "use crate::pprof::proto;",
            &[1],
        );
        check(
            "profiler/src/cli/record.rs",
            "let f = File::create(p);",
            &[1],
        );
        check(
            "profiler/src/output/file.rs",
            "let f = File::create(p);",
            &[],
        );
        check(
            "profiler/src/summary.rs",
            "println!();\nprocess::exit(1);",
            &[1, 2],
        );
        check("profiler/src/main.rs", "println!();", &[]);
        check(
            "profiler/src/summary.rs",
            "// println!()\nlet s = \"aya\";",
            &[],
        );
        check(
            "profiler/src/summary.rs",
            "#[cfg(test)]\nmod tests { fn f() { println!() } }",
            &[],
        );
        check("xtask/src/run.rs", "println!();", &[]);
    }

    /// A module may name what the table does not forbid, however the path is written.
    #[test]
    fn line_is_walked_in_one_direction() {
        let check = |path: &str, text: &str, wanted: &[usize]| {
            assert_eq!(
                lines(arrows_point_right, path, text),
                wanted,
                "{path}: {text}"
            );
        };
        check(
            "profiler/src/pprof/mod.rs",
            "use crate::process::Mapping;",
            &[1],
        );
        check(
            "profiler/src/pprof/mod.rs",
            "use crate::binary::BinaryId;",
            &[],
        );
        check(
            "profiler/src/symbolize/cache.rs",
            "fn f(p: &crate::process::Table) {}",
            &[1],
        );
        check(
            "profiler/src/symbolize/cache.rs",
            "use crate::{addr::X, process::Y};",
            &[1],
        );
        check(
            "profiler/src/symbolize/cache.rs",
            "\nuse crate::{\n    addr::X,\n    sampler::Y,\n};",
            &[2],
        );
        check(
            "profiler/src/symbolize/cache.rs",
            "use crate::addr::{process, sampler};",
            &[],
        );
        check(
            "profiler/src/process/mod.rs",
            "use crate::binary::Binary;",
            &[],
        );
        check("profiler/src/process/mod.rs", "// crate::sampler", &[]);
        check(
            "profiler/src/aggregate.rs",
            "use crate::symbolize::Names;",
            &[1],
        );
        check(
            "profiler/src/pipeline.rs",
            "use crate::{process, pprof};",
            &[],
        );
    }

    /// Only the first name of each path of a list counts.
    #[test]
    fn names_of_a_list_are_found() {
        assert_eq!(
            modules_named("use crate::{a::{b, c}, d, e::f};"),
            ["a", "d", "e"]
        );
        assert_eq!(modules_named("crate::a(crate::b::c)"), ["a", "b"]);
    }
}
