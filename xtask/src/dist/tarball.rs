//! The tarball: one directory with `bin` and `share`, to be used where it is unpacked or copied to a prefix.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Contents, empty, gzip, read, write as write_file};
use crate::command;

fn write_tree(contents: &Contents, root: &Path) -> Result<()> {
    for (place, bytes, mode) in &contents.files {
        write_file(&root.join(place), bytes, *mode)?;
    }
    Ok(())
}

/// `profiler-VERSION-x86_64-linux.tar.gz`.
pub(super) fn write(contents: &Contents, directory: &Path) -> Result<PathBuf> {
    let name = format!("profiler-{}-x86_64-linux", contents.version);
    let stage = directory.join("stage");
    empty(&stage)?;
    write_tree(contents, &stage.join(&name))?;
    let tar = directory.join(format!("{name}.tar"));
    command::check(
        Command::new("tar")
            .args(["--create", "--format=ustar", "--sort=name"])
            .args(["--owner=root:0", "--group=root:0", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{}", contents.time))
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(&stage)
            .arg(&name),
    )?;
    let packed = directory.join(format!("{name}.tar.gz"));
    write_file(&packed, &gzip(&read(&tar)?)?, 0o644)?;
    std::fs::remove_file(&tar)?;
    std::fs::remove_dir_all(&stage)?;
    Ok(packed)
}
