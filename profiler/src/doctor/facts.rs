//! Everything that is looked at, tried out once.

use std::io;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use crate::cgroup;
use crate::process::{Access, ProcFs};
use crate::sampler::{self, Parts, Sampled, SamplerError, sysctl};
use crate::symbolize::Options;

/// Where distributions have the C library, whose debug file stands for those of all libraries.
const C_LIBRARIES: [&str; 4] = [
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
];

/// What was found on a machine.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kernel: String,
    pub(super) machine: String,
    /// This program's file.
    pub(super) program: PathBuf,
    pub(super) rights: Rights,
    pub(super) parts: Parts,
    pub(super) sampling: Result<Sampled, SamplerError>,
    pub(super) settings: Settings,
    pub(super) kernel_symbols: io::Result<bool>,
    /// Inode of the pid namespace, unless it is the initial one.
    pub(super) pid_namespace: Option<u32>,
    /// Whether `/proc` is that of this pid namespace.
    pub(super) own_proc: bool,
    pub(super) access: io::Result<Access>,
    pub(super) map_files: io::Result<()>,
    /// Where control groups of version 2 are mounted.
    pub(super) cgroups: Option<PathBuf>,
    pub(super) debug_files: DebugFiles,
}

/// What this process may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rights {
    pub(super) effective: CapabilitySet,
    /// What this process or a program that it runs could get at all.
    pub(super) bounding: CapabilitySet,
    pub(super) is_root: bool,
    /// Whether capabilities of files are ignored.
    pub(super) no_new_privileges: bool,
    /// Whether system calls are filtered.
    pub(super) seccomp: bool,
    pub(super) initial_user_namespace: bool,
}

impl Rights {
    /// Whether a right is there, by itself or, of those that were split from it, by `CAP_SYS_ADMIN`.
    pub(super) fn has(&self, capability: CapabilitySet) -> bool {
        let split = CapabilitySet::BPF
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::CHECKPOINT_RESTORE)
            .union(CapabilitySet::SYSLOG);
        self.effective.contains(capability)
            || (split.contains(capability) && self.effective.contains(CapabilitySet::SYS_ADMIN))
    }
}

/// Settings of the kernel; `None` for what it does not have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Settings {
    pub(super) paranoid: Option<i32>,
    pub(super) most_samples: Option<u32>,
    pub(super) unprivileged_bpf_disabled: Option<i32>,
    pub(super) kptr_restrict: Option<i32>,
    pub(super) ptrace_scope: Option<i32>,
    pub(super) lockdown: Option<String>,
}

/// Separate debug files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct DebugFiles {
    /// The C library that was looked at.
    pub(super) library: Option<PathBuf>,
    /// Its debug file.
    pub(super) of_library: Option<PathBuf>,
    /// How many there are by build-id, of whatever binaries.
    pub(super) installed: usize,
    /// The distribution's program that installs packages.
    pub(super) installer: Option<&'static str>,
}

impl Facts {
    pub(super) fn gather() -> Self {
        let procfs = ProcFs::new();
        let pid_namespace = procfs.pid_namespace();
        let (sampling, parts) = sampler::try_all(pid_namespace);
        let system = rustix::system::uname();
        Self {
            kernel: system.release().to_string_lossy().into_owned(),
            machine: system.machine().to_string_lossy().into_owned(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("profiler")),
            rights: rights(),
            parts,
            sampling,
            settings: settings(),
            kernel_symbols: Options::default().kernel_symbols_are_shown(),
            pid_namespace,
            own_proc: procfs.shows_own_namespace(),
            access: procfs.access(),
            map_files: procfs.follows_map_files(),
            cgroups: cgroup::version_2(),
            debug_files: debug_files(&Options::default()),
        }
    }
}

fn rights() -> Rights {
    let effective =
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let could_have = |capability: &CapabilitySet| {
        // A kernel that does not know a capability cannot give it.
        rustix::thread::capability_is_in_bounding_set(*capability).unwrap_or(false)
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let seccomp = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    Rights {
        effective,
        bounding: CapabilitySet::all().iter().filter(could_have).collect(),
        is_root: rustix::process::geteuid().is_root(),
        no_new_privileges: rustix::thread::no_new_privs().unwrap_or(false),
        seccomp: seccomp.is_some_and(|mode| mode.trim() != "0"),
        initial_user_namespace: sampler::in_initial_user_namespace(),
    }
}

fn settings() -> Settings {
    Settings {
        paranoid: sampler::perf_event_paranoid(),
        most_samples: sampler::max_sample_rate(),
        unprivileged_bpf_disabled: sysctl("kernel/unprivileged_bpf_disabled"),
        kptr_restrict: sysctl("kernel/kptr_restrict"),
        ptrace_scope: sysctl("kernel/yama/ptrace_scope"),
        lockdown: sampler::lockdown(),
    }
}

fn debug_files(options: &Options) -> DebugFiles {
    let library = C_LIBRARIES
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists());
    let of_library = library.as_ref().and_then(|path| {
        let found = options.debug_file(path);
        found
            .inspect_err(|error| log::debug!("{}: {error}", path.display()))
            .ok()?
    });
    let folders = options
        .debug_dirs
        .iter()
        .map(|folder| folder.join(".build-id"));
    let by_first_byte = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let files = by_first_byte
        .filter_map(|entry| std::fs::read_dir(entry.ok()?.path()).ok())
        .flatten();
    let installers = ["apt-get", "dnf", "zypper", "pacman", "apk"];
    DebugFiles {
        installed: files.filter_map(Result::ok).count(),
        installer: installers
            .into_iter()
            .find(|name| Path::new("/usr/bin").join(name).exists()),
        library,
        of_library,
    }
}
