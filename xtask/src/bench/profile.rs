//! A profile as the benchmark sees it, whoever made it: stacks of frames with names and files.

use std::path::Path;
use std::rc::Rc;

/// Everything that was sampled.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) stacks: Vec<Stack>,
    /// When the first sample was taken, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) first_sample_ns: Option<u64>,
}

/// A stack, innermost frame first, and how often it was seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) count: u64,
    pub(crate) frames: Vec<Frame>,
    /// Why outer frames are missing, where the profiler says that some are.
    pub(crate) cut: Option<String>,
}

/// One frame of the machine. Calls that the compiler has inlined are part of the frame they were inlined into.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The functions, innermost first; none where the profiler found no name.
    pub(crate) functions: Vec<String>,
    /// The file's name without its directory; empty where the profiler does not know.
    pub(crate) binary: String,
    pub(crate) is_kernel: bool,
    /// The address in the process: that of the interrupted instruction, in callers one in the call; 0 where the profiler
    /// does not tell.
    pub(crate) address: u64,
    /// The file and the place of the address in it, where the profiler tells.
    pub(crate) place: Option<(Rc<Path>, u64)>,
}

impl Profile {
    pub(crate) fn samples(&self) -> u64 {
        self.stacks.iter().map(|stack| stack.count).sum()
    }
}

impl Stack {
    /// The frames of the program.
    pub(crate) fn user(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.is_kernel)
    }
}

impl Frame {
    /// Whether a function's name contains one of `parts`.
    pub(crate) fn is_named(&self, parts: &[&str]) -> bool {
        self.functions
            .iter()
            .any(|function| parts.iter().any(|part| function.contains(part)))
    }

    /// Whether the file's name begins with one of `beginnings`.
    pub(crate) fn is_in(&self, beginnings: &[&str]) -> bool {
        beginnings
            .iter()
            .any(|beginning| self.binary.starts_with(beginning))
    }
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
