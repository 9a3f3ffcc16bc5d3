//! Stacks assembled by hand, one frame each, with the listing and the CFI rows beside them.

use super::*;
use crate::{Cfa, SavedFp};

/// Where the stacks of these tests lie.
const STACK: u64 = 0x7ffe_0000;

/// Steps over a stack of words that begins at [`STACK`].
fn check(registers: Registers, rule: Rule, words: &[u64], expected: Result<Registers, Stop>) {
    let mut memory = |address: u64| {
        let offset = address.checked_sub(STACK)?;
        (offset % 8 == 0).then(|| words.get((offset / 8) as usize).copied())?
    };
    assert_eq!(step(registers, rule, &mut memory), expected, "{rule}");
}

fn registers(ip: u64, sp: u64, fp: u64) -> Registers {
    Registers {
        ip,
        sp,
        fp,
        after_call: 1,
    }
}

/// A function without a frame pointer is left the right way at every stage of its life.
///
/// ```text
/// f:   push rbx          CFA=rsp+8
///      sub  rsp,16       CFA=rsp+16
///      …                 CFA=rsp+32
///      ret               CFA=rsp+8
/// ```
#[test]
fn stack_pointer_frames() {
    let words = [0xb1, 0xb2, 0x1234, 0x401005, 0];
    let caller = registers(0x401005, STACK + 32, 77);
    for (index, cfa) in [(3, 8), (2, 16), (0, 32)] {
        let leaf = Registers::interrupted(0x401100, STACK + 8 * index, 77);
        let rule = Rule::new(Cfa::Sp(cfa), SavedFp::Same);
        check(leaf, rule, &words, Ok(caller));
    }
}

/// A function with a frame pointer gives its caller's rbp back.
///
/// ```text
/// f:   push rbp          CFA=rsp+8
///      mov  rbp,rsp      CFA=rsp+16 rbp=c-16
///      sub  rsp,16       CFA=rbp+16 rbp=c-16
/// ```
#[test]
fn frame_pointer_frames() {
    let words = [0xa0, 0xa1, 0x7777, 0x401005];
    let caller = registers(0x401005, STACK + 32, 0x7777);
    let saved = SavedFp::AtCfa(-16);
    check(
        Registers::interrupted(0x401101, STACK + 16, 0x7777),
        Rule::new(Cfa::Sp(16), saved),
        &words,
        Ok(caller),
    );
    check(
        Registers::interrupted(0x401108, STACK, STACK + 16),
        Rule::new(Cfa::Fp(16), saved),
        &words,
        Ok(caller),
    );
}

/// Frames of more than 32 KiB, in both directions of the sign.
#[test]
fn large_offsets() {
    let mut words = [0; 20_001];
    words[20_000] = 0x401005;
    let rule = Rule::new(Cfa::Sp(160_008), SavedFp::Same);
    let caller = registers(0x401005, STACK + 160_008, 5);
    check(
        Registers::interrupted(1, STACK, 5),
        rule,
        &words,
        Ok(caller),
    );
    let rule = Rule::new(Cfa::Fp(-40_000), SavedFp::Same);
    let caller = registers(0x401005, STACK + 160_008, STACK + 200_008);
    check(
        Registers::interrupted(1, STACK, STACK + 200_008),
        rule,
        &words,
        Ok(caller),
    );
}

/// A procedure linkage table entry has pushed eight bytes from its byte 11 on.
///
/// ```text
/// 401020:  jmp  *GOT(%rip)     6 bytes
/// 401026:  push $0             5 bytes
/// 40102b:  jmp  PLT0
/// ```
#[test]
fn procedure_linkage_table() {
    let rule = Rule::new(
        Cfa::Plt {
            offset: 8,
            threshold: 11,
        },
        SavedFp::Same,
    );
    let caller = registers(0x401005, STACK + 16, 7);
    let before = Registers::interrupted(0x401026, STACK + 8, 7);
    check(before, rule, &[0, 0x401005], Ok(caller));
    let behind = Registers::interrupted(0x40102b, STACK, 7);
    check(behind, rule, &[0, 0x401005], Ok(caller));
}

/// A function that realigned its stack keeps the old place of it in memory.
///
/// ```text
/// f:   lea  r10,[rsp+8]
///      and  rsp,-32
///      push [r10-8]
///      push rbp               CFA=*(rbp-8) rbp=*(rbp+0)
///      mov  rbp,rsp
///      push r10
/// ```
#[test]
fn realigned_frames() {
    let words = [STACK + 56, 0x7777, 0x401005, 0, 0, 0, 0x401005];
    let rule = Rule::new(
        Cfa::DerefFp {
            inner: -8,
            outer: 0,
        },
        SavedFp::AtFp(0),
    );
    let caller = registers(0x401005, STACK + 56, 0x7777);
    check(
        Registers::interrupted(1, STACK, STACK + 8),
        rule,
        &words,
        Ok(caller),
    );

    let rule = Rule::new(
        Cfa::DerefSp {
            inner: 0,
            outer: -32,
        },
        SavedFp::Same,
    );
    let caller = registers(0x401005, STACK + 24, 9);
    check(
        Registers::interrupted(1, STACK, 9),
        rule,
        &words,
        Ok(caller),
    );
}

/// Behind a signal frame the next lookup uses the address itself, and the interrupted stack may lie below.
#[test]
fn signal_frames() {
    let mut words = [0; 40];
    words[15] = 0xb9;
    words[20] = STACK - 4096;
    words[21] = 0x402000;
    let interrupted = Registers::interrupted(0x402000, STACK - 4096, 0xb9);
    let trampoline = registers(0x7f00, STACK, 1);
    check(trampoline, Rule::SIGNAL, &words, Ok(interrupted));
    check(
        trampoline,
        Rule::SIGNAL,
        &words[..21],
        Err(Stop::ReadFailed),
    );
    assert_eq!(
        (interrupted.lookup(), interrupted.is_exact()),
        (0x402000, true)
    );
    assert_eq!(
        (trampoline.lookup(), trampoline.is_exact()),
        (0x7eff, false)
    );
}

/// By frame pointer only when rbp looks like one; otherwise the walk ends for the reason that made it try.
#[test]
fn frame_pointer_chain() {
    let words = [0, STACK + 48, 0x401005, 0, STACK, 0x401005, 0, 0x401005];
    let at = |sp: u64, fp: u64| Registers::interrupted(0x500, sp, fp);
    let good = Ok(registers(0x401005, STACK + 24, STACK + 48));
    check(at(STACK, STACK + 8), Rule::NO_MAPPING, &words, good);
    // The outermost frame has saved a zero.
    let last = Ok(registers(0x401005, STACK + 64, 0));
    check(at(STACK, STACK + 48), Rule::NO_MAPPING, &words, last);
    // Below the stack pointer, not aligned, not readable, followed by a lower one, zero.
    for fp in [STACK - 8, STACK + 9, STACK + 4096, STACK + 32, 0] {
        check(
            at(STACK, fp),
            Rule::NO_MAPPING,
            &words,
            Err(Stop::NoMapping),
        );
        check(at(STACK, fp), Rule::NO_ROW, &words, Err(Stop::NoRow));
        check(at(STACK, fp), Rule::NO_TABLE, &words, Err(Stop::NoTable));
    }
    check(
        at(STACK, 0),
        Rule::NO_CFI,
        &words,
        Err(Stop::FramePointerEnd),
    );
    check(
        at(STACK, STACK + 9),
        Rule::NO_CFI,
        &words,
        Err(Stop::FramePointerBroken),
    );
}

/// A chain of frame pointers may lead to a lower stack where frame pointers are kept, and only there.
///
/// ```text
/// runtime.systemstack on the thread's stack: push rbp, which points into the goroutine's stack
/// ```
#[test]
fn lower_stack() {
    let mut words = [0; 1024];
    words[1] = STACK + 64;
    words[2] = 0x401005;
    words[1000] = STACK + 8;
    words[1001] = 0x402005;
    let on_thread = Registers::interrupted(0x500, STACK + 7900, STACK + 8000);
    let switched = registers(0x402005, STACK + 8016, STACK + 8);
    check(on_thread, Rule::NO_CFI, &words, Ok(switched));
    check(on_thread, Rule::NO_ROW, &words, Err(Stop::NoRow));
    let caller = registers(0x401005, STACK + 24, STACK + 64);
    check(switched, Rule::NO_CFI, &words, Ok(caller));
    check(switched, Rule::NO_ROW, &words, Err(Stop::NoRow));
}

/// A walk ends with the reason that fits.
#[test]
fn stops() {
    let at = Registers::interrupted(0x500, STACK, STACK);
    let sp = |n| Rule::new(Cfa::Sp(n), SavedFp::Same);
    let fp = |n| Rule::new(Cfa::Fp(n), SavedFp::Same);
    for (rule, stop) in [
        (Rule::OUTERMOST, Stop::End),
        (Rule::UNSUPPORTED, Stop::UnsupportedRule),
        (Rule::from_bits(0), Stop::NoTable),
        (Rule::from_bits(u64::MAX), Stop::NoTable),
        (Rule::stop(Stop::TooDeep), Stop::TooDeep),
        (sp(8), Stop::ZeroReturnAddress),
        (sp(64), Stop::ReadFailed),
        (
            Rule::new(Cfa::Sp(16), SavedFp::AtCfa(-64)),
            Stop::ReadFailed,
        ),
        // A stack that points to itself or downwards.
        (sp(0), Stop::NoProgress),
        (sp(-8), Stop::NoProgress),
        (fp(0), Stop::NoProgress),
        (
            Rule::new(Cfa::DerefSp { inner: 8, outer: 0 }, SavedFp::Same),
            Stop::NoProgress,
        ),
    ] {
        check(at, rule, &[0, STACK], Err(stop));
    }
}

/// Registers at the ends of the address space wrap; nothing panics.
#[test]
fn extreme_registers() {
    for value in [
        0,
        1,
        7,
        8,
        i64::MAX as u64,
        i64::MIN as u64,
        u64::MAX - 7,
        u64::MAX,
    ] {
        let at = Registers {
            ip: value,
            sp: value,
            fp: value,
            after_call: 1,
        };
        for n in [0, 1, 8, -8, i32::MAX, i32::MIN] {
            for kind in 0..=0x3ff {
                let rule = Rule::from_bits((n as u32 as u64) << 32 | u64::MAX >> 48 << 16 | kind);
                for answer in [None, Some(value), Some(u64::MAX)] {
                    let _ = step(at, rule, &mut |_| answer);
                }
            }
        }
    }
}

/// What only the innermost frame has in a register is found there and in no other frame.
#[test]
fn leaf_registers() {
    struct Leaf;
    impl Memory for Leaf {
        fn read_u64(&mut self, address: u64) -> Option<u64> {
            (address == STACK + 24).then_some(0x401005)
        }
        fn leaf(&mut self, register: LeafRegister, sp: u64) -> Option<u64> {
            (sp == STACK).then(|| STACK + 16 + register.index() as u64)
        }
    }
    let rax = LeafRegister::from_dwarf(0).unwrap();
    let rdi = LeafRegister::from_dwarf(5).unwrap();
    assert_eq!(LeafRegister::from_dwarf(12), None);
    let cfa = Cfa::Leaf {
        register: rax,
        offset: 16,
    };
    let by_cfa = Rule::new(cfa, SavedFp::Same);
    let by_return = Rule::return_in(rdi, 0);
    let innermost = Registers::interrupted(1, STACK, 7);
    let expected = registers(0x401005, STACK + 32, 7);
    assert_eq!(step(innermost, by_cfa, &mut Leaf), Ok(expected));
    let expected = registers(STACK + 21, STACK, 7);
    assert_eq!(step(innermost, by_return, &mut Leaf), Ok(expected));
    for other in [
        registers(1, STACK, 7),
        Registers::interrupted(1, STACK + 8, 7),
    ] {
        for rule in [by_cfa, by_return] {
            assert_eq!(step(other, rule, &mut Leaf), Err(Stop::UnsupportedRule));
        }
    }
}
