//! Names: which attribute of OpenTelemetry's semantic conventions says what a label, a mapping or a frame of ours says.
//!
//! What is not in the conventions keeps its name, below `profiler.`.

use std::borrow::Cow;

/// Build-id of a mapping.
pub(super) const BUILD_ID: &str = "process.executable.build_id.gnu";
/// What a frame is of.
pub(super) const FRAME_TYPE: &str = "profile.frame.type";

/// The attribute for a label of a sample.
///
/// The name of a process (`comm`) has no attribute of its own any more; the one that it had until 2025 is nearest.
pub(super) fn of_label(key: &str) -> Cow<'static, str> {
    Cow::Borrowed(match key {
        "pid" => "process.pid",
        "ns_pid" => "process.vpid",
        "comm" => "process.executable.name",
        "tid" => "thread.id",
        "thread" => "thread.name",
        "cgroup" => "process.linux.cgroup",
        "container" => "container.id",
        "cpu" => "cpu.logical_number",
        // Its values `user` and `kernel` are the conventions' own.
        "state" => "cpu.mode",
        other => return Cow::Owned(format!("profiler.{other}")),
    })
}

/// What a frame is of, as far as its mapping and the source file of its function tell; nothing for code of unknown make.
pub(super) fn frame_type(mapping: &str, source: &str) -> Option<&'static str> {
    let extension = source
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    match (mapping, extension) {
        ("[kernel.kallsyms]", _) => Some("kernel"),
        (_, "rs") => Some("rust"),
        (_, "go") => Some("go"),
        (_, "py") => Some("cpython"),
        ("" | "[jit]", _) => None,
        _ => Some("native"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames are called by the most exact name that is known.
    #[test]
    fn frames_have_types() {
        for (mapping, source, wanted) in [
            ("[kernel.kallsyms]", "", Some("kernel")),
            ("/usr/bin/a", "src/main.rs", Some("rust")),
            ("/usr/bin/a", "runtime/proc.go", Some("go")),
            ("/usr/bin/python3", "/app/x.py", Some("cpython")),
            ("/usr/bin/a", "a.c", Some("native")),
            ("[vdso]", "", Some("native")),
            ("[jit]", "", None),
            ("", "", None),
        ] {
            assert_eq!(frame_type(mapping, source), wanted, "{mapping} {source}");
        }
    }

    /// What the conventions do not know is ours.
    #[test]
    fn labels_have_names() {
        assert_eq!(of_label("pid"), "process.pid");
        assert_eq!(of_label("truncated"), "profiler.truncated");
    }
}
