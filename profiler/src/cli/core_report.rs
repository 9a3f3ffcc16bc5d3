//! What `core` prints: a report for people, or one JSON document. Where it goes is decided in `core_file`.

use std::fmt::Write;
use std::path::Path;

use profiler_common::Stop;
use serde_json::{Value, json};

use super::inputs::{in_a_line, table};
use super::values;
use crate::binary::BuildId;
use crate::pipeline::{CoreFrame, CoreStacks, ThreadStack};
use crate::process::{CoreFile, FileState, Mapping, MappingKind, Module, Process, signal_name};

/// Frames of one stack that are printed for people from either end; a recursion without end has a hundred thousand.
const SHOWN: usize = 200;

/// What is to be reported.
#[derive(Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) path: &'a Path,
    pub(super) core: &'a CoreFile,
    pub(super) stacks: &'a CoreStacks,
}

/// The report for people.
pub(super) fn text(report: &Report<'_>) -> String {
    let Report { core, stacks, .. } = report;
    let mut lines = vec![format!(
        "core     {}, {}, {}",
        in_a_line(report.path),
        values::bytes(core.size()),
        machine(core)
    )];
    if let Some(program) = core.program() {
        lines.push(format!(
            "program  {}, pid {}: {}",
            in_a_line(program.name.as_ref()),
            program.pid,
            in_a_line(program.args.as_ref())
        ));
    }
    lines.push(match core.signal() {
        Some(signal) => format!("signal   {signal}"),
        None => "signal   none".to_owned(),
    });
    lines.push(format!("threads  {}", stacks.threads.len()));
    let mut text = lines.join("\n") + "\n\n";
    let rows: Vec<_> = core.modules().iter().map(module_cells).collect();
    text += &table(["START", "BIAS", "BUILD-ID", "FILE", "MODULE"], &rows);
    for (index, thread) in stacks.threads.iter().enumerate() {
        text.push('\n');
        text += &thread_text(report, thread, index == 0);
    }
    let missing = missing(report);
    if !missing.is_empty() {
        text += "\nfiles that would help (--exe, --sysroot, --debug-dir):\n";
        for (module, why, threads) in missing {
            let _ = writeln!(
                text,
                "  {}  {}, in {threads} of the stacks: {why}",
                id_text(module.build_id()),
                in_a_line(&module.path)
            );
        }
    }
    text
}

fn module_cells(module: &Module) -> [String; 5] {
    let file = match &module.file {
        FileState::Found { verified: true, .. } => "same",
        FileState::Found { .. } => "unchanged",
        FileState::Memory => "in memory",
        FileState::Missing(missing) if missing.debug_file.is_some() => "debug file only",
        FileState::Missing(_) => "missing",
    };
    let main = if module.is_main { " (main)" } else { "" };
    [
        format!("{:x}", module.start),
        module
            .load_bias
            .map_or_else(|| "-".to_owned(), |bias| format!("{bias:x}")),
        id_text(module.build_id()),
        file.to_owned(),
        module_name(module) + main,
    ]
}

fn module_name(module: &Module) -> String {
    if module.path.as_os_str().is_empty() {
        "unknown".to_owned()
    } else {
        in_a_line(&module.path)
    }
}

fn id_text(id: Option<&BuildId>) -> String {
    id.map_or_else(|| "-".to_owned(), BuildId::to_string)
}

fn thread_text(report: &Report<'_>, thread: &ThreadStack, is_first: bool) -> String {
    let mut text = format!("thread {}", thread.thread.tid);
    let signal = report.core.signal().filter(|_| is_first);
    if let Some(signal) = signal {
        let _ = write!(text, ", {}", signal_name(signal.number));
    }
    text.push('\n');
    let count = thread.frames.len();
    for (number, position) in thread.frames.iter().enumerate() {
        if number == SHOWN && count > 2 * SHOWN {
            let _ = writeln!(
                text,
                "  … {} more frames; --json has all",
                count - 2 * SHOWN
            );
        }
        if number < SHOWN || number + SHOWN >= count {
            let frame = report.stacks.frame(*position);
            text += &if thread.trampolines.contains(&number) && frame.named.is_err() {
                format!(
                    "  #{number:<3} {:#018x} <signal handler called>\n",
                    frame.address
                )
            } else {
                frame_text(number, &frame)
            };
        }
    }
    if let Some(end) = end_text(thread) {
        let _ = writeln!(text, "  outer frames are missing: {end}");
    }
    text
}

/// One line for each function of a frame; inlined ones have their number too.
fn frame_text(number: usize, frame: &CoreFrame<'_>) -> String {
    let place = frame.mapping.map_or_else(
        || "in no mapping".to_owned(),
        |mapping| match in_a_line(&mapping.path) {
            path if path.is_empty() => "in anonymous memory".to_owned(),
            path => format!("in {path}"),
        },
    );
    let Ok(functions) = frame.named else {
        let elf_addr = frame
            .mapping
            .and_then(|mapping| mapping.elf_addr(frame.address));
        let at = elf_addr.map_or_else(String::new, |addr| format!(" at {addr:#x} of it"));
        return format!("  #{number:<3} {:#018x} ?? {place}{at}\n", frame.address);
    };
    let mut text = String::new();
    for (depth, function) in functions.iter().enumerate() {
        let inlined = if depth + 1 < functions.len() {
            " (inlined)"
        } else {
            ""
        };
        let line = if function.file.is_empty() {
            String::new()
        } else {
            format!(
                " at {}:{}",
                in_a_line(function.file.as_ref()),
                function.line
            )
        };
        let _ = writeln!(
            text,
            "  #{number:<3} {:#018x} {}{inlined}{line} {place}",
            frame.address, function.name
        );
    }
    text
}

/// Why a stack is not whole.
fn end_text(thread: &ThreadStack) -> Option<String> {
    match (thread.stop, thread.unread) {
        (None, _) => Some("its registers are not known".to_owned()),
        (Some(stop), _) if stop.is_complete() => None,
        (Some(Stop::NoTable), _) => {
            Some("the unwind information of the last frame's file is not here".to_owned())
        }
        (Some(stop), Some((address, why))) => {
            Some(format!("{} at {address:#x}: {why}", stop.text()))
        }
        (Some(stop), None) => Some(stop.text().to_owned()),
    }
}

/// The modules whose file is not here, those that most stacks go through first.
fn missing<'a>(report: &Report<'a>) -> Vec<(&'a Module, String, usize)> {
    let modules = report.core.modules().iter();
    let mut missing: Vec<_> = modules
        .filter_map(|module| match &module.file {
            FileState::Missing(missing) => {
                let is_in = |mapping: &Mapping| is_of(mapping, module);
                let threads = report.stacks.threads_in(is_in);
                Some((module, missing.why.to_string(), threads))
            }
            FileState::Found { .. } | FileState::Memory => None,
        })
        .collect();
    missing.sort_by_key(|(.., threads)| std::cmp::Reverse(*threads));
    missing
}

fn is_of(mapping: &Mapping, module: &Module) -> bool {
    mapping.kind == MappingKind::File
        && module.start <= mapping.start
        && mapping.start < module.limit
}

fn machine(core: &CoreFile) -> String {
    let name = match core.machine() {
        3 => "x86",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "S/390",
        40 => "ARM",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        number => return format!("ELF machine {number}"),
    };
    let (bits, order) = (
        if core.is_64_bit() { 64 } else { 32 },
        if core.is_big_endian() {
            ", big-endian"
        } else {
            ""
        },
    );
    format!("{name} ({bits} bit{order})")
}

/// The document for programs.
pub(super) fn json(report: &Report<'_>) -> Value {
    let Report { core, stacks, .. } = report;
    let signal = core.signal().map(|signal| {
        json!({
            "number": signal.number,
            "name": signal_name(signal.number),
            "code": signal.code,
            "cause": signal.cause(),
            "address": signal.address.map(|address| format!("{address:#x}")),
        })
    });
    let threads: Vec<Value> = stacks
        .threads
        .iter()
        .enumerate()
        .map(|(index, thread)| thread_json(report, thread, index == 0))
        .collect();
    let missing: Vec<Value> = missing(report)
        .into_iter()
        .map(|(module, why, threads)| {
            json!({
                "path": module.path.to_string_lossy(),
                "build_id": module.build_id().map(BuildId::to_string),
                "why": why,
                "threads": threads,
            })
        })
        .collect();
    json!({
        "path": report.path.to_string_lossy(),
        "size": core.size(),
        "machine": machine(core),
        "pid": core.pid(),
        "name": core.name().map(|name| name.to_string_lossy().into_owned()),
        "args": core.program().map(|program| program.args.to_string_lossy()),
        "signal": signal,
        "damages": core.damages().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "modules": core.modules().iter().map(module_json).collect::<Vec<_>>(),
        "threads": threads,
        "missing": missing,
    })
}

fn module_json(module: &Module) -> Value {
    let (file, found, error) = match &module.file {
        FileState::Found { path, verified, .. } => {
            (Some(path.to_string_lossy()), Some(*verified), None)
        }
        FileState::Memory => (None, None, None),
        FileState::Missing(missing) => (None, None, Some(missing.why.to_string())),
    };
    let go = module.go_build_id();
    json!({
        "path": module.path.to_string_lossy(),
        "maybe_deleted": module.maybe_deleted,
        "main": module.is_main,
        "start": format!("{:#x}", module.start),
        "limit": format!("{:#x}", module.limit),
        "bias": module.load_bias.map(|bias| format!("{bias:#x}")),
        "build_id": module.build_id().map(BuildId::to_string),
        "go": go.map(|id| String::from_utf8_lossy(id)),
        "file": file,
        "verified": found,
        "error": error,
    })
}

fn thread_json(report: &Report<'_>, thread: &ThreadStack, is_first: bool) -> Value {
    let signal = report.core.signal().filter(|_| is_first);
    let registers = thread.thread.registers.map(|set| {
        let values = set.iter();
        let values = values.map(|(name, value)| (name.to_owned(), format!("{value:#x}").into()));
        Value::Object(values.collect())
    });
    let frames = thread.frames.iter();
    json!({
        "tid": thread.thread.tid,
        "signal": signal.map(|signal| signal_name(signal.number)),
        "registers": registers,
        "frames": frames
            .map(|position| frame_json(&report.stacks.frame(*position)))
            .collect::<Vec<_>>(),
        "complete": thread.stop.is_some_and(Stop::is_complete),
        "end": end_text(thread).or_else(|| thread.stop.map(|stop| stop.text().to_owned())),
    })
}

fn frame_json(frame: &CoreFrame<'_>) -> Value {
    let functions: Vec<Value> = frame
        .named
        .iter()
        .flatten()
        .map(|function| {
            json!({
                "name": function.name,
                "system_name": function.system_name,
                "file": function.file,
                "line": function.line,
            })
        })
        .collect();
    let mapping = frame.mapping;
    let hex = |value: Option<u64>| value.map(|value| format!("{value:#x}"));
    let offset = mapping.and_then(|mapping| mapping.file_offset(frame.address));
    let elf_addr = mapping.and_then(|mapping| mapping.elf_addr(frame.address));
    json!({
        "address": format!("{:#x}", frame.address),
        "path": mapping.map(|mapping| mapping.path.to_string_lossy()),
        "build_id": mapping.and_then(|mapping| Some(mapping.build_id()?.to_string())),
        "offset": hex(offset.map(|offset| offset.0)),
        "elf_address": hex(elf_addr.map(|address| address.0)),
        "functions": functions,
        "reason": frame.named.as_ref().err().map(ToString::to_string),
    })
}
