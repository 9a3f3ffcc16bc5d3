//! Mappings: ranges, order, identity, flags.

use std::collections::HashSet;

use profiler::pprof::proto;

use super::{Report, Rule, numbered, text};

/// The smallest page of the architectures Linux runs on.
const PAGE: u64 = 4096;
const KERNEL: &str = "[kernel.kallsyms]";
/// The upper half of the address space is the kernel's.
const FIRST_KERNEL_ADDRESS: u64 = 1 << 63;
/// One page in the upper half that user space may call.
const VSYSCALL: &str = "[vsyscall]";

pub(super) fn check(message: &proto::Profile, report: &mut Report) {
    for mapping in &message.mapping {
        let locations: Vec<_> = message
            .location
            .iter()
            .filter(|location| location.mapping_id == mapping.id)
            .collect();
        range(message, mapping, report);
        identity(message, mapping, report);
        flags(message, mapping, &locations, report);
        special(message, mapping, &locations, report);
        report.expect(
            mapping.id == 1 || !locations.is_empty(),
            Rule::MainFirst,
            || format!("mapping {} has no location", mapping.id),
        );
    }
    main_first(message, report);
    twins(message, report);
}

fn file<'a>(message: &'a proto::Profile, mapping: &proto::Mapping) -> &'a str {
    text(message, mapping.filename)
}

/// Whether pprof would look for a file of this name.
fn is_real_file(file: &str) -> bool {
    file.starts_with('/')
        && !["//anon", "/memfd:", "/dev/dri/"]
            .iter()
            .any(|prefix| file.starts_with(prefix))
}

fn range(message: &proto::Profile, mapping: &proto::Mapping, report: &mut Report) {
    let (start, limit) = (mapping.memory_start, mapping.memory_limit);
    report.expect(start < limit, Rule::Ranges, || {
        format!("mapping {} is empty: {start:#x}-{limit:#x}", mapping.id)
    });
    let is_aligned = start.is_multiple_of(PAGE) && mapping.file_offset.is_multiple_of(PAGE);
    report.expect(
        is_aligned || !is_real_file(file(message, mapping)),
        Rule::Ranges,
        || {
            format!(
                "mapping {} does not begin at a page: {start:#x}, offset {:#x}",
                mapping.id, mapping.file_offset
            )
        },
    );
}

fn identity(message: &proto::Profile, mapping: &proto::Mapping, report: &mut Report) {
    let (id, file, build_id) = (
        mapping.id,
        file(message, mapping),
        text(message, mapping.build_id),
    );
    let is_hex = build_id
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    report.expect(is_hex && build_id.len() % 2 == 0, Rule::Identity, || {
        format!("mapping {id}: build-id {build_id:?} is not bytes in lower-case hex")
    });
    report.expect(!file.ends_with(" (deleted)"), Rule::Identity, || {
        format!("mapping {id}: {file:?} says that it was deleted")
    });
    let is_absolute = file.starts_with('/') || file.starts_with('[') && file.ends_with(']');
    report.expect(is_absolute || file.is_empty(), Rule::Identity, || {
        format!("mapping {id}: {file:?} is neither an absolute path nor a name in brackets")
    });
    report.expect(!file.is_empty(), Rule::Specials, || {
        format!("mapping {id} has no name; code without a file is [jit] or //anon")
    });
}

/// A flag promises something of all lines of all locations, and nothing when one location has no function.
fn flags(
    message: &proto::Profile,
    mapping: &proto::Mapping,
    locations: &[&proto::Location],
    report: &mut Report,
) {
    let all = |holds: &dyn Fn(&proto::Line, &proto::Function) -> bool| {
        let function = |line: &proto::Line| numbered(&message.function, line.function_id);
        let holds =
            |line: &proto::Line| function(line).is_some_and(|function| holds(line, function));
        let known = |location: &&proto::Location| {
            !location.line.is_empty() && location.line.iter().all(holds)
        };
        !locations.is_empty() && locations.iter().all(known)
    };
    let named = all(&|_, function| function.name != 0);
    let with_file = named && all(&|_, function| function.filename != 0);
    let with_line = with_file && all(&|line, _| line.line > 0);
    let flags = [
        ("has_functions", mapping.has_functions, named),
        ("has_filenames", mapping.has_filenames, with_file),
        ("has_line_numbers", mapping.has_line_numbers, with_line),
        ("has_inline_frames", mapping.has_inline_frames, with_line),
    ];
    for (name, is_set, holds) in flags {
        report.expect(!is_set || holds, Rule::Flags, || {
            format!(
                "mapping {}: {name} is set and not true of all its locations",
                mapping.id
            )
        });
    }
    let is_kernel = file(message, mapping) == KERNEL;
    report.expect(
        !is_kernel || mapping.has_functions || !named,
        Rule::Specials,
        || {
            format!(
                "mapping {}: the kernel's functions are named and not flagged",
                mapping.id
            )
        },
    );
}

/// Kernel addresses belong to the kernel's mapping and no others do; the vdso has a build-id.
fn special(
    message: &proto::Profile,
    mapping: &proto::Mapping,
    locations: &[&proto::Location],
    report: &mut Report,
) {
    let file = file(message, mapping);
    for location in locations {
        let is_kernel = location.address >= FIRST_KERNEL_ADDRESS;
        report.expect(
            is_kernel == (file == KERNEL) || file == VSYSCALL,
            Rule::Specials,
            || {
                format!(
                    "location {}: {:#x} in {file}",
                    location.id, location.address
                )
            },
        );
    }
    report.expect(
        file != "[vdso]" || mapping.build_id != 0,
        Rule::Specials,
        || format!("mapping {}: the vdso has no build-id", mapping.id),
    );
}

/// pprof takes mapping 1 for the program.
fn main_first(message: &proto::Profile, report: &mut Report) {
    let mut mappings = message.mapping.iter();
    let Some(first) = mappings.next() else { return };
    let name = file(message, first);
    // A program can lie in a memfd, where it has a build-id; a compiler's code there has none.
    let is_program = is_real_file(name) || name.starts_with("/memfd:") && first.build_id != 0;
    report.expect(
        is_program || !mappings.any(|mapping| is_real_file(file(message, mapping))),
        Rule::MainFirst,
        || format!("mapping 1 is {name:?}, although there are files"),
    );
}

/// One mapping per file and start, and lines of the maps file that continue one another are one mapping.
fn twins(message: &proto::Profile, report: &mut Report) {
    let mut seen = HashSet::new();
    for mapping in &message.mapping {
        let key = (mapping.filename, mapping.build_id, mapping.memory_start);
        report.expect(seen.insert(key), Rule::Ranges, || {
            format!("mapping {} is there twice", mapping.id)
        });
        for other in &message.mapping {
            let same_file =
                (other.filename, other.build_id) == (mapping.filename, mapping.build_id);
            let size = mapping.memory_limit.wrapping_sub(mapping.memory_start);
            let continues = other.memory_start == mapping.memory_limit
                && other.file_offset == mapping.file_offset.wrapping_add(size);
            report.expect(!(same_file && continues), Rule::Ranges, || {
                format!("mapping {} continues mapping {}", other.id, mapping.id)
            });
        }
    }
}
