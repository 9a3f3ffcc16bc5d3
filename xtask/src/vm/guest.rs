//! The file system of a guest: a shell, the program under test, and programs to profile with their libraries.
//!
//! All of it is in memory from the start, because the kernels for virtual machines have no driver for anything else
//! built in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::tools::BUSYBOX;
use super::{doctor, limits};
use crate::{command, workspace};

/// How deep the recursion is.
pub(super) const DEPTH: usize = 200;

/// `setpriv` of util-linux.
const WITH_RIGHTS: &str = "with-rights";

/// A line that says that everything was run.
pub(super) const END: &str = "guest: end";

/// Around a profile, with its name between.
pub(super) const PROFILE_BEGINS: &str = "guest: profile ";
pub(super) const PROFILE_ENDS: &str = "guest: end of profile";

/// How a recording ended, by its name.
pub(super) const EXIT_CODE: &str = "guest: exit code of ";

/// The recordings: a name, what is profiled, and how. `auto` is what people run.
pub(super) const RECORDINGS: [(&str, &str, &str); 5] = [
    ("auto", "recursion", ""),
    ("kernel", "kernelwork", ""),
    ("calls", "recursion", "--bpf-loop false"),
    ("loop", "recursion", "--unwind dwarf --bpf-loop true"),
    ("fp", "recursion", "--unwind fp"),
];

/// One more recording, made within a pid namespace: all of the recursion that can be seen there, selected by name and by
/// control group, so that all that is read from the kernel's structures is read on this kernel.
pub(super) const INSIDE: &str = "inside";

/// Runs a command beside a recursion of its own.
const BESIDE_RECURSION: &str = "#!/bin/sh\n\
    sleep 10000 | recursion \"$DEPTH\" > /dev/null &\n\
    sleep 1\n\
    exec \"$@\"\n";

/// Packs it and returns the archive.
pub(super) fn initramfs(directory: &Path, program: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("could not empty {}", root.display()))?;
    }
    for part in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(part))
            .with_context(|| format!("could not create {}", root.display()))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).context(BUSYBOX)?;
    fs::copy(program, root.join("bin/profiler")).context("profiler")?;
    compile("benches/programs/recursion.c", &root.join("bin/recursion"))?;
    compile("tests/programs/kernelwork.c", &root.join("bin/kernelwork"))?;
    // By another name, because busybox has one that cannot change users.
    let setpriv = command::find("setpriv").context("setpriv is needed (util-linux)")?;
    fs::copy(setpriv, root.join("bin").join(WITH_RIGHTS)).context("setpriv")?;
    for name in ["recursion", "kernelwork", WITH_RIGHTS] {
        add_libraries(&root, &root.join("bin").join(name))?;
    }
    for (path, text) in [
        ("init", script().as_str()),
        ("bin/beside-recursion", BESIDE_RECURSION),
    ] {
        let path = root.join(path);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    pack(&root, &directory.join("initramfs.gz"))
}

fn compile(source: &str, output: &Path) -> Result<()> {
    let mut gcc = Command::new("gcc");
    command::isolate(&mut gcc);
    gcc.args(["-O2", "-g", "-pthread", "-D_GNU_SOURCE", "-o"])
        .arg(output)
        .arg(workspace::root().join(source));
    command::check(&mut gcc)
}

/// Copies the libraries of a program, and the loader, to where it looks for them.
fn add_libraries(root: &Path, program: &Path) -> Result<()> {
    let listed = command::read(Command::new("ldd").arg(program))?;
    let paths = listed.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    });
    for path in paths {
        let copy = root.join(path.strip_prefix("/").unwrap_or(&path));
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&path, &copy).with_context(|| format!("could not copy {}", path.display()))?;
    }
    Ok(())
}

/// What the guest does. It proves nothing by itself: the profiles do.
fn script() -> String {
    let mut text = "#!/bin/busybox sh\n\
        /bin/busybox --install -s /bin\n\
        export PATH=/bin\n\
        mount -t proc proc /proc\n\
        mount -t sysfs sys /sys\n\
        mount -t devtmpfs dev /dev\n\
        mount -t cgroup2 none /sys/fs/cgroup\n\
        echo 1 > /proc/sys/kernel/bpf_stats_enabled\n\
        echo \"guest: kernel $(uname -r)\"\n\
        record() {\n\
        name=$1; shift\n\
        $WITHIN profiler --log-format json -v -d 3s -F 99 -o /tmp/$name.pb.gz \"$@\" 2>&1\n\
        echo \"guest: exit code of $name: $?\"\n\
        echo \"guest: profile $name\"\n\
        [ -e /tmp/$name.pb.gz ] && base64 /tmp/$name.pb.gz\n\
        echo \"guest: end of profile\"\n\
        }\n"
    .to_owned();
    for program in ["recursion", "kernelwork"] {
        let argument = if program == "recursion" { DEPTH } else { 0 };
        // They work until their input ends.
        text += &format!("sleep 10000 | {program} {argument} > /dev/null &\n");
        text += "sleep 1\n";
    }
    for (name, program, options) in RECORDINGS {
        text += &format!("record {name} -p $(pidof {program}) {options}\n");
    }
    text += &format!(
        "export DEPTH={DEPTH}\n\
        WITHIN='unshare --mount --pid --fork --mount-proc beside-recursion'\n\
        record {INSIDE} --comm '^recursion$' --cgroup / --labels all\n"
    );
    text += &doctor::script();
    text += &limits::script();
    text += &format!("echo '{END}'\npoweroff -f\n");
    text
}

/// The archive that the kernel unpacks: `cpio` of its newc form, compressed.
fn pack(root: &Path, archive: &Path) -> Result<PathBuf> {
    let list = {
        let mut find = Command::new("find");
        command::read(find.arg(".").current_dir(root))?
    };
    let mut cpio = Command::new(BUSYBOX)
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start busybox")?;
    let mut names = cpio.stdin.take().context("cpio has no input")?;
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut names, list.as_bytes()));
    let output = cpio.stdout.take().context("cpio has no output")?;
    let file = fs::File::create(archive)
        .with_context(|| format!("could not create {}", archive.display()))?;
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::copy(&mut std::io::BufReader::new(output), &mut gzip)?;
    gzip.finish()?;
    writer
        .join()
        .ok()
        .context("cpio was not told the files")??;
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(archive.to_owned())
}
