//! Panics of other people's parsers, kept to the input that caused them.
//!
//! What is done about them is left to the caller. Works in builds that unwind, as all profiles of this workspace do.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Whether this thread is inside [`catch`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the process's panic hook from printing the panics that this module catches and reports as misses.
///
/// For the program to call once at its start; libraries must not replace a hook by themselves.
pub fn silence_caught_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !GUARDED.get() {
            hook(info);
        }
    }));
}

/// What `work` returns, or the message of its panic.
///
/// What `work` has touched may be in any state after a panic; the caller must not use it again.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
