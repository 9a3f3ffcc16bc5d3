//! Whether the packages are what they should be: the same when made again, and running where they are unpacked.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Contents, empty, make, read, write};
use crate::{command, workspace};

/// Checks both packages.
pub(super) fn all(contents: &Contents, made: &[PathBuf]) -> Result<()> {
    let directory = workspace::target().join("dist-check");
    same_bytes(contents, made, &directory)?;
    for package in made {
        empty(&directory)?;
        let program = unpack(package, &directory)?;
        runs(&program, contents)
            .with_context(|| format!("the program in {}", package.display()))?;
        println!("{} runs where it is unpacked", package.display());
        unit(&program, contents, &directory)?;
    }
    fs::remove_dir_all(&directory)?;
    Ok(())
}

fn same_bytes(contents: &Contents, made: &[PathBuf], directory: &Path) -> Result<()> {
    let again = make(contents, directory)?;
    for (one, other) in made.iter().zip(&again) {
        ensure!(
            read(one)? == read(other)?,
            "{} has other bytes when it is made again",
            one.display()
        );
    }
    println!("both are the same when they are made again");
    Ok(())
}

/// Unpacks a package and returns the program in it.
fn unpack(package: &Path, directory: &Path) -> Result<PathBuf> {
    if package
        .extension()
        .is_some_and(|extension| extension == "deb")
    {
        let mut dpkg = Command::new("dpkg-deb");
        command::check(dpkg.arg("-x").arg(package).arg(directory))?;
        return Ok(directory.join("usr/bin/profiler"));
    }
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(package).arg("--strip-components=1");
    command::check(tar.arg("-C").arg(directory))?;
    Ok(directory.join("bin/profiler"))
}

fn runs(program: &Path, contents: &Contents) -> Result<()> {
    let file = read(program)?;
    let headers = command::read(Command::new("readelf").arg("-lW").arg(program))?;
    ensure!(
        !headers.contains("INTERP"),
        "it needs a loader, so it is not static"
    );
    for place in [workspace::root(), PathBuf::from("/.cargo/registry")] {
        let place = place.to_string_lossy().into_owned().into_bytes();
        let is_told = file.windows(place.len()).any(|part| part == place);
        ensure!(!is_told, "it tells where it was built");
    }
    let version = command::read(Command::new(program).arg("--version"))?;
    ensure!(
        version == format!("profiler {}\n", contents.version),
        "{version}"
    );

    let output = Command::new(program)
        .args(["doctor", "--json"])
        .output()
        .context("doctor")?;
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("doctor printed no document")?;
    let can_sample = found["can_sample"] == true;
    ensure!(
        output.status.success() == can_sample,
        "doctor ended with {}",
        output.status
    );
    if !command::is_root() {
        println!("not as root: neither sampling nor an empty root directory was tried");
        return Ok(());
    }
    alone(program)?;
    if can_sample {
        samples_for_a_user(program)
    } else {
        Ok(())
    }
}

/// systemd's own opinion of the unit, with the program where it was unpacked.
fn unit(program: &Path, contents: &Contents, directory: &Path) -> Result<()> {
    if command::find("systemd-analyze").is_none() {
        println!("no systemd-analyze: the unit was not looked at");
        return Ok(());
    }
    let text = contents.file("lib/systemd/system/profiler.service")?;
    let text = String::from_utf8_lossy(text);
    let here = format!("ExecStart={} ", program.display());
    let copy = directory.join("profiler.service");
    let text = text.replace("ExecStart=profiler ", &here);
    ensure!(text.contains(&here), "the unit does not start the program");
    write(&copy, text.as_bytes(), 0o644)?;
    let mut verify = Command::new("systemd-analyze");
    let output = verify.args(["verify", "--man=no"]).arg(&copy).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // It ends with 0 after warnings, too: of options that this systemd does not know, for instance.
    let about_it = said
        .lines()
        .filter(|line| line.contains("profiler.service"));
    let about_it: Vec<&str> = about_it.collect();
    ensure!(
        output.status.success() && about_it.is_empty(),
        "systemd-analyze verify: {said}"
    );
    Ok(())
}

/// In a root directory that has nothing else.
fn alone(program: &Path) -> Result<()> {
    let root = program.parent().context("it lies in a directory")?;
    command::read(
        Command::new("chroot")
            .arg(root)
            .args(["/profiler", "--version"]),
    )
    .map(drop)
}

/// Profiles a command for somebody who called sudo: that looks the user up, which a static glibc does not do by itself.
fn samples_for_a_user(program: &Path) -> Result<()> {
    let mut profiler = Command::new(program);
    profiler.args(["-q", "-F", "997", "-o", "/dev/null", "--"]);
    profiler.args([
        "sh",
        "-c",
        "id -u; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
    ]);
    let output = profiler.env("SUDO_UID", "1").output()?;
    if let Some(signal) = output.status.signal() {
        bail!("it was killed by signal {signal}");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && output.stdout == b"1\n",
        "{}: {said}",
        output.status
    );
    Ok(())
}
