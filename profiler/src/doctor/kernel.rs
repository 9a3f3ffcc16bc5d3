//! Judges what the kernel lets be done: BPF, its settings for that, its own types, and all of it together. Perf events are
//! left to `perf`.

use std::io;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::Finding;
use super::facts::Facts;
use crate::sampler::{SamplerError, StackWalk};

/// Less locked memory than any kernel since 5.16 allows from the start (8 MiB); before that it was 64 KiB.
const LITTLE: u64 = 1 << 20;

/// A finding for each part.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    vec![
        bpf(facts, "bpf-maps", &facts.parts.maps, "a map was made"),
        bpf(
            facts,
            "ring-buffer",
            &facts.parts.ring_buffer,
            "one was made",
        ),
        bpf(
            facts,
            "bpf-programs",
            &facts.parts.programs,
            "one for perf events was loaded",
        ),
        locked_memory(facts),
        stack_walk(facts),
        types(facts),
        lockdown(facts),
        unprivileged_bpf(facts),
    ]
}

/// All parts together: this process was sampled.
pub(super) fn sampling(facts: &Facts, remedy: Option<String>) -> Finding {
    const NAME: &str = "sampling";
    let finding = match &facts.sampling {
        Ok(sampled) if sampled.samples > 0 => Finding::ok(
            NAME,
            format!(
                "{} samples of this process arrived within {} ms",
                sampled.samples,
                sampled.took.as_millis()
            ),
        ),
        Ok(_) => Finding::missing(
            NAME,
            "everything could be attached, but no sample of this process arrived in a second",
            "profiles would be empty; please report this kernel",
        ),
        Err(SamplerError::NoObject) => Finding::missing(
            NAME,
            "this build has no BPF object",
            "it cannot sample; one made by cargo xtask run or install can",
        )
        .mended_by("cargo xtask install".to_owned()),
        Err(error) => {
            let error = error.to_string();
            // Errors name their remedy behind the cause; here it has a place of its own.
            let cause = match (&remedy, error.split_once("; ")) {
                (Some(_), Some((cause, _))) => cause.to_owned(),
                _ => error,
            };
            Finding::missing(NAME, cause, "nothing can be profiled").mended_by(remedy)
        }
    };
    finding.needed()
}

fn bpf(facts: &Facts, name: &'static str, tried: &io::Result<()>, ok: &str) -> Finding {
    let Err(error) = tried else {
        return Finding::ok(name, ok).needed();
    };
    let without = "nothing can be sampled";
    let finding = match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => return refused(facts, name, error),
        Some(Errno::INVAL | Errno::NOSYS) => Finding::missing(
            name,
            format!("this kernel has none: {error}"),
            format!(
                "{without}; Linux 5.10 or newer with CONFIG_BPF_SYSCALL and CONFIG_PERF_EVENTS is needed"
            ),
        ),
        _ => Finding::missing(name, error.to_string(), without),
    };
    finding.needed()
}

/// A refusal by rights: mostly a capability is missing, which has a line of its own.
pub(super) fn refused(facts: &Facts, name: &'static str, error: &io::Error) -> Finding {
    let rights = &facts.rights;
    let has_rights = rights.has(CapabilitySet::BPF) && rights.has(CapabilitySet::PERFMON);
    let finding = if !has_rights {
        Finding::missing(
            name,
            format!("refused: {error}"),
            "see CAP_BPF and CAP_PERFMON",
        )
    } else if !rights.initial_user_namespace {
        Finding::missing(name, format!("refused: {error}"), "see user-namespace")
    } else if rights.seccomp {
        Finding::missing(
            name,
            format!("refused although the rights are there: {error}; system calls are filtered (seccomp)"),
            "a container's filter keeps the profiler from sampling",
        )
        .mended_by("docker run --privileged --pid=host …".to_owned())
    } else if is_suspected(facts) {
        Finding::missing(name, format!("refused: {error}"), "see locked-memory")
    } else {
        Finding::missing(
            name,
            format!("refused although the rights are there: {error}"),
            "a security module (SELinux, AppArmor) or the lockdown of the kernel keeps the profiler from sampling",
        )
    };
    finding.needed()
}

/// Whether the limit of locked memory may be why no map can be made: all rights are there, and it is so low that a kernel
/// that counts BPF maps would refuse them.
fn is_suspected(facts: &Facts) -> bool {
    let limit = facts.parts.locked_memory.limit;
    let rights = &facts.rights;
    facts.parts.maps.is_err()
        && limit.is_some_and(|limit| limit < LITTLE)
        && rights.has(CapabilitySet::BPF)
        && rights.initial_user_namespace
}

fn locked_memory(facts: &Facts) -> Finding {
    const NAME: &str = "locked-memory";
    let memory = facts.parts.locked_memory;
    let limit = memory.limit.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("a limit of {} KiB", limit >> 10),
    );
    let is_too_little = match memory.counts_maps {
        Some(counts) => counts && matches!(facts.sampling, Err(SamplerError::LockedMemory { .. })),
        None => is_suspected(facts),
    };
    if is_too_little {
        return Finding::missing(
            NAME,
            format!("{limit}, and this kernel counts BPF maps (before Linux 5.11)"),
            "there is no room for the profiler's tables",
        )
        .needed()
        .mended_by("sudo prlimit --pid $$ --memlock=unlimited".to_owned());
    }
    match memory.counts_maps {
        Some(false) => Finding::ok(NAME, "this kernel does not count BPF maps as locked memory"),
        Some(true) => Finding::ok(NAME, format!("{limit}; this kernel counts BPF maps")),
        None => Finding::ok(
            NAME,
            format!("{limit}; whether it matters is not known without BPF maps"),
        ),
    }
}

fn stack_walk(facts: &Facts) -> Finding {
    const NAME: &str = "stack-walk";
    match facts.sampling.as_ref().map(|sampled| sampled.walk) {
        Ok(StackWalk::TablesByLoop) => Finding::ok(NAME, "by unwind tables, with bpf_loop"),
        Ok(StackWalk::TablesByTailCalls) => Finding::ok(NAME, "by unwind tables, with tail calls"),
        Ok(StackWalk::FramePointers) => Finding::limited(
            NAME,
            "by frame pointers only: the verifier of this kernel accepts no walk by tables",
            "stacks of programs without frame pointers are cut; please report this kernel",
        ),
        Err(_) => Finding::limited(NAME, "not known before sampling works", "see sampling"),
    }
}

fn types(facts: &Facts) -> Finding {
    const NAME: &str = "kernel-types";
    match &facts.parts.types {
        Ok(()) => Finding::ok(NAME, "the kernel states its types (BTF)"),
        Err(error) => Finding::limited(
            NAME,
            error.clone(),
            "children cannot be followed (--no-inherit for a command), names not be selected (--comm), and nothing be profiled in pid namespaces; a kernel with CONFIG_DEBUG_INFO_BTF is needed",
        ),
    }
}

fn lockdown(facts: &Facts) -> Finding {
    const NAME: &str = "lockdown";
    match facts.settings.lockdown.as_deref() {
        None => Finding::ok(NAME, "the kernel is not locked down"),
        Some(mode) if mode != "confidentiality" => {
            Finding::ok(NAME, format!("{mode}, which does not concern profiling"))
        }
        Some(mode) => Finding::limited(
            NAME,
            mode,
            "BPF programs may not read the kernel's memory: children cannot be followed, names not be selected; boot without lockdown=confidentiality",
        ),
    }
}

fn unprivileged_bpf(facts: &Facts) -> Finding {
    const NAME: &str = "unprivileged_bpf_disabled";
    let found = match facts.settings.unprivileged_bpf_disabled {
        None => "the kernel has no such setting".to_owned(),
        Some(value) => format!("{value}; with CAP_BPF it does not matter"),
    };
    Finding::ok(NAME, found)
}
