//! Labels as a profile has them: keys, and values as text or numbers.

use std::borrow::Cow;

use profiler_common::Stop;

use crate::aggregate::{Counted, Labels};
use crate::labels::LabelKey;
use crate::pprof::Label;

/// The labels of a stack, and that it was cut if it was.
pub(super) fn labels(stack: &Counted<'_>) -> Vec<Label> {
    let Labels {
        pid,
        host_pid,
        ns_pid,
        tid,
        comm,
        thread,
        cgroup,
        container,
        cpu,
        in_kernel,
        program: _,
    } = stack.labels;
    let number = |key: LabelKey, value: u32| {
        Label::Num(key.as_str().to_owned(), value.into(), String::new())
    };
    let text = |key: &str, value: &str| Label::Str(key.to_owned(), value.to_owned());
    let numbers = [
        (LabelKey::Pid, pid),
        (LabelKey::HostPid, host_pid),
        (LabelKey::NsPid, ns_pid),
        (LabelKey::Tid, tid),
        (LabelKey::Cpu, cpu),
    ];
    let names = [(LabelKey::Comm, comm), (LabelKey::Thread, thread)];
    let paths = [(LabelKey::Cgroup, cgroup), (LabelKey::Container, container)];
    let mut labels = Vec::new();
    labels.extend(
        numbers
            .into_iter()
            .filter_map(|(key, value)| Some(number(key, (*value)?))),
    );
    labels.extend(
        names
            .into_iter()
            .filter_map(|(key, value)| Some(text(key.as_str(), &task_name(value.as_ref()?)))),
    );
    labels.extend(
        paths
            .into_iter()
            .filter_map(|(key, value)| Some(text(key.as_str(), value.as_deref()?))),
    );
    if let Some(in_kernel) = in_kernel {
        let state = if *in_kernel { "kernel" } else { "user" };
        labels.push(text(LabelKey::State.as_str(), state));
    }
    // A stack that lacks its outer frames must not look like a whole one.
    if !stack.stop.is_complete() && stack.stop != Stop::NoUserStack {
        labels.push(text("truncated", stack.stop.text()));
    }
    labels
}

/// A task's name up to its first zero; bytes that are not UTF-8 are replaced.
fn task_name(comm: &[u8]) -> Cow<'_, str> {
    let end = comm.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&comm[..end.unwrap_or(comm.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names end at the first zero and are always text.
    #[test]
    fn task_names() {
        assert_eq!(task_name(b"worker\0\0\0"), "worker");
        assert_eq!(task_name(b"fifteen bytes!!!"), "fifteen bytes!!!");
        assert_eq!(task_name(b"\xff\0"), "\u{fffd}");
    }
}
