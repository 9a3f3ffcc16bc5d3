//! The tables for unwinding: which process has which mappings, and which rule is in force at an address.
//!
//! Written by user space (`profiler::sampler::tables`); here they are read, and handed on at fork.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array as InnerArray, ArrayOfMaps};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap};
use profiler_common::{
    CHUNK_ROWS, MappingRun, PAGE_SHIFT, Page, ProcessRun, Row, Rule, Stop, all_ones_if_not_above,
    find_row,
};

use crate::maps::constant;

/// The rows of one chunk: one element, so that a search calls the kernel once and not for each row.
type Chunk = [u32; CHUNK_ROWS as usize];
/// Most chunks, of a mebibyte each.
const CHUNKS: usize = 4096;

/// The mappings of each process that has tables; user space sets the size.
#[map]
static PROCESSES: HashMap<u32, ProcessRun> = HashMap::with_max_entries(1 << 13, 0);

/// The mappings of all processes; user space sets the size.
#[map]
static MAPPINGS: Array<MappingRun> = Array::with_max_entries(1 << 14, BPF_F_MMAPABLE);

/// For each 4 KiB of text, its rows; user space sets the size.
#[map]
static PAGES: Array<Page> = Array::with_max_entries(1 << 16, BPF_F_MMAPABLE);

/// Every distinct rule, of all binaries.
#[map]
static RULES: Array<u64> = Array::with_max_entries(1 << 14, BPF_F_MMAPABLE);

/// Rows, in chunks that are made when they are needed.
#[btf_map]
static ROWS: ArrayOfMaps<InnerArray<Chunk, 1, { BPF_F_MMAPABLE as usize }>, CHUNKS> =
    ArrayOfMaps::new();

/// Steps of a binary search over the mappings of one process: enough for 131,072.
const SEARCH_STEPS: u32 = 17;

/// Steps that are enough for most processes: 32 mappings with code.
const SHORT_SEARCH_STEPS: u32 = 5;

/// The mappings of a process; none when it has no tables (yet).
#[inline(always)]
pub(crate) fn process(pid: u32) -> Option<ProcessRun> {
    let run = PROCESSES.get_ptr(pid)?;
    // SAFETY: an element of a map, which stays readable for the length of the program.
    let (first, end, generation) = unsafe { ((*run).first, (*run).end, (*run).generation) };
    Some(ProcessRun {
        first,
        end,
        generation,
    })
}

/// A child begins with its parent's memory. User space gives it a run of its own as soon as it hears of it.
#[inline(always)]
pub(crate) fn inherit(parent: u32, child: u32) {
    if let Some(run) = process(parent) {
        // When there is no room, the child is walked by frame pointers until user space has heard of it.
        let _ = PROCESSES.insert(child, run, 0);
    }
}

/// Another program: nothing of the mappings holds any more.
#[inline(always)]
pub(crate) fn forget(pid: u32) {
    // Fails when there were none.
    let _ = PROCESSES.remove(pid);
}

/// Copies the mapping that has `address` to `found`, unless that one has it already.
#[inline(always)]
pub(crate) fn find_mapping(process: ProcessRun, address: u64, found: *mut MappingRun) -> bool {
    // SAFETY: `found` points into a map value that this CPU alone uses meanwhile.
    unsafe {
        if (*found).start <= address && address < (*found).limit {
            return true;
        }
    }
    // Addresses of users have at most 56 bits; the search compares by subtraction.
    if address >> 63 != 0 || process.first >= process.end {
        return false;
    }
    let few = process.end.wrapping_sub(process.first) <= 1 << SHORT_SEARCH_STEPS;
    let mapping = if few {
        last_not_above::<SHORT_SEARCH_STEPS>(process, address)
    } else {
        last_not_above::<SEARCH_STEPS>(process, address)
    };
    let Some(mapping) = mapping else {
        return false;
    };
    // SAFETY: an element of a map, and `found` as above. Word by word, because a copy of the whole becomes a call of
    // memcpy, byte by byte.
    unsafe {
        (*found).start = (*mapping).start;
        (*found).limit = (*mapping).limit;
        (*found).bias = (*mapping).bias;
        (*found).rule = (*mapping).rule;
        (*found).page_base = (*mapping).page_base;
        (*found).start <= address && address < (*found).limit
    }
}

/// The last mapping of a process that begins at or below the address. No branch on what was read: see `find_row`.
#[inline(always)]
fn last_not_above<const STEPS: u32>(
    process: ProcessRun,
    address: u64,
) -> Option<*const MappingRun> {
    let mut first = process.first;
    let mut count = process.end.wrapping_sub(first);
    for _ in 0..STEPS {
        let half = count >> 1;
        let mapping = MAPPINGS.get_ptr(first.wrapping_add(half))?;
        // SAFETY: an element of a map.
        let start = unsafe { (*mapping).start };
        first = first.wrapping_add(half & all_ones_if_not_above(start, address));
        count = count.wrapping_sub(half);
    }
    MAPPINGS.get_ptr(first)
}

/// What to do where nothing is known: go by frame pointer, or stop if that is not wanted.
#[inline(always)]
pub(crate) fn guess(rule: Rule, stop: Stop) -> Rule {
    if constant!(SETTINGS.guess_frame_pointers) != 0 {
        rule
    } else {
        Rule::stop(stop)
    }
}

/// What to do in no mapping of a process: stop there, so that user space gets a copy of the stack and walks it with what has
/// been mapped since; or guess where not all mappings had room.
#[inline(always)]
pub(crate) fn unmapped(process: ProcessRun) -> Rule {
    let stop = Rule::stop(Stop::NoMapping).bits();
    let guess = guess(Rule::NO_MAPPING, Stop::NoMapping).bits();
    // No branch on what was read: see `find_row`.
    let guesses = (process.generation & ProcessRun::LEFT_OUT).wrapping_neg();
    Rule::from_bits(stop ^ ((stop ^ guess) & guesses))
}

/// The rule in force at an address of a mapping.
#[inline(always)]
pub(crate) fn rule(mapping: *const MappingRun, address: u64) -> Rule {
    // SAFETY: `mapping` points into a map value that this CPU alone uses meanwhile.
    let (bias, rule, page_base) =
        unsafe { ((*mapping).bias, (*mapping).rule, (*mapping).page_base) };
    if rule != 0 {
        return Rule::from_bits(rule);
    }
    let pc = address.wrapping_sub(bias);
    let Some(page) = PAGES.get_ptr(page_base.wrapping_add((pc >> PAGE_SHIFT) as u32)) else {
        return guess(Rule::NO_TABLE, Stop::NoTable);
    };
    // SAFETY: an element of a map.
    let (first, end) = unsafe { ((*page).first, (*page).end) };
    // All rows of a page are in one chunk.
    let Some(chunk) = ROWS
        .get(first / CHUNK_ROWS)
        .and_then(|chunk| chunk.get_ptr(0))
    else {
        return guess(Rule::NO_TABLE, Stop::NoTable);
    };
    let rows: *const u32 = chunk.cast();
    let row = |number: u32| {
        // SAFETY: the mask keeps the number inside of the chunk.
        let row = unsafe { *rows.add((number & (CHUNK_ROWS - 1)) as usize) };
        Some(Row(row))
    };
    let Some(row) = find_row(Page { first, end }, pc, row) else {
        return guess(Rule::NO_ROW, Stop::NoRow);
    };
    let Some(rule) = RULES.get_ptr(row.rule().into()) else {
        return Rule::stop(Stop::NoTable);
    };
    // SAFETY: an element of a map.
    Rule::from_bits(unsafe { *rule })
}
