//! A profile as the benchmark sees it, whoever made it: stacks of frames with names and files.

/// Everything that was sampled.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) stacks: Vec<Stack>,
    /// When the first sample was taken, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) first_sample_ns: Option<u64>,
}

/// A stack, innermost frame first, and how often it was seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) count: u64,
    pub(super) frames: Vec<Frame>,
}

/// One frame of the machine. Calls that the compiler has inlined are part of the frame they were inlined into.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The functions, innermost first; none where the profiler found no name.
    pub(super) functions: Vec<String>,
    /// The file's name without its directory; empty where the profiler does not know.
    pub(super) binary: String,
    pub(super) is_kernel: bool,
}

impl Profile {
    pub(super) fn samples(&self) -> u64 {
        self.stacks.iter().map(|stack| stack.count).sum()
    }
}

impl Stack {
    /// The frames of the program.
    pub(super) fn user(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.is_kernel)
    }
}

impl Frame {
    /// Whether a function's name contains one of `parts`.
    pub(super) fn is_named(&self, parts: &[&str]) -> bool {
        self.functions
            .iter()
            .any(|function| parts.iter().any(|part| function.contains(part)))
    }

    /// Whether the file's name begins with one of `beginnings`.
    pub(super) fn is_in(&self, beginnings: &[&str]) -> bool {
        beginnings
            .iter()
            .any(|beginning| self.binary.starts_with(beginning))
    }
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
