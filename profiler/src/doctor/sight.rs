//! Judges what can be seen of other processes and of the kernel, and what names it gets.

use rustix::thread::CapabilitySet;

use super::Finding;
use super::facts::{DebugFiles, Facts};
use crate::process::Access;

/// A finding for each thing that is looked at.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    vec![
        pid_namespace(facts),
        mappings(facts),
        memory(facts),
        map_files(facts),
        kernel_symbols(facts),
        cgroups(facts),
        debug_files(&facts.debug_files),
    ]
}

fn pid_namespace(facts: &Facts) -> Finding {
    const NAME: &str = "pid-namespace";
    match facts.pid_namespace {
        None => Finding::ok(NAME, "the initial one: all processes can be seen").needed(),
        Some(_) if !facts.own_proc => Finding::missing(
            NAME,
            "one of its own, but /proc is of another",
            "a process id would mean two processes",
        )
        .needed()
        .mended_by("sudo unshare --mount --mount-proc profiler …".to_owned()),
        Some(inode) => Finding::limited(
            NAME,
            format!("one of its own (pid:[{inode}])"),
            "only processes in it are profiled, with the ids that they have there; for all of the machine: docker run --pid=host",
        ),
    }
}

/// How many of all, and one of the others.
fn of_all(readable: usize, access: &Access) -> String {
    let found = format!(
        "readable of {readable} of {} other processes",
        access.processes
    );
    match access.refusal {
        Some((pid, errno)) if readable < access.processes => {
            format!("{found}; not of {pid}: {}", std::io::Error::from(errno))
        }
        _ => found,
    }
}

fn mappings(facts: &Facts) -> Finding {
    const NAME: &str = "mappings";
    let access = match &facts.access {
        Ok(access) => access,
        Err(error) => {
            return Finding::missing(
                NAME,
                format!("/proc cannot be read: {error}"),
                "nothing can be said of processes",
            )
            .needed()
            .mended_by("sudo mount -t proc proc /proc".to_owned());
        }
    };
    let found = of_all(access.maps, access);
    if access.maps == access.processes {
        return Finding::ok(NAME, found);
    }
    Finding::limited(
        NAME,
        found,
        match facts.rights.has(CapabilitySet::SYS_PTRACE) {
            false => "the others have addresses without names; see CAP_SYS_PTRACE",
            true => {
                "the others have addresses without names; they are of another user namespace or protected by a security module"
            }
        },
    )
}

/// Memory is read for what has no file (the vDSO, programs that run from memory) and for the main binary.
fn memory(facts: &Facts) -> Finding {
    const NAME: &str = "process-memory";
    let Ok(access) = &facts.access else {
        return Finding::limited(NAME, "/proc cannot be read", "see mappings");
    };
    let found = of_all(access.memory, access);
    if access.memory == access.processes {
        return Finding::ok(NAME, found);
    }
    const MEANS: &str =
        "code of the others that is in no file (vDSO, binaries that are gone) has no names";
    match facts.settings.ptrace_scope {
        Some(3..) => Finding::limited(
            NAME,
            format!("{found}; kernel.yama.ptrace_scope is 3, which only a restart takes back"),
            MEANS,
        ),
        Some(scope @ 1..) if !facts.rights.has(CapabilitySet::SYS_PTRACE) => Finding::limited(
            NAME,
            format!("{found}; kernel.yama.ptrace_scope is {scope}"),
            format!("{MEANS}; see CAP_SYS_PTRACE"),
        ),
        _ if facts.rights.has(CapabilitySet::SYS_PTRACE) => Finding::limited(NAME, found, MEANS),
        _ => Finding::limited(NAME, found, format!("{MEANS}; see CAP_SYS_PTRACE")),
    }
}

fn map_files(facts: &Facts) -> Finding {
    const NAME: &str = "map_files";
    match &facts.map_files {
        Ok(()) => Finding::ok(
            NAME,
            "mapped files can be opened, deleted and replaced ones too",
        ),
        Err(error) => Finding::limited(
            NAME,
            format!("links may not be followed: {error}"),
            "binaries that were deleted or replaced while they run have no names; see CAP_CHECKPOINT_RESTORE",
        ),
    }
}

fn kernel_symbols(facts: &Facts) -> Finding {
    const NAME: &str = "kernel-symbols";
    const MEANS: &str = "kernel functions have addresses without names";
    let restrict = facts.settings.kptr_restrict;
    match &facts.kernel_symbols {
        Ok(true) => {
            let setting = restrict.map_or_else(String::new, |level| {
                format!("; kernel.kptr_restrict is {level}")
            });
            Finding::ok(NAME, format!("/proc/kallsyms shows addresses{setting}"))
        }
        Ok(false) if restrict.is_some_and(|level| level >= 2) => Finding::limited(
            NAME,
            "kernel.kptr_restrict is 2, which hides addresses from everybody",
            MEANS,
        )
        .mended_by("sudo sysctl kernel.kptr_restrict=1".to_owned()),
        Ok(false) => Finding::limited(
            NAME,
            "/proc/kallsyms hides addresses from who has no CAP_SYSLOG",
            format!("{MEANS}; see CAP_SYSLOG"),
        ),
        Err(error) => Finding::limited(NAME, format!("/proc/kallsyms: {error}"), MEANS),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    const NAME: &str = "cgroups";
    match &facts.cgroups {
        Some(mount) => Finding::ok(NAME, format!("version 2 at {}", mount.display())),
        None => Finding::limited(
            NAME,
            "version 2 is not mounted",
            "--cgroup cannot be used, and the labels cgroup and container are empty",
        )
        .mended_by("sudo mount -t cgroup2 none /sys/fs/cgroup".to_owned()),
    }
}

fn debug_files(files: &DebugFiles) -> Finding {
    const NAME: &str = "debug-files";
    let installed = format!("{} by build-id in /usr/lib/debug", files.installed);
    match (&files.library, &files.of_library) {
        (_, Some(debug)) => Finding::ok(
            NAME,
            format!("{installed}; that of the C library is {}", debug.display()),
        ),
        (None, None) => Finding::ok(
            NAME,
            format!("{installed}; there is no C library to look for its own"),
        ),
        (Some(library), None) => Finding::limited(
            NAME,
            format!("{installed}, none of {}", library.display()),
            "functions of libraries have names only as far as they are exported, and no lines",
        )
        .mended_by(files.installer.and_then(install)),
    }
}

/// How the debug file of the C library is installed; others have packages of their own.
fn install(installer: &str) -> Option<String> {
    let command = match installer {
        "apt-get" => "sudo apt-get install libc6-dbg",
        "dnf" => "sudo dnf debuginfo-install glibc",
        "zypper" => "sudo zypper install glibc-debuginfo",
        "apk" => "sudo apk add musl-dbg",
        // Arch has them by debuginfod only.
        _ => return None,
    };
    Some(command.to_owned())
}
