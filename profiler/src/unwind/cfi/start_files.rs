//! The functions that gcc's start files put into every program and library, which nothing describes: `deregister_tm_clones`,
//! `register_tm_clones`, `__do_global_dtors_aux` and `frame_dummy`, one behind the other.
//!
//! They come as they are out of `crtbegin.o` or `crtbeginS.o` (`libgcc/crtstuff.c` in gcc's source), so their bytes tell them. The
//! last is the first function of `.init_array`.

use super::linkage::Framed;

/// Any byte: a part of an address.
const ANY: u8 = 0x2e;
/// The code of position-independent programs and libraries, as gcc 12 has it, and nine of ten files of Debian 12.
const CODE: [u8; 0xb9] = [
    0x48, 0x8d, 0x3d, ANY, ANY, ANY, ANY, 0x48, 0x8d, 0x05, ANY, ANY, ANY, ANY, 0x48, 0x39, 0xf8,
    0x74, 0x15, 0x48, 0x8b, 0x05, ANY, ANY, ANY, ANY, 0x48, 0x85, 0xc0, 0x74, 0x09, 0xff, 0xe0,
    0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0xc3, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0x48,
    0x8d, 0x3d, ANY, ANY, ANY, ANY, 0x48, 0x8d, 0x35, ANY, ANY, ANY, ANY, 0x48, 0x29, 0xfe, 0x48,
    0x89, 0xf0, 0x48, 0xc1, 0xee, 0x3f, 0x48, 0xc1, 0xf8, 0x03, 0x48, 0x01, 0xc6, 0x48, 0xd1, 0xfe,
    0x74, 0x14, 0x48, 0x8b, 0x05, ANY, ANY, ANY, ANY, 0x48, 0x85, 0xc0, 0x74, 0x08, 0xff, 0xe0,
    0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0xf3, 0x0f,
    0x1e, 0xfa, 0x80, 0x3d, ANY, ANY, ANY, ANY, 0x00, 0x75, 0x2b, 0x55, 0x48, 0x83, 0x3d, ANY, ANY,
    ANY, ANY, 0x00, 0x48, 0x89, 0xe5, 0x74, 0x0c, 0x48, 0x8b, 0x3d, ANY, ANY, ANY, ANY, 0xe8, ANY,
    ANY, ANY, ANY, 0xe8, ANY, ANY, ANY, ANY, 0xc6, 0x05, ANY, ANY, ANY, ANY, 0x01, 0x5d, 0xc3,
    0x0f, 0x1f, 0x00, 0xc3, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0xf3, 0x0f, 0x1e, 0xfa, 0xe9,
    ANY, ANY, ANY, ANY,
];
/// Where `frame_dummy` begins.
const LAST: u64 = 0xb0;
/// Behind the `push %rbp` and the `pop %rbp` of `__do_global_dtors_aux`; none of the others has a frame.
const PUSHED: u64 = 0x7e;
const POPPED: u64 = 0xa4;

/// Where the code begins whose last function this is, and how long it is.
pub(in crate::unwind) fn place(frame_dummy: u64) -> Option<(u64, usize)> {
    Some((frame_dummy.checked_sub(LAST)?, CODE.len()))
}

/// The frames of this code at an address, if it is what gcc puts there.
pub(in crate::unwind) fn recognize(address: u64, code: &[u8]) -> Option<Framed> {
    let is_it = code.len() == CODE.len()
        && code
            .iter()
            .zip(CODE)
            .all(|(byte, expected)| *byte == expected || expected == ANY);
    let end = address.checked_add(code.len() as u64)?;
    is_it.then(|| Framed::pushing_fp(address..end, address + PUSHED, address + POPPED))
}

#[cfg(test)]
mod tests {
    use profiler_common::{Cfa, Rule, SavedFp};

    use super::super::{Input, rows_of};
    use super::*;
    use crate::addr::ElfAddr;

    /// `push %rbp` and `pop %rbp`, and the `endbr64` that all begin with but the first two.
    const PUSH: u8 = 0x55;
    const POP: u8 = 0x5d;

    /// The frame is there between push and pop; of anything else nothing is said.
    #[test]
    fn frames_of_the_start_files() {
        const START: u64 = 0x2000;
        let mut code = CODE.map(|byte| if byte == ANY { 0x71 } else { byte });
        let at = |offset: u64| code[offset as usize];
        assert_eq!((at(PUSHED - 1), at(POPPED - 1)), (PUSH, POP));
        assert_eq!(code[LAST as usize..][..5], [0xf3, 0x0f, 0x1e, 0xfa, 0xe9]);
        assert_eq!(place(START + LAST), Some((START, code.len())));
        let framed = [recognize(START, &code).unwrap()];
        let text = START..START + 0x1000;
        let rows = rows_of(&Input {
            text: std::slice::from_ref(&text),
            framed: &framed,
            ..Input::default()
        });
        let inside = Rule::new(Cfa::Sp(16), SavedFp::AtCfa(-16));
        let around = Rule::new(Cfa::Sp(8), SavedFp::Same);
        for (offset, rule) in [
            (0, around),
            (PUSHED - 1, around),
            (PUSHED, inside),
            (POPPED - 1, inside),
            (POPPED, around),
            (LAST, around),
            (CODE.len() as u64, Rule::NO_CFI),
        ] {
            assert_eq!(rows.find(ElfAddr(START + offset)), rule, "{offset:#x}");
        }

        assert_eq!(recognize(START, &code[1..]), None);
        assert_eq!(recognize(u64::MAX - 9, &code), None);
        assert_eq!(place(LAST - 1), None);
        code[0x70] ^= 1;
        assert_eq!(recognize(START, &code), None);
    }
}
