//! Real processes.

use std::process::Command;

use rustix::pipe::pipe;

use crate::binary::SymbolPattern;
use crate::process::Resolver;
use crate::process::tests::support::{Running, compile, is_root, own_libc};
use crate::scan::{Follow, Hit, PathPattern, Query, Scan};

fn query(name: &str, path: &str) -> Query {
    let mut query = Query::new(SymbolPattern::exact(name).unwrap());
    query.path = Some(PathPattern::new(path).unwrap());
    query
}

/// A program's function is found where the program says that it is, however it was linked; in a static program by
/// `.symtab` alone (SC-11).
#[test]
fn functions_of_running_programs() {
    let dir = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("scan-pie", &["-pie", "-fPIE"][..]),
        ("scan-fixed", &["-no-pie"]),
        ("scan-static", &["-static"]),
        ("scan-wide", &["-Wl,-z,max-page-size=0x10000"]),
    ] {
        let path = compile(dir.path(), name, options);
        let running = [(); 2].map(|()| Running::start(&mut Command::new(&path)));
        let mut scan = Scan::new(Resolver::new(), query("work", name));
        let hits: Vec<Hit> = scan.hits().unwrap().collect();
        assert_eq!(hits.len(), 2, "{name}: {hits:?}");
        for program in &running {
            let hit = hits.iter().find(|hit| hit.pid == program.pid()).unwrap();
            assert_eq!(hit.address, Some(program.address), "{name}");
            assert_eq!(*hit.path, *path, "{name}");
        }
    }
}

/// A program in another mount namespace is looked into by its own files (SC-09).
#[test]
fn program_in_another_mount_namespace() {
    if !is_root("program_in_another_mount_namespace") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "scan-namespace", &["-static"]);
    let script = r#"mount -t tmpfs none "$1" && cp "$2" "$1/scan-inside" && exec "$1/scan-inside""#;
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    let running = Running::start(command.arg(&root).arg(&program));
    assert!(!root.join("scan-inside").exists());
    let mut scan = Scan::new(Resolver::new(), query("work", "scan-inside"));
    let hits: Vec<Hit> = scan.hits().unwrap().collect();
    assert_eq!(hits.len(), 1, "{hits:?} {:?}", scan.problems());
    assert_eq!(
        (hits[0].pid, hits[0].address),
        (running.pid(), Some(running.address))
    );
}

/// A scan that goes on finds a program that starts later, and the library that its loader maps afterwards, each once.
#[test]
fn programs_that_start_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "scan-later", &["-pie", "-fPIE"]);
    let libc = own_libc();
    let libc = libc.file_name().unwrap().to_str().unwrap();
    let mut all = query("work", "scan-later");
    all.symbols = SymbolPattern::regex("^(work|getchar)$").unwrap();
    all.path = Some(PathPattern::new(&format!("{{scan-later,{libc}}}")).unwrap());
    let (mut follow, _) = Follow::new(Scan::new(Resolver::new(), all));
    let (stop, stopping) = pipe().unwrap();
    follow.next(&stop).unwrap().unwrap();

    let mut running = Running::start(&mut Command::new(&path));
    let mut names = Vec::new();
    while names.len() < 2 {
        let hits = follow.next(&stop).unwrap().unwrap();
        // Other tests start programs as well.
        for hit in hits.iter().filter(|hit| hit.pid == running.pid()) {
            let is_work = hit.symbol.name == "work";
            assert!(!is_work || hit.address == Some(running.address), "{hit:?}");
            // Between fork and exec the process was a copy of this one.
            if is_work || names.contains(&"work".to_owned()) {
                names.push(hit.symbol.name.clone());
            }
        }
        follow.scan().take_problems();
    }
    assert_eq!(names, ["work", "getchar"]);
    running.end();
    drop(stopping);
    while follow.next(&stop).unwrap().is_some() {
        follow.scan().take_problems();
    }
}
