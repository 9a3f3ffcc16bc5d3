//! Why sampling could not be set up, and what to do about it; one variant per cause.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::features;
use crate::privileges::FILE_CAPABILITIES;

/// Why sampling could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SamplerError {
    /// The process may not do this.
    #[error(
        "{action} needs {missing}; run as root, or give the program its rights: sudo setcap {FILE_CAPABILITIES} {}",
        program.display()
    )]
    MissingCapability {
        /// What was refused.
        action: &'static str,
        /// The capabilities that are not in the effective set.
        missing: String,
        /// This program's file.
        program: PathBuf,
    },
    /// The capabilities that there are do not count.
    #[error(
        "{action} needs root's rights in the initial user namespace, and this is another (a container without root, unshare --user); run as root outside of it"
    )]
    UserNamespace {
        /// What was refused.
        action: &'static str,
    },
    /// Kernels before 5.11 charge BPF maps to the limit of locked memory.
    #[error(
        "the kernel refuses memory for BPF maps: locked memory is limited to {limit} bytes; raise it (ulimit -l unlimited, LimitMEMLOCK=infinity) or run with CAP_SYS_RESOURCE"
    )]
    LockedMemory {
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// `kernel.perf_event_paranoid` is too strict for the rights that there are.
    #[error(
        "perf events are refused because kernel.perf_event_paranoid is {level}; run as root, or: sudo sysctl kernel.perf_event_paranoid=2 and give the program CAP_PERFMON"
    )]
    Paranoid {
        /// The setting in force.
        level: i32,
    },
    /// The kernel is locked down.
    #[error(
        "the kernel is locked down ({mode}) and refuses {action}; boot without lockdown={mode} to profile"
    )]
    Lockdown {
        /// `integrity` or `confidentiality`.
        mode: String,
        /// What was refused.
        action: &'static str,
    },
    /// The limit of open files is too low.
    #[error("{action}: too many open files, as each map and each CPU's events are one")]
    OpenFiles {
        /// What was refused.
        action: &'static str,
    },
    /// The kernel has no BPF ring buffer.
    #[error("this kernel ({kernel}) has no BPF ring buffer; Linux 5.10 or newer is needed")]
    NoRingBuffer {
        /// Release of the running kernel.
        kernel: String,
    },
    /// The kernel has no perf events or no software clock event.
    #[error(
        "this kernel has no perf events (no cpu-clock event: {cause}); one built with CONFIG_PERF_EVENTS is needed"
    )]
    NoPerfEvents {
        /// What `perf_event_open` said.
        cause: io::Error,
    },
    /// The kernel does not state its own types, which some of what was asked for needs.
    #[error("{what} on this kernel: {cause}; {remedy}")]
    NoKernelTypes {
        /// What cannot be done.
        what: &'static str,
        /// What was looked for in vain.
        cause: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The verifier did not accept a program.
    #[error("the kernel's verifier rejects the BPF program {program}: {cause}")]
    Rejected {
        /// Name of the program.
        program: String,
        /// What `bpf(2)` said.
        cause: io::Error,
        /// The verifier's log.
        log: String,
    },
    /// The program was built without its BPF object.
    #[error("this build has no BPF object; make one and build again: cargo xtask build-ebpf")]
    NoObject,
    /// Anything else.
    #[error("{action}: {cause:#}")]
    Other {
        /// What was being done.
        action: &'static str,
        /// The cause, in aya's words.
        cause: anyhow::Error,
    },
}

/// An error while maps are created and the object is taken apart.
pub(super) fn from_load(error: EbpfError) -> SamplerError {
    const ACTION: &str = "creating BPF maps";
    match &error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => match errno(io_error) {
            Some(Errno::PERM) => refused_bpf(ACTION, "CAP_BPF", CapabilitySet::BPF, error.into()),
            Some(Errno::INVAL) if name == "RECORDS" => SamplerError::NoRingBuffer {
                kernel: kernel_release(),
            },
            _ => other(ACTION, error),
        },
        _ => other("loading the BPF object", error),
    }
}

/// An error while a program is loaded.
pub(super) fn from_program_load(program: &str, error: ProgramError) -> SamplerError {
    const ACTION: &str = "loading BPF programs";
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            if errno(&io_error) == Some(Errno::PERM) && log.is_empty() {
                return refused_bpf(
                    ACTION,
                    "CAP_PERFMON",
                    CapabilitySet::PERFMON,
                    io_error.into(),
                );
            }
            SamplerError::Rejected {
                program: program.to_owned(),
                cause: io_error,
                log,
            }
        }
        error => other(ACTION, error),
    }
}

/// An error while a program is attached to its event.
pub(super) fn from_attach(error: ProgramError) -> SamplerError {
    const ACTION: &str = "opening perf events";
    let ProgramError::SyscallError(syscall) = &error else {
        return other(ACTION, error);
    };
    match errno(&syscall.io_error) {
        // perf_event_open says EACCES where bpf(2) says EPERM.
        Some(Errno::ACCESS | Errno::PERM) => refused_perf(ACTION, error),
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV | Errno::NOSYS) => {
            SamplerError::NoPerfEvents {
                cause: io::Error::from_raw_os_error(syscall.io_error.raw_os_error().unwrap_or(0)),
            }
        }
        _ => other(ACTION, error),
    }
}

pub(super) fn other(action: &'static str, error: impl Into<anyhow::Error>) -> SamplerError {
    let cause = error.into();
    let errnos = || {
        cause
            .chain()
            .filter_map(|cause| errno(cause.downcast_ref()?))
    };
    if errnos().any(|errno| errno == Errno::MFILE) {
        return SamplerError::OpenFiles { action };
    }
    SamplerError::Other { action, cause }
}

fn refused_bpf(
    action: &'static str,
    name: &str,
    capability: CapabilitySet,
    error: anyhow::Error,
) -> SamplerError {
    if !has_capability(capability) {
        return missing_capability(action, name);
    }
    if !features::in_initial_user_namespace() {
        return SamplerError::UserNamespace { action };
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    match (features::lockdown(), limit) {
        (Some(mode), _) => SamplerError::Lockdown { mode, action },
        (None, Some(limit)) if action.contains("maps") => SamplerError::LockedMemory { limit },
        _ => other(action, error),
    }
}

fn refused_perf(action: &'static str, error: ProgramError) -> SamplerError {
    let paranoid = features::perf_event_paranoid();
    if has_capability(CapabilitySet::SYS_ADMIN) {
        return match features::lockdown() {
            Some(mode) => SamplerError::Lockdown { mode, action },
            None => other(action, error),
        };
    }
    match paranoid {
        // Debian's kernels refuse at 3 what upstream's allow with CAP_PERFMON.
        Some(level) if level > 2 => SamplerError::Paranoid { level },
        _ if !has_capability(CapabilitySet::PERFMON) => missing_capability(action, "CAP_PERFMON"),
        _ => other(action, error),
    }
}

fn missing_capability(action: &'static str, name: &str) -> SamplerError {
    SamplerError::MissingCapability {
        action,
        missing: name.to_owned(),
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("profiler")),
    }
}

/// Whether the capability is in the effective set; `CAP_SYS_ADMIN` stands for those split from it.
fn has_capability(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| {
        sets.effective.contains(capability) || sets.effective.contains(CapabilitySet::SYS_ADMIN)
    })
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
