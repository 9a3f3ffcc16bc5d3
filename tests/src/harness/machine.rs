//! Who may use the machine, and whether it can do what a test needs.
//!
//! Most tests run side by side; those that count samples exactly have the machine to themselves. A test that cannot run
//! here says so in the file that `PROFILER_SKIPS` names, where `cargo xtask test` counts it; it never just passes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;
use std::process::Command;
use std::sync::{LazyLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::profiler;

/// Locked for writing by a test that has the machine to itself.
static MACHINE: RwLock<()> = RwLock::new(());

/// Parts of what the profiler says when it is this machine that does not let it sample.
const REFUSALS: [&str; 5] = [
    "; run as root",
    "perf_event_paranoid",
    "locked down",
    "no BPF ring buffer",
    "no perf events",
];

/// Why nothing can be profiled here, if that is so.
static REFUSAL: LazyLock<Option<String>> = LazyLock::new(refusal);

/// The right to use the machine for as long as this lives.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Beside other tests.
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    /// With the machine to itself.
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

/// Begins a test that may run beside others; `None` when it is skipped.
#[track_caller]
pub(crate) fn shared() -> Option<Turn> {
    can_profile().then(|| Turn::Shared {
        // A test that failed has left nothing behind that the next one relies on.
        _guard: MACHINE
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    })
}

/// Begins a test that other tests would disturb; `None` when it is skipped.
#[track_caller]
pub(crate) fn alone() -> Option<Turn> {
    can_profile().then(|| Turn::Alone {
        _guard: MACHINE
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    })
}

/// Notes that the running test cannot run here; it has to return then.
#[track_caller]
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    // With one thread for all tests the harness runs them on its own, which has no test's name.
    let name = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => Location::caller().to_string(),
    };
    eprintln!("skipped: {reason}");
    if let Some(file) = std::env::var_os("PROFILER_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .expect("PROFILER_SKIPS can be written");
        let line = format!("{name}\t{}\n", reason.replace('\n', " "));
        file.write_all(line.as_bytes())
            .expect("PROFILER_SKIPS can be written");
    }
}

#[track_caller]
fn can_profile() -> bool {
    if let Some(reason) = &*REFUSAL {
        skip(reason);
    }
    REFUSAL.is_none()
}

/// Profiles for a moment. Only a refusal by the machine counts; anything else is for the tests to fail at.
fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the end-to-end suite needs root".to_owned());
    }
    let own = std::process::id().to_string();
    let output = Command::new(profiler())
        .args(["-q", "-d", "10ms", "-o", "/dev/null", "-p", &own])
        .output()
        .expect("the profiler can be started");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let is_refusal =
        output.status.code() == Some(1) && REFUSALS.iter().any(|part| said.contains(part));
    is_refusal.then_some(said)
}
