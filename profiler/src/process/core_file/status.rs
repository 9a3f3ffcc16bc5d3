//! What the kernel's notes say of threads, of the program and of the signal (include/linux/elfcore.h and
//! include/uapi/asm-generic/siginfo.h). The layouts follow from the width of `long` but for the registers.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use object::elf::EM_X86_64;

use super::bytes::Format;
use crate::addr::ProcAddr;
use crate::process::Thread;
use crate::process::registers::{COUNT, RegisterSet};

/// Signals with an address in their details: SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV.
const WITH_ADDRESS: [i32; 5] = [4, 5, 7, 8, 11];

/// What the core file says of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProgramInfo {
    /// The process id, in the process's own pid namespace.
    pub pid: u32,
    /// The name (`comm`): at most 15 bytes.
    pub name: OsString,
    /// The arguments, separated by blanks and cut off after 79 bytes.
    pub args: OsString,
}

/// The signal that ended the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SignalInfo {
    /// Its number.
    pub number: i32,
    /// `si_code`: why it was sent.
    pub code: i32,
    /// The address that the signal is about, if it is about one.
    pub address: Option<ProcAddr>,
}

/// A thread by its `NT_PRSTATUS`, which may be cut; `None` when not even the id is there.
pub(super) fn thread(format: Format, machine: u16, status: &[u8]) -> Option<Thread> {
    // Behind the signal's number, code and errno, its number again and two masks of a word each.
    let (tid_at, registers_at) = if format.is_64 { (32, 112) } else { (24, 72) };
    let signal = format.u16(status, 12)?;
    Some(Thread {
        tid: format.u32(status, tid_at)?,
        name: None,
        signal: Some(i32::from(signal)).filter(|signal| *signal != 0),
        registers: registers(
            format,
            machine,
            status.get(registers_at..).unwrap_or_default(),
        ),
    })
}

fn registers(format: Format, machine: u16, bytes: &[u8]) -> Option<RegisterSet> {
    if machine != EM_X86_64.0 || !format.is_64 {
        return None;
    }
    let mut values = [0; COUNT];
    for (index, value) in values.iter_mut().enumerate() {
        *value = format.word(bytes, index * 8)?;
    }
    Some(RegisterSet::new(values))
}

/// The program by the `NT_PRPSINFO`.
pub(super) fn program(format: Format, info: &[u8]) -> Option<ProgramInfo> {
    // User and group ids have two bytes on the older 32-bit machines and four on the others.
    let (pid_at, name_at, args_at) = match (format.is_64, info.len()) {
        (true, _) => (24, 40, 56),
        (false, ..128) => (12, 28, 44),
        (false, _) => (16, 32, 48),
    };
    let name = info.get(name_at..args_at)?;
    let args = info.get(args_at..)?;
    let text = |bytes: &[u8]| {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        // The kernel puts a blank behind each argument.
        OsString::from_vec(bytes.trim_ascii_end().to_vec())
    };
    Some(ProgramInfo {
        pid: format.u32(info, pid_at)?,
        name: text(name),
        args: text(args.get(..80).unwrap_or(args)),
    })
}

/// The signal by the `NT_SIGINFO`: three numbers, and on 64-bit machines padding, before the details.
pub(super) fn signal(format: Format, info: &[u8]) -> Option<SignalInfo> {
    let number = |at| format.u32(info, at).map(u32::cast_signed);
    let signal = number(0)?;
    let code = number(8)?;
    let address = format.word(info, if format.is_64 { 16 } else { 12 });
    // A code above zero says that the kernel sent it; others have the sender there.
    let about = WITH_ADDRESS.contains(&signal) && code > 0 && code != 0x80;
    (signal != 0).then_some(SignalInfo {
        number: signal,
        code,
        address: address.filter(|_| about).map(ProcAddr),
    })
}
