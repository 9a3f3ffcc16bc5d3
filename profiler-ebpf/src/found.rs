//! Rules that were found before: most frames of a stack were in the stacks before it, too.
//!
//! A search takes four to thirteen reads, each of which waits for the one before, and that many cache lines when the
//! program has displaced them. What is kept here is one read, on which nothing waits: the processor goes on with the rule
//! that it expects. Each CPU keeps its own, in its walk.

use profiler_common::Rule;

/// How many are kept; a power of two. With the stack's window they stay below the 32 KiB that a CPU's value may have.
const ENTRIES: usize = 1024;
/// 2^64 over the golden ratio: spreads addresses over the entries by the highest bits of the product.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A rule, and what it is the rule of.
#[repr(C)]
struct Entry {
    address: u64,
    /// Of the process's run of mappings; a change of mappings makes all older entries worthless. 0: nothing is here.
    generation: u64,
    rule: u64,
}

/// All rules that are kept.
#[repr(C)]
pub(crate) struct Found {
    entries: [Entry; ENTRIES],
}

impl Found {
    /// What was found at this address before.
    ///
    /// # Safety
    ///
    /// `found` must be this CPU's own.
    #[inline(always)]
    pub(crate) unsafe fn get(found: *const Self, generation: u64, address: u64) -> Option<Rule> {
        // SAFETY: as the caller promises; the place is inside.
        unsafe {
            let entry = (&raw const (*found).entries)
                .cast::<Entry>()
                .add(place(address));
            let known = (*entry).address == address && (*entry).generation == generation;
            known.then(|| Rule::from_bits((*entry).rule))
        }
    }

    /// Keeps what was found, in the place of another.
    ///
    /// # Safety
    ///
    /// `found` must be this CPU's own.
    #[inline(always)]
    pub(crate) unsafe fn put(found: *mut Self, generation: u64, address: u64, rule: Rule) {
        // SAFETY: as the caller promises; the place is inside.
        unsafe {
            let entry = (&raw mut (*found).entries)
                .cast::<Entry>()
                .add(place(address));
            (*entry).address = address;
            (*entry).generation = generation;
            (*entry).rule = rule.bits();
        }
    }
}

#[inline(always)]
fn place(address: u64) -> usize {
    (address.wrapping_mul(SPREAD) >> (u64::BITS - ENTRIES.ilog2())) as usize & (ENTRIES - 1)
}

const _: () = assert!(ENTRIES.is_power_of_two());
