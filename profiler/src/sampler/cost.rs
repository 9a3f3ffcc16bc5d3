//! What BPF programs cost, in words.

use std::fmt;

/// What the kernel accounts to one BPF program, when `kernel.bpf_stats_enabled` is 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProgramCost {
    /// Name of the program.
    pub name: String,
    /// Nanoseconds spent in the program, all CPUs.
    pub run_time_ns: u64,
    /// How often it ran.
    pub run_count: u64,
    /// Instructions that the verifier processed, if the kernel says so.
    pub verified_instructions: Option<u32>,
}

impl fmt::Display for ProgramCost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            run_time_ns,
            run_count,
            verified_instructions,
        } = self;
        let verified =
            verified_instructions.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        write!(
            formatter,
            "BPF program {name}: {run_time_ns} ns in {run_count} runs, {verified} instructions verified"
        )
    }
}
