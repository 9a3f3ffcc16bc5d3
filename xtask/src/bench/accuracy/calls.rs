//! Whether the bytes before a return address are a call.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use crate::bench::profile::{Frame, Stack};

/// The longest call instruction, but for prefixes, which need not be looked at.
const LONGEST: usize = 7;

/// Functions whose frame is not made by a call: the kernel, or Go's runtime, has put the address there.
const NOT_CALLED: &[&str] = &["__restore_rt", "runtime.goexit", "runtime.sigreturn"];
/// Functions that Go's runtime puts in as if the next frame had called them.
const INJECTED: &[&str] = &["runtime.asyncPreempt", "runtime.sigpanic"];

/// Answers for places in files, each found once.
#[derive(Default)]
pub(super) struct Calls {
    files: HashMap<Rc<Path>, Option<File>>,
    known: HashMap<(Rc<Path>, u64), Option<bool>>,
}

impl Calls {
    /// How many return addresses of a stack can be checked, and how many of them are not behind a call.
    pub(super) fn check(&mut self, stack: &Stack) -> (u64, u64) {
        let (mut checked, mut wrong) = (0, 0);
        // The innermost frame is no return address, and neither is what a signal has interrupted.
        let mut is_exact = true;
        for frame in stack.user() {
            let is_called = !is_exact && !is_named(frame, NOT_CALLED);
            if let Some(answer) = self.is_behind_call(frame).filter(|_| is_called) {
                checked += 1;
                wrong += u64::from(!answer);
            }
            is_exact = is_named(frame, &NOT_CALLED[..1]) || is_named(frame, INJECTED);
        }
        (checked, wrong)
    }

    /// `None` where there is no file to look into.
    fn is_behind_call(&mut self, frame: &Frame) -> Option<bool> {
        let place = frame.place.as_ref()?;
        if let Some(known) = self.known.get(place) {
            return *known;
        }
        let file = self.files.entry(Rc::clone(&place.0)).or_insert_with(|| {
            let is_path = place.0.is_absolute();
            is_path.then(|| File::open(&place.0).ok()).flatten()
        });
        let answer = file.as_ref().and_then(|file| {
            let mut bytes = [0; LONGEST];
            // The address of a caller is that of the last byte of its call.
            let first = (place.1 + 1).checked_sub(LONGEST as u64)?;
            file.read_exact_at(&mut bytes, first).ok()?;
            Some(ends_with_call(bytes))
        });
        self.known.insert(place.clone(), answer);
        answer
    }
}

fn is_named(frame: &Frame, beginnings: &[&str]) -> bool {
    let mut functions = frame.functions.iter();
    functions.any(|function| beginnings.iter().any(|all| function.starts_with(all)))
}

/// Whether the last bytes are a near call: `E8 rel32` or `FF /2` with a ModRM byte, and what that brings with it, of the
/// right length (Intel SDM, volume 2, CALL and table 2-2).
fn ends_with_call(bytes: [u8; LONGEST]) -> bool {
    let direct = bytes[LONGEST - 5] == 0xe8;
    direct || (2..=LONGEST).any(|length| is_indirect_call(&bytes[LONGEST - length..]))
}

fn is_indirect_call(bytes: &[u8]) -> bool {
    let &[0xff, modrm, ref rest @ ..] = bytes else {
        return false;
    };
    if modrm >> 3 & 7 != 2 {
        return false;
    }
    let (mode, base) = (modrm >> 6, modrm & 7);
    let sib = (mode != 3 && base == 4).then(|| rest.first().copied());
    let Some(displacement) = (match (mode, sib) {
        (3, _) => Some(0),
        (_, Some(None)) => None,
        (0, Some(Some(sib))) if sib & 7 == 5 => Some(4),
        (0, None) if base == 5 => Some(4),
        (0, _) => Some(0),
        (1, _) => Some(1),
        _ => Some(4),
    }) else {
        return false;
    };
    rest.len() == usize::from(sib.is_some()) + displacement
}

#[cfg(test)]
mod tests {
    use super::ends_with_call;

    /// As objdump prints them; what is none of them is none.
    #[test]
    fn calls_are_known() {
        let cases: [(&[u8], bool); 10] = [
            (&[0xe8, 0x00, 0x01, 0x00, 0x00], true),
            (&[0xff, 0xd0], true),
            (&[0x41, 0xff, 0xd4], true),
            (&[0xff, 0x50, 0x18], true),
            (&[0xff, 0x14, 0xc5, 0x00, 0x10, 0x00, 0x00], true),
            (&[0xff, 0x15, 0x01, 0x02, 0x03, 0x00], true),
            (&[0xff, 0x54, 0x24, 0x08], true),
            // jmp *%rax, mov (%rax),%rdx, and a call that is one byte further.
            (&[0xff, 0xe0], false),
            (&[0x48, 0x8b, 0x10], false),
            (&[0xe8, 0x00, 0x01, 0x00, 0x00, 0x90], false),
        ];
        for (case, expected) in cases {
            let mut bytes = [0x90; 7];
            bytes[7 - case.len()..].copy_from_slice(case);
            assert_eq!(ends_with_call(bytes), expected, "{case:x?}");
        }
    }
}
