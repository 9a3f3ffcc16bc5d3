//! Names of signals, and what their codes say (include/uapi/asm-generic/signal.h and siginfo.h). A few machines
//! (MIPS, SPARC, Alpha) number some signals in another way.

use std::fmt;

use super::SignalInfo;

/// By number, from 1.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// What a code says of a signal; those of number 0 go with every signal.
const CAUSES: [(i32, i32, &str); 22] = [
    (0, 0, "sent by kill"),
    (0, -1, "sent by sigqueue"),
    (0, -2, "a timer"),
    (0, -6, "sent by tgkill, as by raise and abort"),
    (0, 0x80, "sent by the kernel"),
    (4, 1, "illegal instruction"),
    (4, 2, "illegal operand"),
    (4, 5, "privileged instruction"),
    (5, 1, "breakpoint"),
    (5, 2, "trace"),
    (7, 1, "invalid alignment"),
    (7, 2, "physical address does not exist"),
    (7, 3, "hardware error"),
    (8, 1, "integer division by zero"),
    (8, 2, "integer overflow"),
    (8, 3, "floating-point division by zero"),
    (8, 4, "floating-point overflow"),
    (8, 7, "invalid floating-point operation"),
    (11, 1, "address not mapped"),
    (11, 2, "access not permitted"),
    (11, 4, "protection key"),
    (31, 1, "system call forbidden by seccomp"),
];

/// The name of a signal, such as `SIGSEGV`; `SIG35` for one without a name.
pub fn signal_name(number: i32) -> String {
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
    let name = index.and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("SIG{number}"), |name| (*name).to_owned())
}

impl SignalInfo {
    /// Why it was sent, in a few words, if the code is a usual one.
    pub fn cause(&self) -> Option<&'static str> {
        let is_this = |(number, code, _): &&(i32, i32, &str)| {
            *code == self.code && (*number == self.number || *number == 0)
        };
        CAUSES.iter().find(is_this).map(|(.., cause)| *cause)
    }
}

impl fmt::Display for SignalInfo {
    /// Number, name, cause and address: `11 SIGSEGV, address not mapped: 0x10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, signal_name(self.number))?;
        if let Some(cause) = self.cause() {
            write!(f, ", {cause}")?;
        }
        if let Some(address) = self.address {
            write!(f, ": {address:#x}")?;
        }
        Ok(())
    }
}
