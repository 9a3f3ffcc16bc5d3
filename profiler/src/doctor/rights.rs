//! Judges the rights of this process: each capability, and whether they count.

use std::path::Path;

use rustix::thread::CapabilitySet;

use super::Finding;
use super::facts::{Facts, Rights};
use crate::privileges::FILE_CAPABILITIES;

/// A right and what is missing without it.
struct Wanted {
    name: &'static str,
    capability: CapabilitySet,
    needed: bool,
    without: &'static str,
}

const WANTED: [Wanted; 6] = [
    Wanted {
        name: "CAP_BPF",
        capability: CapabilitySet::BPF,
        needed: true,
        without: "BPF maps and programs cannot be made, so nothing can be sampled",
    },
    Wanted {
        name: "CAP_PERFMON",
        capability: CapabilitySet::PERFMON,
        needed: true,
        without: "programs cannot be sampled by perf events",
    },
    Wanted {
        name: "CAP_SYS_PTRACE",
        capability: CapabilitySet::SYS_PTRACE,
        needed: false,
        without: "programs of other users have addresses without names, and stacks that are cut",
    },
    Wanted {
        name: "CAP_CHECKPOINT_RESTORE",
        capability: CapabilitySet::CHECKPOINT_RESTORE,
        needed: false,
        without: "binaries that were deleted or replaced while they run cannot be read",
    },
    Wanted {
        name: "CAP_DAC_READ_SEARCH",
        capability: CapabilitySet::DAC_READ_SEARCH,
        needed: false,
        without: "binaries that only their owner may read have no names",
    },
    Wanted {
        name: "CAP_SYSLOG",
        capability: CapabilitySet::SYSLOG,
        needed: false,
        without: "kernel functions may have no names, see kernel-symbols",
    },
];

/// A finding for each capability.
pub(super) fn capabilities(facts: &Facts) -> Vec<Finding> {
    let judge = |wanted: &Wanted| judge(wanted, &facts.rights, &facts.program);
    WANTED.iter().map(judge).collect()
}

fn judge(wanted: &Wanted, rights: &Rights, program: &Path) -> Finding {
    let Wanted {
        name, capability, ..
    } = *wanted;
    if rights.has(capability) {
        let found = match rights.effective.contains(capability) {
            true => "in the effective set",
            false => "not there by itself, but by CAP_SYS_ADMIN",
        };
        let finding = Finding::ok(name, found);
        return if wanted.needed {
            finding.needed()
        } else {
            finding
        };
    }
    let (found, mend) = if !rights.bounding.contains(capability) {
        (
            "not in the bounding set, so not to be had in this container or service",
            of_container(rights),
        )
    } else if rights.no_new_privileges {
        (
            "not in the effective set, and no_new_privs keeps file capabilities from giving it",
            None,
        )
    } else {
        ("not in the effective set", Some(setcap(program)))
    };
    if wanted.needed {
        Finding::missing(name, found, wanted.without)
            .needed()
            .mended_by(mend)
    } else {
        Finding::limited(name, found, wanted.without).mended_by(mend)
    }
}

/// The command that gives the program its rights.
fn setcap(program: &Path) -> String {
    format!("sudo setcap {FILE_CAPABILITIES} {}", quoted(program))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    match path.chars().all(is_plain) {
        true => path.into_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// Only who starts a container can widen its bounding set; that of a service is in its unit.
fn of_container(rights: &Rights) -> Option<String> {
    rights
        .is_root
        .then(|| "docker run --privileged --pid=host …".to_owned())
}

/// Whether capabilities count at all: only those of the initial user namespace do.
pub(super) fn user_namespace(facts: &Facts) -> Finding {
    const NAME: &str = "user-namespace";
    if facts.rights.initial_user_namespace {
        return Finding::ok(NAME, "the initial one").needed();
    }
    Finding::missing(
        NAME,
        "one of its own (a container without root, or unshare --user)",
        "capabilities in it are none to BPF and perf events",
    )
    .needed()
    .mended_by("docker run --userns=host --privileged …".to_owned())
}
