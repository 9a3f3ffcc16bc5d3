//! Where the BPF programs find things in the kernel's structures: asked for as far as the options need it.

use profiler_common::Layout;

use super::error::SamplerError;
use super::features::KernelTypes;
use super::{Filter, SamplerOptions};

/// The offsets for these options; where the kernel does not state its types, an error says what cannot be had then.
pub(super) fn layout(
    options: &SamplerOptions,
    types: &Result<KernelTypes, String>,
) -> Result<Layout, SamplerError> {
    let mut layout = Layout::default();
    let Filter { comm, .. } = &options.filter;
    if options.pid_namespace.is_some() {
        need(types, &mut layout, namespaces).map_err(|cause| SamplerError::NoKernelTypes {
            what: "process ids of this pid namespace cannot be told",
            cause,
            remedy: "run the profiler outside of it (in a container: --pid=host)",
        })?;
    }
    if options.follow_children || options.pid_namespace.is_some() {
        need(types, &mut layout, children).map_err(|cause| SamplerError::NoKernelTypes {
            what: "children cannot be followed",
            cause,
            remedy: "profile without them: --no-inherit",
        })?;
    }
    if comm.is_some() || options.process_names {
        match need(types, &mut layout, names) {
            Err(cause) if comm.is_some() => {
                return Err(SamplerError::NoKernelTypes {
                    what: "processes cannot be selected by name",
                    cause,
                    remedy: "select them by id: --pid",
                });
            }
            Err(cause) => log::debug!("names of processes are asked for in /proc: {cause}"),
            Ok(()) => {}
        }
    }
    Ok(layout)
}

/// Looks for all that any option could ask for; the error names the first that the kernel does not state.
pub(super) fn every_offset(types: &KernelTypes) -> Result<(), String> {
    let mut layout = Layout::default();
    [children, names, namespaces]
        .iter()
        .try_for_each(|find| find(types, &mut layout))
}

fn need(
    types: &Result<KernelTypes, String>,
    layout: &mut Layout,
    find: impl Fn(&KernelTypes, &mut Layout) -> Result<(), String>,
) -> Result<(), String> {
    find(types.as_ref().map_err(Clone::clone)?, layout)
}

fn children(types: &KernelTypes, layout: &mut Layout) -> Result<(), String> {
    layout.task_tgid = types.offset("task_struct", "tgid")?;
    layout.task_pid = types.offset("task_struct", "pid")?;
    Ok(())
}

fn names(types: &KernelTypes, layout: &mut Layout) -> Result<(), String> {
    layout.task_group_leader = types.offset("task_struct", "group_leader")?;
    layout.task_comm = types.offset("task_struct", "comm")?;
    Ok(())
}

fn namespaces(types: &KernelTypes, layout: &mut Layout) -> Result<(), String> {
    layout.task_group_leader = types.offset("task_struct", "group_leader")?;
    layout.task_thread_pid = types.offset("task_struct", "thread_pid")?;
    layout.pid_level = types.offset("pid", "level")?;
    layout.pid_numbers = types.offset("pid", "numbers")?;
    layout.upid_size = types.size("upid")?;
    layout.upid_nr = types.offset("upid", "nr")?;
    layout.upid_ns = types.offset("upid", "ns")?;
    layout.namespace_inum =
        types.offset("pid_namespace", "ns")? + types.offset("ns_common", "inum")?;
    Ok(())
}
