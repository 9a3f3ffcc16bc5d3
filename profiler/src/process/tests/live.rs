//! Real processes: this one and children of it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::addr::ProcAddr;
use crate::process::procdir::ProcDir;
use crate::process::tests::support::{
    Running, can_follow_map_files, compile, compile_leaderless, is_root, own_libc, own_loader,
    readelf_build_id, symbol,
};
use crate::process::{Mapping, MappingKind, ProcFs, Resolver, Warning, parse_maps};

fn own_mapping(resolver: &Resolver, name: &str) -> std::sync::Arc<Mapping> {
    let mappings = resolver.mappings(std::process::id()).unwrap();
    let found = mappings
        .into_iter()
        .find(|mapping| mapping.path.to_string_lossy().contains(name));
    found.unwrap_or_else(|| panic!("no {name}"))
}

/// The state letter of a process: `Z` once it has ended and nobody has taken its status.
fn wait_for_zombie(pid: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        if stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
        {
            return;
        }
        std::thread::yield_now();
    }
}

/// A program's function is found at the address of its symbol table, however it was linked (PI-02..05), and
/// its build-id is the one of its file.
#[test]
fn addresses_and_ids_of_running_programs() {
    let dir = tempfile::tempdir().unwrap();
    let lld = Command::new("ld.lld").arg("--version").output().is_ok();
    if !lld {
        println!("no ld.lld here: its layout is tested with made headers only");
    }
    for (name, options) in [
        ("pie", &["-pie", "-fPIE"][..]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
        ("static-pie", &["-static-pie", "-fPIE"]),
        ("one-segment", &["-Wl,-z,noseparate-code"]),
        ("wide", &["-Wl,-z,max-page-size=0x10000"]),
        (
            "wider",
            &["-Wl,-z,max-page-size=0x200000", "-Wl,-z,noseparate-code"],
        ),
        ("lld", &["-fuse-ld=lld"]),
        (
            "lld-wide",
            &["-fuse-ld=lld", "-Wl,-z,max-page-size=0x10000"],
        ),
        ("lld-fixed", &["-fuse-ld=lld", "-no-pie"]),
    ] {
        if name.starts_with("lld") && !lld {
            continue;
        }
        let path = compile(dir.path(), name, options);
        let running = Running::start(&mut Command::new(&path));
        let resolver = Resolver::new();
        let mapping = resolver.lookup(running.pid(), running.address).unwrap();
        assert!(
            mapping.is_main && mapping.kind == MappingKind::File,
            "{name}: {mapping:?}"
        );
        assert_eq!(*mapping.path, *path, "{name}");
        let found = mapping.elf_addr(running.address).map(|address| address.0);
        assert_eq!(found, Some(symbol(&path, "work")), "{name}");
        let id = mapping.build_id().map(ToString::to_string);
        assert!(id.is_some() && id == readelf_build_id(&path), "{name}");
        let range = mapping.profile_range();
        assert!(
            range.start <= running.address && running.address < range.limit,
            "{name}"
        );
        let mains = resolver.snapshot(running.pid()).unwrap();
        assert!(
            mains
                .mappings()
                .iter()
                .all(|other| other.is_main == (other.path == mapping.path))
        );
    }
}

/// A program started through the dynamic loader is the main binary all the same (PI-13).
#[test]
fn program_started_by_the_loader() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "program", &["-pie", "-fPIE"]);
    // The loader's own arguments stand before the program.
    for arguments in [&[][..], &["--inhibit-cache"], &["--argv0", "other name"]] {
        let mut command = Command::new(own_loader());
        let running = Running::start(command.args(arguments).arg(&path).arg("argument"));
        let snapshot = Resolver::new().snapshot(running.pid()).unwrap();
        let main = snapshot.main().unwrap();
        assert_eq!(*main.path, *path, "{arguments:?}");
        assert!(main.contains(running.address));
        let loader = snapshot
            .mappings()
            .iter()
            .find(|mapping| *mapping.path == *own_loader());
        assert!(loader.is_some_and(|loader| !loader.is_main));
    }
}

/// The vDSO has a build-id, the same in every process, and is there when the process has gone (VD-1).
#[test]
fn vdso_of_live_processes() {
    let resolver = Resolver::new();
    let own = own_mapping(&resolver, "[vdso]");
    let id = own.build_id().unwrap();
    assert_eq!(id.as_bytes().len(), 20);
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "program", &[]);
    let mut running = Running::start(&mut Command::new(&path));
    let mappings = resolver.mappings(running.pid()).unwrap();
    let other = mappings
        .iter()
        .find(|mapping| mapping.kind == MappingKind::Vdso)
        .unwrap();
    assert!(std::sync::Arc::ptr_eq(
        own.binary().unwrap(),
        other.binary().unwrap()
    ));
    running.end();
    let entry = other.load_bias().unwrap() + other.binary().unwrap().segments()[0].vaddr.0 + 0x800;
    assert_eq!(
        other.elf_addr(ProcAddr(entry)).map(|address| address.0),
        Some(0x800)
    );
    // What `readelf` says of the image that is kept.
    let copy = dir.path().join("vdso");
    let image = std::os::fd::AsRawFd::as_raw_fd(own.binary().unwrap().file());
    std::fs::copy(format!("/proc/self/fd/{image}"), &copy).unwrap();
    assert_eq!(readelf_build_id(&copy), Some(id.to_string()));
}

/// A library's build-id is that of its file, and the library is opened once for all processes.
#[test]
fn libraries_are_shared() {
    let resolver = Resolver::new();
    let libc = own_libc();
    let own = own_mapping(&resolver, "libc.so");
    assert_eq!(
        own.build_id().map(ToString::to_string),
        readelf_build_id(&libc)
    );
    assert_eq!(resolver.build_id(&libc).unwrap().as_ref(), own.build_id());
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(&mut Command::new(compile(dir.path(), "program", &[])));
    let mappings = resolver.mappings(running.pid()).unwrap();
    let other = mappings
        .iter()
        .find(|mapping| *mapping.path == *libc)
        .unwrap();
    assert!(std::sync::Arc::ptr_eq(
        own.binary().unwrap(),
        other.binary().unwrap()
    ));
}

/// What was located is still there when the process has gone and its file was replaced (PI-11, RS-08).
#[test]
fn process_that_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "program", &[]);
    let expected = readelf_build_id(&path);
    let mut running = Running::start(&mut Command::new(&path));
    let resolver = Resolver::new();
    let find = || resolver.lookup(running.pid(), running.address).unwrap();
    assert_eq!(find().build_id().map(ToString::to_string), expected);
    let (pid, address) = (running.pid(), running.address);
    running.end();
    std::fs::remove_file(&path).unwrap();
    let mapping = resolver.lookup(pid, address).unwrap();
    assert_eq!(mapping.build_id().map(ToString::to_string), expected);
    let mut magic = [0; 4];
    let file = mapping.binary().unwrap().file();
    std::os::unix::fs::FileExt::read_exact_at(file, &mut magic, 0).unwrap();
    assert_eq!(&magic, b"\x7fELF");
    // Somebody who comes later finds nothing.
    let late = Resolver::new();
    assert!(late.lookup(pid, address).is_none());
    assert_eq!(late.stats().gone, 1);
}

/// A deleted and a replaced file are opened through the mapping, with the id of what runs (MP-10, A13).
#[test]
fn deleted_and_replaced_files() {
    if !can_follow_map_files("deleted_and_replaced_files") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = compile(dir.path(), "program (deleted)", &[]);
    let expected = readelf_build_id(&path);
    let running = Running::start(&mut Command::new(&path));
    let look = || {
        let mapping = Resolver::new()
            .lookup(running.pid(), running.address)
            .unwrap();
        assert!(mapping.is_main);
        assert_eq!(*mapping.path, *path);
        assert_eq!(mapping.build_id().map(ToString::to_string), expected);
        mapping.deleted
    };
    assert!(!look(), "MP-11: a name that ends like that");
    let other = compile(dir.path(), "other", &["-Wl,--build-id=md5"]);
    std::fs::rename(&other, &path).unwrap();
    assert!(look(), "MP-12: replaced");
    std::fs::remove_file(&path).unwrap();
    assert!(look(), "MP-12: deleted");
}

/// Without the capability for `map_files` the path below the process's root is taken, if its file is the
/// mapped one, and that is said once (RS-15).
#[test]
fn without_capability_for_map_files() {
    // Capabilities belong to threads, so only this one loses them.
    std::thread::spawn(|| {
        let mut capabilities = rustix::thread::capabilities(None).unwrap();
        capabilities.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, capabilities).unwrap();
        let resolver = Resolver::new();
        let libc = own_mapping(&resolver, "libc.so");
        assert_eq!(resolver.take_warning(), None);
        assert_eq!(
            libc.build_id().map(ToString::to_string),
            readelf_build_id(&own_libc())
        );
        assert!(resolver.stats().map_files_denied > 0);
        assert_eq!(resolver.take_warning(), Some(Warning::MapFilesDenied));
        assert_eq!(resolver.take_warning(), None);
    })
    .join()
    .unwrap();
}

/// A name with a newline and with bytes that are no UTF-8 is the file's own (MP-06, MP-09).
#[test]
fn names_with_unusual_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let compiled = compile(dir.path(), "program", &[]);
    let name =
        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\nb\\012 \xff\xfe ");
    let path = dir.path().join(name);
    std::fs::rename(&compiled, &path).unwrap();
    let running = Running::start(&mut Command::new(&path));
    let mapping = Resolver::new()
        .lookup(running.pid(), running.address)
        .unwrap();
    assert_eq!(*mapping.path, *path);
    assert_eq!(
        mapping.build_id().map(ToString::to_string),
        readelf_build_id(&path)
    );
}

/// A process whose first thread has ended is seen through another (RS-12, A17).
#[test]
fn process_without_first_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_leaderless(dir.path());
    let running = Running::start(&mut Command::new(&path));
    let pid = running.pid();
    while !std::fs::read(format!("/proc/{pid}/maps"))
        .unwrap()
        .is_empty()
    {
        std::thread::yield_now();
    }
    let mapping = Resolver::new().lookup(pid, running.address).unwrap();
    assert!(mapping.is_main);
    assert_eq!(*mapping.path, *path);
    assert_eq!(
        mapping.build_id().map(ToString::to_string),
        readelf_build_id(&path)
    );
    let mut threads = ProcFs::new().threads(pid).into_iter();
    let other = threads.find(|tid| *tid != pid).unwrap();
    let lines = std::fs::read(format!("/proc/{pid}/task/{other}/maps")).unwrap();
    let lines = parse_maps(&lines).lines.into_iter();
    let executable = lines.filter(|line| line.permissions.execute);
    let expected: Vec<_> = executable.map(|line| (line.start, line.limit)).collect();
    let mappings = Resolver::new().mappings(pid).unwrap();
    let found = mappings
        .iter()
        .map(|mapping| (mapping.start, mapping.limit));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// A zombie has no mappings, nor has a thread of the kernel; a process that ends between opening and reading counts as gone (RS-13).
#[test]
fn ended_processes() {
    let mut child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    wait_for_zombie(pid);
    assert!(Resolver::new().mappings(pid).unwrap().is_empty());
    let mut directory = ProcDir::open(Path::new("/proc"), pid).unwrap();
    assert!(ProcFs::new().exists(pid));
    child.wait().unwrap();
    assert!(!ProcFs::new().exists(pid));
    assert!(crate::process::error::is_gone(
        directory.maps().unwrap_err()
    ));
    assert_eq!(directory.start_time(), None);
    let resolver = Resolver::new();
    assert!(resolver.mappings(pid).unwrap().is_empty());
    assert_eq!(resolver.stats().gone, 1);
    // In a pid namespace of its own this may be anybody.
    if ProcFs::new().name(2).is_some_and(|name| name == "kthreadd") {
        assert!(resolver.mappings(2).unwrap().is_empty());
        assert_eq!(resolver.stats().gone, 1);
    }
}

/// A process in another mount namespace has the file of its own root, whatever lies at that path here
/// (RS-10).
#[test]
fn process_in_another_mount_namespace() {
    if !is_root("process_in_another_mount_namespace") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "app", &["-static"]);
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    assert!(Path::new("/bin/true").exists(), "another file here");
    let script = r#"mount -t tmpfs none "$1" && mkdir "$1/old" "$1/bin" && cp "$2" "$1/bin/true" &&
                    cd "$1" && pivot_root . old && cd / && exec /bin/true"#;
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
    let expected = readelf_build_id(&program);
    let mapping = Resolver::new()
        .lookup(running.pid(), running.address)
        .unwrap();
    assert_eq!(mapping.path.to_str(), Some("/bin/true"));
    assert_eq!(mapping.build_id().map(ToString::to_string), expected);
    let path = crate::process::openable_path(Path::new("/proc"), running.pid(), &mapping).unwrap();
    let id = crate::binary::read_build_id(&path).unwrap();
    assert_eq!(id.map(|id| id.to_string()), expected);
    let below_root = format!("/proc/{}/root/bin/true", running.pid());
    let id = crate::binary::read_build_id(Path::new(&below_root)).unwrap();
    assert_eq!(id.map(|id| id.to_string()), expected);
}

/// Names, threads and start times are those of the processes asked about.
#[test]
fn small_facts() {
    let procfs = ProcFs::new();
    let pid = std::process::id();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("a ) b".to_owned())
        .spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            ready.send(tid).unwrap();
            // Ends when the other side goes.
            let _ = receiver.recv();
        })
        .unwrap();
    let tid = started.recv().unwrap();
    assert_eq!(procfs.thread_name(pid, tid).unwrap(), "a ) b");
    assert_eq!(
        (procfs.process_of(tid), procfs.process_of(pid)),
        (Some(pid), Some(pid))
    );
    assert!(procfs.threads(pid).contains(&tid) && procfs.pids().unwrap().contains(&pid));
    assert!(!procfs.pids().unwrap().contains(&tid));
    assert!(procfs.name(pid).is_some() && procfs.exists(pid));
    assert!(procfs.start_time(pid).unwrap() <= procfs.start_time(tid).unwrap());
    drop(sender);
    thread.join().unwrap();
    assert_eq!(procfs.name(u32::MAX), None);
    assert!(!procfs.exists(u32::MAX) && procfs.process_of(u32::MAX).is_none());
}
