//! Whether the bytes before a return address are a call.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use crate::bench::profile::{Frame, Stack};

/// The longest call instruction, but for prefixes, which need not be looked at.
const LONGEST: usize = 7;

/// The outermost function of a goroutine, whose return address Go's runtime has put there.
const NOT_CALLED: &[&str] = &["runtime.goexit"];
/// `mov $15, %rax; syscall` (`rt_sigreturn`): the kernel has put its address there as that of the handler's caller.
const TRAMPOLINE: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
/// Functions that Go's runtime puts in as if the next frame had called them.
const INJECTED: &[&str] = &["runtime.asyncPreempt", "runtime.sigpanic"];

/// Answers for places in files, each found once.
#[derive(Default)]
pub(super) struct Calls {
    files: HashMap<Rc<Path>, Option<File>>,
    known: HashMap<(Rc<Path>, u64), Option<Before>>,
}

/// What is before a return address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Call,
    /// Whatever; the address is that of a signal trampoline.
    Trampoline,
    Other,
}

impl Calls {
    /// How many return addresses of a stack can be checked, and how many of them are not behind a call.
    pub(super) fn check(&mut self, stack: &Stack) -> (u64, u64) {
        let (mut checked, mut wrong) = (0, 0);
        // The innermost frame is no return address, and neither is what a signal has interrupted.
        let mut is_exact = true;
        for frame in stack.user() {
            let before = self.before(frame).filter(|_| !is_exact);
            if let Some(before) = before.filter(|_| !is_named(frame, NOT_CALLED)) {
                checked += 1;
                wrong += u64::from(before == Before::Other);
            }
            is_exact = before == Some(Before::Trampoline) || is_named(frame, INJECTED);
        }
        (checked, wrong)
    }

    /// `None` where there is no file to look into.
    fn before(&mut self, frame: &Frame) -> Option<Before> {
        let place = frame.place.as_ref()?;
        if let Some(known) = self.known.get(place) {
            return *known;
        }
        let file = self.files.entry(Rc::clone(&place.0)).or_insert_with(|| {
            let is_path = place.0.is_absolute();
            is_path.then(|| File::open(&place.0).ok()).flatten()
        });
        let answer = file.as_ref().and_then(|file| look(file, place.1));
        self.known.insert(place.clone(), answer);
        answer
    }
}

/// Looks around an address, which for a caller is that of the last byte of its call; that of a trampoline may be exact.
fn look(file: &File, address: u64) -> Option<Before> {
    let mut before = [0; LONGEST];
    file.read_exact_at(&mut before, (address + 1).checked_sub(LONGEST as u64)?)
        .ok()?;
    let is_trampoline = [address, address + 1].into_iter().any(|address| {
        let mut code = [0; TRAMPOLINE.len()];
        file.read_exact_at(&mut code, address).is_ok() && code == TRAMPOLINE
    });
    Some(match (ends_with_call(before), is_trampoline) {
        (true, _) => Before::Call,
        (false, true) => Before::Trampoline,
        (false, false) => Before::Other,
    })
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
