//! Any registers, rule and memory: one step ends, and each caller of a usual frame lies above it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use profiler_common::{Registers, Rule, step};

fuzz_target!(|data: &[u8]| {
    let (words, _) = data.as_chunks();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut next = || words.next().unwrap_or_default();
    let mut registers = Registers { ip: next(), sp: next(), fp: next(), after_call: next() & 1 };
    for _ in 0..64 {
        let rule = Rule::from_bits(next());
        let mut memory = |address: u64| (address & 7 != 3).then(&mut next);
        match step(registers, rule, &mut memory) {
            Ok(caller) => {
                assert_ne!((caller.ip, caller.after_call), (0, 1));
                // By frame pointer, where a chain may lead to another stack.
                let switched = rule.bits() as u8 == Rule::NO_CFI.bits() as u8 || registers.fp > u64::MAX - 16;
                assert!(caller.sp > registers.sp || caller.is_exact() || switched);
                registers = caller;
            }
            Err(stop) => assert!(!stop.text().is_empty()),
        }
    }
});
