//! What the sampler tells, in the words of the steps behind it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use profiler_common::Stop;

use crate::process::{Device, MapsLine, Permissions};
use crate::sampler::{Event, NewMapping, Sample, StackCopy};

/// A mapping that was told as a line of a maps file.
pub(super) fn line(mapping: NewMapping) -> MapsLine {
    let (major, minor) = mapping.device;
    let (read, write) = mapping.access;
    MapsLine {
        start: mapping.start,
        limit: mapping.limit,
        permissions: Permissions {
            read,
            write,
            execute: true,
            shared: mapping.shared,
        },
        offset: mapping.offset,
        device: Device { major, minor },
        inode: mapping.inode,
        path: PathBuf::from(OsString::from_vec(mapping.path)).into(),
    }
}

/// Leaves only the kernel's frames of a task that had given up its memory, in the midst of an exec or of its end: its
/// registers still speak of a stack that is not there any more.
pub(super) fn without_old_stack(event: Event, is_in_exec: impl Fn(&Sample) -> bool) -> Event {
    let (sample, is_unreadable) = match &event {
        Event::Sample(sample) => (
            sample,
            sample.user.len() == 1 && sample.stop == Stop::ReadFailed,
        ),
        Event::StackCopy(copy) => (&copy.sample, copy.stack.is_empty()),
        _ => return event,
    };
    let in_kernel = !sample.kernel.is_empty();
    if !(in_kernel && is_unreadable || is_in_exec(sample)) {
        return event;
    }
    match event {
        Event::Sample(sample) | Event::StackCopy(StackCopy { sample, .. }) => {
            Event::Sample(Sample {
                user: Vec::new(),
                stop: Stop::NoUserStack,
                ..sample
            })
        }
        other => other,
    }
}
