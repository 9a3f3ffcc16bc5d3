//! Every map: who writes it, who reads it, what bounds its size.

use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, RingBuf};
use profiler_common::{Counter, Scratch, Settings};

/// Written by user space before the load, constant from then on.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings {
    all_processes: 0,
    kernel_stacks: 1,
    follow_children: 0,
    task_tgid_offset: 0,
    guess_frame_pointers: 1,
    task_stack_offset: 0,
    entry_registers_offset: 0,
    check_walks: 0,
    wakeup_bytes: 0,
});

/// All records, in the order in which they happened on each CPU. Written here, read by user space, which
/// also sets its size by sampling rate and number of CPUs.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Processes to be sampled, unless all are; the value is not used. Written by user space (the processes asked
/// for; removal of those that ended) and by `lifecycle::fork` (their children). Read by every hook.
/// User space sets the size. All of it is allocated at once: before Linux 6.1 programs on perf events may not use hash
/// maps that are not ("perf_event programs can only use preallocated hash map").
#[map]
pub(crate) static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(1 << 13, 0);

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
