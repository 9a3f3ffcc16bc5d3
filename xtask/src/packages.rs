//! Debian's packages: installed by name, with the package lists fetched only when they prove too old.
//!
//! Which packages are wanted is decided in `setup`; this file knows apt and nothing else.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command;

const APT_GET: &str = "/usr/bin/apt-get";

/// Whether packages can be installed here by this file.
pub(crate) fn available() -> bool {
    Path::new(APT_GET).is_file()
}

/// Installs packages and what they depend on, removing nothing.
///
/// On a machine without apt this is an error that says what `advice` says.
pub(crate) fn install(packages: &[String], advice: &str) -> Result<()> {
    if !available() {
        bail!(
            "this machine has no apt-get, so the missing parts cannot be installed by themselves: {advice}"
        );
    }
    eprintln!("installing {}", packages.join(" "));
    let first = apt_get(&["install"], packages);
    if first.is_ok() {
        return Ok(());
    }
    // A new machine may have no package lists at all, and old lists name versions that are gone.
    eprintln!("that may be for want of fresh package lists: fetching them, then once more");
    apt_get(&["update"], &[])?;
    apt_get(&["install"], packages).with_context(|| advice.to_owned())
}

fn apt_get(verb: &[&str], packages: &[String]) -> Result<()> {
    let mut apt = command::as_root(OsStr::new("env"), &[])?;
    apt.args(["DEBIAN_FRONTEND=noninteractive", APT_GET, "-qq", "-y"])
        // Another apt may be at work, an unattended upgrade for instance: wait for it.
        .args(["-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0"])
        .args(verb);
    if !packages.is_empty() {
        // A compiler that is somebody's own choice is not to vanish for ours.
        apt.args(["--no-install-recommends", "--no-remove"])
            .args(packages);
    }
    apt.stdout(std::io::stderr());
    command::check(&mut apt)
}
