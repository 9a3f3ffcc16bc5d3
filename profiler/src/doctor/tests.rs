//! What is concluded from facts, without the machines that they are of.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::facts::{DebugFiles, Facts, Rights, Settings};
use super::{Examination, State, judge};
use crate::process::Access;
use crate::sampler::{Parts, Sampled, SamplerError, StackWalk};

/// A machine on which everything is as it should be, seen by root.
fn healthy() -> Facts {
    Facts {
        kernel: "6.1.0".to_owned(),
        machine: "x86_64".to_owned(),
        program: PathBuf::from("/usr/bin/profiler"),
        rights: Rights {
            effective: CapabilitySet::all(),
            bounding: CapabilitySet::all(),
            is_root: true,
            no_new_privileges: false,
            seccomp: false,
            initial_user_namespace: true,
        },
        parts: Parts {
            maps: Ok(()),
            ring_buffer: Ok(()),
            programs: Ok(()),
            cpu_clock: Ok(()),
            side_band: Ok(()),
            cycles: Ok(()),
            types: Ok(()),
            locked_memory: Default::default(),
            cpus: 2,
        },
        sampling: Ok(Sampled {
            samples: 10,
            took: Duration::from_millis(30),
            walk: StackWalk::TablesByLoop,
        }),
        settings: Settings {
            paranoid: Some(2),
            most_samples: Some(100_000),
            unprivileged_bpf_disabled: Some(2),
            kptr_restrict: Some(1),
            ptrace_scope: Some(1),
            lockdown: None,
        },
        kernel_symbols: Ok(true),
        pid_namespace: None,
        own_proc: true,
        access: Ok(Access {
            processes: 5,
            maps: 5,
            memory: 5,
            refusal: None,
        }),
        map_files: Ok(()),
        cgroups: Some(PathBuf::from("/sys/fs/cgroup")),
        debug_files: DebugFiles {
            library: Some(PathBuf::from("/lib/libc.so.6")),
            of_library: Some(PathBuf::from("/usr/lib/debug/libc.debug")),
            installed: 3,
            installer: Some("apt-get"),
        },
    }
}

fn refused(errno: Errno) -> io::Result<()> {
    Err(errno.into())
}

/// The facts of somebody without any rights.
fn without_rights() -> Facts {
    let mut facts = healthy();
    facts.rights.effective = CapabilitySet::empty();
    facts.rights.is_root = false;
    facts.parts.maps = refused(Errno::PERM);
    facts.parts.ring_buffer = refused(Errno::PERM);
    facts.parts.programs = refused(Errno::PERM);
    facts.parts.cpu_clock = refused(Errno::ACCESS);
    facts.sampling = Err(SamplerError::MissingCapability {
        action: "creating BPF maps",
        missing: "CAP_BPF".to_owned(),
        program: facts.program.clone(),
    });
    facts
}

/// Checks one finding: its state, a part of what was found or of what it means, and a part of the command that mends it.
#[track_caller]
fn check(examination: &Examination, name: &str, state: State, said: &str, mend: &str) {
    let finding = examination
        .findings
        .iter()
        .find(|finding| finding.name == name)
        .unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(finding.state, state, "{finding:?}");
    let text = format!("{}\n{}", finding.found, finding.means);
    assert!(text.contains(said), "no {said:?} in {finding:?}");
    let command = finding.mend.clone().unwrap_or_default();
    assert!(command.contains(mend), "no {mend:?} in {finding:?}");
    assert_eq!(mend.is_empty(), command.is_empty(), "{finding:?}");
    assert!(
        state == State::Ok || !finding.means.is_empty(),
        "{finding:?}"
    );
}

/// Where nothing is wrong, nothing is complained about, and no name is there twice.
#[test]
fn healthy_machine() {
    let examination = judge(&healthy());
    assert!(examination.can_sample());
    for finding in &examination.findings {
        assert_eq!(finding.state, State::Ok, "{finding:?}");
        assert!(finding.mend.is_none(), "{finding:?}");
    }
    let mut names: Vec<_> = examination
        .findings
        .iter()
        .map(|finding| finding.name)
        .collect();
    assert_eq!(names[0], "sampling");
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// A thing that is wrong, and what has to be said of it; whether sampling works all the same.
type Case = (
    fn(&mut Facts),
    &'static str,
    State,
    &'static str,
    &'static str,
    bool,
);

const LIMITS: &[Case] = &[
    (
        |facts| facts.kernel_symbols = Ok(false),
        "kernel-symbols",
        State::Limited,
        "see CAP_SYSLOG",
        "",
        true,
    ),
    (
        |facts| {
            facts.kernel_symbols = Ok(false);
            facts.settings.kptr_restrict = Some(2);
        },
        "kernel-symbols",
        State::Limited,
        "kptr_restrict is 2",
        "sudo sysctl kernel.kptr_restrict=1",
        true,
    ),
    (
        |facts| facts.map_files = refused(Errno::PERM),
        "map_files",
        State::Limited,
        "CAP_CHECKPOINT_RESTORE",
        "",
        true,
    ),
    (
        |facts| facts.settings.lockdown = Some("confidentiality".to_owned()),
        "lockdown",
        State::Limited,
        "boot without",
        "",
        true,
    ),
    (
        |facts| facts.settings.lockdown = Some("integrity".to_owned()),
        "lockdown",
        State::Ok,
        "integrity",
        "",
        true,
    ),
    (
        |facts| facts.parts.types = Err("/sys/kernel/btf/vmlinux: none".to_owned()),
        "kernel-types",
        State::Limited,
        "--no-inherit",
        "",
        true,
    ),
    (
        |facts| facts.parts.cycles = refused(Errno::NOENT),
        "hardware-cycles",
        State::Missing,
        "nothing is missed",
        "",
        true,
    ),
    (
        |facts| facts.parts.side_band = refused(Errno::PERM),
        "process-news",
        State::Limited,
        "milliseconds",
        "kernel.perf_event_mlock_kb",
        true,
    ),
    (
        |facts| facts.settings.most_samples = Some(50),
        "sample-rate",
        State::Limited,
        "at most 50",
        "kernel.perf_event_max_sample_rate",
        true,
    ),
    (
        |facts| facts.cgroups = None,
        "cgroups",
        State::Limited,
        "--cgroup",
        "mount -t cgroup2",
        true,
    ),
    (
        |facts| facts.debug_files.of_library = None,
        "debug-files",
        State::Limited,
        "none of /lib/libc.so.6",
        "apt-get install libc6-dbg",
        true,
    ),
    (
        |facts| facts.pid_namespace = Some(7),
        "pid-namespace",
        State::Limited,
        "pid:[7]",
        "",
        true,
    ),
    (
        |facts| {
            facts.access = Ok(Access {
                processes: 5,
                maps: 5,
                memory: 2,
                refusal: Some((41, Errno::ACCESS)),
            });
            facts.settings.ptrace_scope = Some(3);
        },
        "process-memory",
        State::Limited,
        "ptrace_scope is 3",
        "",
        true,
    ),
    (
        |facts| {
            if let Ok(sampled) = &mut facts.sampling {
                sampled.walk = StackWalk::FramePointers;
            }
        },
        "stack-walk",
        State::Limited,
        "frame pointers only",
        "",
        true,
    ),
];

const OBSTACLES: &[Case] = &[
    (
        |facts| *facts = without_rights(),
        "CAP_BPF",
        State::Missing,
        "not in the effective set",
        "sudo setcap cap_bpf,cap_perfmon",
        false,
    ),
    (
        |facts| *facts = without_rights(),
        "sampling",
        State::Missing,
        "creating BPF maps needs CAP_BPF\n",
        "+ep /usr/bin/profiler",
        false,
    ),
    (
        |facts| {
            *facts = without_rights();
            facts.program = PathBuf::from("/opt/my tools/profiler");
        },
        "CAP_PERFMON",
        State::Missing,
        "not in the effective set",
        "+ep '/opt/my tools/profiler'",
        false,
    ),
    (
        |facts| {
            *facts = without_rights();
            facts.rights.no_new_privileges = true;
        },
        "CAP_BPF",
        State::Missing,
        "no_new_privs",
        "",
        false,
    ),
    (
        |facts| {
            *facts = without_rights();
            facts.rights.is_root = true;
            facts.rights.bounding = CapabilitySet::empty();
        },
        "CAP_BPF",
        State::Missing,
        "bounding set",
        "docker run --privileged",
        false,
    ),
    (
        |facts| {
            facts.settings.paranoid = Some(3);
            facts.parts.cpu_clock = refused(Errno::ACCESS);
            facts.sampling = Err(SamplerError::Paranoid { level: 3 });
        },
        "perf_event_paranoid",
        State::Missing,
        "for root alone",
        "sudo sysctl kernel.perf_event_paranoid=2",
        false,
    ),
    (
        |facts| {
            facts.settings.paranoid = Some(3);
            facts.parts.cpu_clock = refused(Errno::ACCESS);
            facts.sampling = Err(SamplerError::Paranoid { level: 3 });
        },
        "sampling",
        State::Missing,
        "perf_event_paranoid is 3\n",
        "sudo sysctl kernel.perf_event_paranoid=2",
        false,
    ),
    (
        |facts| {
            facts.rights.seccomp = true;
            facts.parts.programs = refused(Errno::PERM);
        },
        "bpf-programs",
        State::Missing,
        "seccomp",
        "docker run --privileged",
        false,
    ),
    (
        |facts| facts.parts.ring_buffer = refused(Errno::INVAL),
        "ring-buffer",
        State::Missing,
        "Linux 5.10 or newer",
        "",
        false,
    ),
    (
        |facts| {
            facts.rights.initial_user_namespace = false;
            facts.parts.maps = refused(Errno::PERM);
        },
        "user-namespace",
        State::Missing,
        "none to BPF",
        "--userns=host",
        false,
    ),
    (
        |facts| {
            facts.parts.locked_memory.limit = Some(64 << 10);
            facts.parts.locked_memory.counts_maps = Some(true);
            facts.sampling = Err(SamplerError::LockedMemory { limit: 64 << 10 });
        },
        "locked-memory",
        State::Missing,
        "a limit of 64 KiB",
        "--memlock=unlimited",
        false,
    ),
    (
        |facts| {
            facts.parts.locked_memory.limit = Some(0);
            facts.parts.maps = refused(Errno::PERM);
        },
        "locked-memory",
        State::Missing,
        "a limit of 0 KiB",
        "--memlock=unlimited",
        false,
    ),
    (
        |facts| {
            facts.pid_namespace = Some(7);
            facts.own_proc = false;
        },
        "pid-namespace",
        State::Missing,
        "two processes",
        "--mount-proc",
        false,
    ),
    (
        |facts| facts.access = Err(Errno::NOENT.into()),
        "mappings",
        State::Missing,
        "/proc cannot be read",
        "mount -t proc",
        false,
    ),
    (
        |facts| {
            if let Ok(sampled) = &mut facts.sampling {
                sampled.samples = 0;
            }
        },
        "sampling",
        State::Missing,
        "no sample",
        "",
        false,
    ),
    (
        |facts| facts.sampling = Err(SamplerError::NoObject),
        "sampling",
        State::Missing,
        "no BPF object",
        "cargo xtask install",
        false,
    ),
];

/// Each thing that can be wrong is named with what it means and the command that mends it, and only what nothing can be
/// sampled without keeps the main job from running.
#[test]
fn each_thing_that_is_wrong() {
    for (spoil, name, state, said, mend, can_sample) in LIMITS.iter().chain(OBSTACLES) {
        let mut facts = healthy();
        spoil(&mut facts);
        let examination = judge(&facts);
        check(&examination, name, *state, said, mend);
        assert_eq!(examination.can_sample(), *can_sample, "{name}: {said}");
    }
}

/// `CAP_SYS_ADMIN` stands for the rights that were split from it, and for no others.
#[test]
fn rights_of_sys_admin() {
    let mut facts = healthy();
    facts.rights.effective = CapabilitySet::SYS_ADMIN;
    let examination = judge(&facts);
    assert!(examination.can_sample());
    for name in [
        "CAP_BPF",
        "CAP_PERFMON",
        "CAP_CHECKPOINT_RESTORE",
        "CAP_SYSLOG",
    ] {
        check(&examination, name, State::Ok, "by CAP_SYS_ADMIN", "");
    }
    for name in ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"] {
        check(&examination, name, State::Limited, "not in", "sudo setcap");
    }
}
