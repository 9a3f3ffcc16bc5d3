//! Where the C library looks up users and hosts when it is a part of this program.
//!
//! glibc reads from `/etc/nsswitch.conf` which libraries to load for that (`libnss_systemd`, `libnss_sss`, …). They come with
//! the machine's own glibc, which a program that has another one in it cannot take: such a lookup ends in a crash, even
//! if the versions are the same. What is built in reads `/etc/passwd`, `/etc/group` and `/etc/hosts`, and asks the servers in
//! `/etc/resolv.conf`. Users who are known elsewhere are looked up by [`crate::caller`].

#[cfg(target_env = "gnu")]
use std::ffi::{CStr, c_char, c_int};

/// The databases that anything in this program could ask, with what is built in for each.
#[cfg(target_env = "gnu")]
const BUILT_IN: [(&CStr, &CStr); 5] = [
    (c"passwd", c"files"),
    (c"group", c"files"),
    (c"initgroups", c"files"),
    (c"hosts", c"files dns"),
    (c"services", c"files"),
];

/// Whether the C library is a part of this program.
pub(crate) const IS_STATIC: bool = cfg!(target_feature = "crt-static");

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// Of glibc's `nss.h`: replaces what `/etc/nsswitch.conf` says of one database.
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

/// Keeps a static glibc from loading libraries. To be called before anything is looked up.
pub(crate) fn use_built_in() {
    #[cfg(target_env = "gnu")]
    if IS_STATIC {
        for (database, services) in BUILT_IN {
            // SAFETY: both are texts that end with a zero and live for ever; the function locks what it changes.
            let failed = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
            if failed != 0 {
                log::debug!("lookups of {database:?} stay as they are");
            }
        }
    }
}
