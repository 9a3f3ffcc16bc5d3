//! The commands that do not sample: build-ids, mappings and symbols of files and processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::rights::Public;
use crate::harness::{
    Recorder, Target, build_id, copy_program, fixture, output, profiler, shared, skip,
};

fn run(args: &[&str]) -> Output {
    Command::new(profiler()).args(args).output().unwrap()
}

/// The document that a command prints, which must have read all of its inputs.
fn document(args: &[&str]) -> Vec<Value> {
    let text = output(Command::new(profiler()).args(args).arg("--json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// Each file has the id that `readelf` reads, Go's own besides; what is no binary is told of, costs nothing but itself,
/// and makes the exit code 1 (BI-19, BI-20, BI-22).
#[test]
fn build_ids_of_files() {
    let names = ["spin", "spin-nobuildid-fp", "phases-go", "phases-go-gnuid"];
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    output(Command::new("mkfifo").arg(&fifo));
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let bad = [
        fifo.as_path(),
        folder.path(),
        &script,
        Path::new("/dev/null"),
    ];
    let paths = names.map(fixture);
    let mut args: Vec<&str> = bad.iter().map(|path| path.to_str().unwrap()).collect();
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    args.insert(0, "build-id");

    let plain = run(&args);
    assert_eq!(plain.status.code(), Some(1));
    let lines = paths.iter().map(|path| {
        let id = build_id(path).unwrap_or_else(|| "-".to_owned());
        format!("{id}  {}\n", path.display())
    });
    assert_eq!(
        String::from_utf8_lossy(&plain.stdout),
        lines.collect::<String>()
    );
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    for path in bad {
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
    for kind in [
        "a FIFO",
        "a directory",
        "a character device",
        "not an ELF file",
    ] {
        assert!(said.contains(kind), "{said}");
    }

    args.push("--json");
    let json = run(&args);
    assert_eq!(json.status.code(), Some(1));
    let rows: Vec<Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(rows.len(), 8);
    for (row, path) in rows[..4].iter().zip(bad) {
        assert_eq!(text(row, "path"), path.to_str().unwrap());
        assert!(row["gnu"].is_null() && row["error"].is_string(), "{row}");
    }
    for (row, path) in rows[4..].iter().zip(&paths) {
        assert_eq!(row["gnu"].as_str(), build_id(path).as_deref());
        let is_go = text(row, "path").contains("phases-go");
        assert_eq!(text(row, "go").contains('/'), is_go, "{row}");
        assert!(row["error"].is_null(), "{row}");
    }
}

/// A process has the ids of the files that it runs, the main binary first, also when they are gone, and of its vDSO,
/// whose id is the same in every process (VD-1).
#[test]
fn build_ids_of_processes() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone");
    copy_program(&fixture("spin"), &path);
    let targets = [Target::spawn(&path, &[]), Target::spinning("spin")];
    fs::remove_file(&path).unwrap();
    let rows = targets
        .each_ref()
        .map(|target| document(&["build-id", "--pid", &target.pid.to_string()]));
    let main = &rows[0][0];
    assert_eq!(text(main, "path"), path.to_str().unwrap());
    assert_eq!(main["gnu"].as_str(), build_id(&fixture("spin")).as_deref());
    let vdso = rows.each_ref().map(|rows| {
        let row = rows
            .iter()
            .find(|row| text(row, "path") == "[vdso]")
            .unwrap();
        text(row, "gnu")
    });
    assert_eq!(vdso[0].len(), 40);
    assert_eq!(vdso[0], vdso[1]);
    let libc = rows[1]
        .iter()
        .find(|row| text(row, "path").ends_with("/libc.so.6"))
        .unwrap();
    assert_eq!(
        libc["gnu"].as_str(),
        build_id(text(libc, "path").as_ref()).as_deref()
    );
}

/// Without the right to open a file that is gone, the memory of the process still has the id.
#[test]
fn build_ids_in_memory() {
    let Some(_turn) = shared() else { return };
    let public = Public::new();
    let path = public.folder().join("gone");
    copy_program(&fixture("spin"), &path);
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if scope.trim().parse().is_ok_and(|scope: u32| scope > 0) {
        skip("kernel.yama.ptrace_scope is not 0: memory is for parents only");
        return;
    }
    let Some(mut command) = public.as_nobody(&[]) else {
        return;
    };
    let mut args: Vec<&str> = command
        .get_args()
        .map(|arg| arg.to_str().unwrap())
        .collect();
    args.push(path.to_str().unwrap());
    let target = Target::spawn("setpriv".as_ref(), &args);
    fs::remove_file(&path).unwrap();
    command.arg(public.program());
    command.args(["build-id", "--json", "--pid", &target.pid.to_string()]);
    let rows: Vec<Value> = serde_json::from_str(&output(&mut command)).unwrap();
    assert_eq!(rows[0]["path"].as_str(), path.to_str());
    assert_eq!(
        rows[0]["gnu"].as_str(),
        build_id(&fixture("spin")).as_deref()
    );
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn range_of_line(line: &str) -> (u64, u64) {
    let (start, rest) = line.split_once('-').unwrap();
    (number(start), number(rest.split(' ').next().unwrap()))
}

/// The mappings are those that a profile of the process has, whatever linker made them; every line is there with `--all`.
#[test]
fn mappings_are_those_of_a_profile() {
    let Some(_turn) = shared() else { return };
    for name in ["spin", "spin-lld", "spin-nopie", "spin-static"] {
        let target = Target::spinning(name);
        let pid = target.pid.to_string();
        let rows = document(&["maps", "--pid", &pid]);
        let profile = Recorder::new(["-p", &pid, "-F", "997", "-d", "200ms"])
            .run()
            .profile();
        let message = profile.message();
        for mapping in message
            .mapping
            .iter()
            .filter(|mapping| mapping.memory_start >> 63 == 0)
        {
            let start = format!("{:#x}", mapping.memory_start);
            let row = rows.iter().find(|row| text(row, "start") == start);
            let row = row.unwrap_or_else(|| panic!("{name}: {start} in {rows:#?}"));
            assert_eq!(text(row, "limit"), format!("{:#x}", mapping.memory_limit));
            assert_eq!(text(row, "offset"), format!("{:#x}", mapping.file_offset));
            assert_eq!(text(row, "path"), profile.string(mapping.filename));
            assert_eq!(text(row, "build_id"), profile.string(mapping.build_id));
        }
        let main = &rows[0];
        assert_eq!(text(main, "path"), fixture(name).to_str().unwrap());
        assert_eq!(text(main, "kind"), "file");
        let fixed = ["spin-nopie", "spin-static"].contains(&name);
        assert_eq!(text(main, "bias") == "0x0", fixed, "{main}");

        let all = document(&["maps", "--all", "--pid", &pid]);
        let lines = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let expected: Vec<(u64, u64)> = lines.lines().map(range_of_line).collect();
        let found: Vec<(u64, u64)> = all
            .iter()
            .map(|row| (number(text(row, "start")), number(text(row, "limit"))))
            .collect();
        assert_eq!(found, expected);
        assert!(
            all.iter()
                .any(|row| text(row, "kind") == "special" && text(row, "path") == "[stack]")
        );
    }
    let nobody = run(&["maps", "--pid", "4194305"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no process 4194305"));
}

/// A Python that waits.
struct Python {
    child: Child,
    _stdin: ChildStdin,
}

impl Python {
    fn start() -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", "print('ready', flush=True); input()"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self {
            _stdin: child.stdin.take().unwrap(),
            child,
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where gdb finds a variable in a process.
fn by_gdb(pid: u32, expression: &str) -> String {
    let text = output(
        Command::new("gdb")
            .args(["-batch", "-nx", "-p", &pid.to_string()])
            .args([
                "-iex",
                "set auto-load off",
                "-iex",
                "set debuginfod enabled off",
            ])
            .args(["-ex", &format!("output/x (unsigned long)({expression})")]),
    );
    let at = text
        .rfind("0x")
        .unwrap_or_else(|| panic!("gdb says {text}"));
    let digits = text[at + 2..].chars().take_while(char::is_ascii_hexdigit);
    format!("0x{}", digits.collect::<String>())
}

/// In several Python processes `_PyRuntime`, and a function of the C library that lies elsewhere in each of them, are
/// where gdb finds them (SC-16).
#[test]
fn symbols_are_where_gdb_finds_them() {
    let Some(_turn) = shared() else { return };
    let pythons = [(); 2].map(|()| Python::start());
    let pids = pythons.each_ref().map(|python| python.child.id());
    let list = pids.map(|pid| pid.to_string()).join(",");
    for (name, expression) in [("_PyRuntime", "&_PyRuntime"), ("environ", "&environ")] {
        let mut args = vec!["symbols", name, "--pid", &list];
        // The program has a copy of the variable, which is the one that counts.
        args.extend(["--path", "python3*"]);
        if name == "_PyRuntime" {
            args.truncate(4);
        }
        let rows = document(&args);
        let found: BTreeMap<u64, &str> = rows
            .iter()
            .map(|row| (row["pid"].as_u64().unwrap(), text(row, "address")))
            .collect();
        for pid in pids {
            let expected = by_gdb(pid, expression);
            assert_eq!(
                found.get(&pid.into()),
                Some(&expected.as_str()),
                "{name}: {rows:#?}"
            );
        }
        assert_eq!(rows.len(), pids.len(), "{rows:#?}");
    }
}

/// What is reported of a symbol, in all processes that have it; and that one is nowhere.
#[test]
fn symbols_of_fixtures() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin");
    let rows = document(&[
        "symbols",
        "--regex",
        "^work_[ab]$",
        "--path",
        "spin",
        "-p",
        &target.pid.to_string(),
    ]);
    let names: Vec<&str> = rows.iter().map(|row| text(row, "symbol")).collect();
    assert!(
        names.contains(&"work_a") && names.contains(&"work_b"),
        "{rows:#?}"
    );
    for row in &rows {
        assert_eq!(text(row, "path"), fixture("spin").to_str().unwrap());
        assert_eq!(
            row["build_id"].as_str(),
            build_id(&fixture("spin")).as_deref()
        );
        assert_eq!(text(row, "type"), "func");
        assert!(
            row["size"].as_u64() > Some(0) && row["start_time"].as_u64() > Some(0),
            "{row}"
        );
    }
    let none = run(&["symbols", "work_a", "--path", "no such file"]);
    assert!(none.stdout.is_empty());
    assert!(String::from_utf8_lossy(&none.stderr).contains("is in none of"));
    let wrong = run(&["symbols", "("]);
    assert!(
        wrong.stdout.is_empty(),
        "no name is a regular expression unless that is said"
    );
    assert_eq!(run(&["symbols", "--regex", "("]).status.code(), Some(1));
}

/// With `--follow` a program that starts later is reported when it does, until Ctrl-C.
#[test]
fn symbols_of_programs_that_start_later() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("followed");
    copy_program(&fixture("spin"), &path);
    let mut child = Command::new(profiler())
        .args(["symbols", "main", "--path", "followed", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("PID "));
    let targets = [(); 2].map(|()| Target::spawn(&path, &[]));
    let mut pids = targets.each_ref().map(|target| target.pid.to_string());
    for _ in &targets {
        let line = lines.next().unwrap().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        // Whichever was looked at first.
        let pid = pids.iter_mut().find(|pid| pid.as_str() == words[0]);
        pid.unwrap_or_else(|| panic!("{line}")).clear();
        assert_eq!((words[3], words[4]), ("func", "main"), "{line}");
        assert_eq!(words[5], path.to_str().unwrap(), "{line}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(lines.next().is_none());
    child.wait().unwrap();
}
