//! Every map: who writes it, who reads it, what bounds its size.

use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, CgroupArray, HashMap, LruHashMap, PerCpuArray, RingBuf};
use profiler_common::{Counter, Layout, MAX_CGROUPS, NameWords, Scratch, Settings};

/// Written by user space before the load, constant from then on.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings {
    all_processes: 0,
    kernel_stacks: 1,
    follow_children: 0,
    guess_frame_pointers: 1,
    task_stack_offset: 0,
    entry_registers_offset: 0,
    chosen_threads: 0,
    by_name: 0,
    cgroups: 0,
    cgroup_ids: 0,
    pid_namespace: 0,
    check_walks: 0,
    wakeup_bytes: 0,
});

/// Written by user space before the load, constant from then on.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Global<Layout> = Global::new(Layout {
    task_tgid: 0,
    task_pid: 0,
    task_group_leader: 0,
    task_comm: 0,
    task_thread_pid: 0,
    pid_level: 0,
    pid_numbers: 0,
    upid_size: 0,
    upid_nr: 0,
    upid_ns: 0,
    namespace_inum: 0,
    reserved: 0,
});

/// One load-time constant; `Global::load` would copy all of them to the stack each time.
macro_rules! constant {
    ($global:ident.$field:ident) => {{
        // The type that `Global` is a transparent wrapper of.
        let global = crate::maps::of(&crate::maps::$global);
        // SAFETY: a field of a static. Volatile, because the value here is not the one that is loaded.
        unsafe { (&raw const (*global).$field).read_volatile() }
    }};
}
pub(crate) use constant;

/// Where the value of a global is.
#[inline(always)]
pub(crate) const fn of<T>(global: &Global<T>) -> *const T {
    core::ptr::from_ref(global).cast()
}

/// All records, in the order in which they happened on each CPU. Written here, read by user space, which
/// also sets its size by sampling rate and number of CPUs.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Processes to be sampled, unless all are, and which [`Part`](profiler_common::Part) of them. Written by user space
/// (the processes asked for; removal of those that ended) and by `lifecycle::fork` (their children). Read by every hook.
/// User space sets the size. All of it is allocated at once: before Linux 6.1 programs on perf events may not use hash
/// maps that are not ("perf_event programs can only use preallocated hash map").
#[map]
pub(crate) static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(1 << 13, 0);

/// Threads to be sampled of processes that are not sampled whole; the value is not used. Written by user space (those
/// asked for) and by `lifecycle` (threads that they start; removal of those that end). User space sets the size.
#[map]
pub(crate) static THREADS: HashMap<u32, u8> = HashMap::with_max_entries(1, 0);

/// Names of processes that are not to be sampled; the value is not used. A process with a name that is not here is
/// sampled, and user space, which alone knows the pattern, decides on the sample, and enters the name if need be. A name
/// that was dropped because the map was full is decided on once more. User space sets the size.
#[map]
pub(crate) static UNWANTED_NAMES: LruHashMap<NameWords, u8> = LruHashMap::with_max_entries(1, 0);

/// The control groups asked for, the first `Settings::cgroups` of them. Written by user space before sampling begins.
#[map]
pub(crate) static CGROUPS: CgroupArray = CgroupArray::with_max_entries(MAX_CGROUPS, 0);

/// When the reader was woken last for a process that was new, in nanoseconds of `CLOCK_MONOTONIC`. Written and read by
/// `emit`, by all CPUs; two that write at once wake the reader twice, which does no harm.
#[map]
pub(crate) static WOKEN: Array<u64> = Array::with_max_entries(1, 0);

/// Processes that have given a sample since their last exec. The first sample wakes the reader, so that
/// the process's mappings are read while it is alive. Written and read here; when it is full, the process
/// seen longest ago is forgotten and wakes the reader once more, which does no harm.
#[map]
pub(crate) static SEEN: LruHashMap<u32, u8> = LruHashMap::with_max_entries(8192, 0);

/// Written here, each CPU its own copy; read and summed by user space.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Where a CPU assembles its sample. Only the sampling hook uses it, and that cannot interrupt itself.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
