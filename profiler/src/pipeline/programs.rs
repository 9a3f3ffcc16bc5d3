//! Which program a process runs, and what of the work of [`Processes`](super::processes::Processes) a user should know.

use std::sync::Arc;

use super::processes::Processes;
use crate::process::Snapshot;
use crate::sampler::Sample;

/// The file name of the program that a sample's process runs, from what is `known` of it; in brackets, what stands for it.
pub(super) fn name(
    known: &mut Option<Arc<str>>,
    sample: &Sample,
    snapshot: Option<&Snapshot>,
) -> Arc<str> {
    if known.is_none() {
        let main = snapshot.and_then(Snapshot::main);
        let name = main.and_then(|main| main.path.file_name());
        *known = name.map(|name| name.to_string_lossy().into());
    }
    known.clone().unwrap_or_else(|| {
        if sample.user.is_empty() {
            "[kernel]".into()
        } else {
            "[unknown]".into()
        }
    })
}

impl Processes {
    /// What was met since the last call that a user should know, one sentence each.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = self.labelling.take_notes();
        notes.extend(
            self.resolver
                .take_warning()
                .map(|warning| warning.to_string()),
        );
        let broken_stacks = std::mem::take(&mut self.broken_stacks);
        if broken_stacks > 0 {
            notes.push(format!(
                "{broken_stacks} stacks were cut at an address that is not in user space; \
                 the code there keeps no frame pointer"
            ));
        }
        let all = self.resolver.stats();
        let stats = all.since(&std::mem::replace(&mut self.noted, all));
        if stats.malformed_lines > 0 {
            notes.push(format!(
                "{} lines of maps files made no sense and were skipped",
                stats.malformed_lines
            ));
        }
        if stats.resynchronized > 0 {
            notes.push(format!(
                "the kernel lost news of what processes have mapped; {} times all were read again",
                stats.resynchronized
            ));
        }
        if stats.binaries_evicted + stats.forgotten > 0 {
            log::debug!(
                "{} binaries were closed and {} processes forgotten to make room for others",
                stats.binaries_evicted,
                stats.forgotten
            );
        }
        if stats.unreadable > 0 {
            notes.push(format!(
                "mappings could not be read {} times, so those frames have no names; \
                 run as root or with CAP_SYS_PTRACE",
                stats.unreadable
            ));
        }
        notes
    }
}
