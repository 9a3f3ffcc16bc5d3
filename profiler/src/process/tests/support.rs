//! Programs to look at and a process file system to make up, for the tests of this module and of `binary`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::addr::ProcAddr;
use crate::process::maps::parse_maps;
use crate::process::maps_line::Device;

/// Says where a function of its is, and waits until it is told to go on.
const PROGRAM: &str = r#"
#include <stdio.h>
__attribute__((noinline)) int work(int x) { return x * 7 + 1; }
int main(int argc, char **argv) {
    printf("%p\n", (void *)work);
    fflush(stdout);
    getchar();
    return work(argc) == 0;
}
"#;

/// Ends its first thread; the second tells when that has happened.
const LEADERLESS: &str = r#"
#include <pthread.h>
#include <stdio.h>
static pthread_t leader;
static void *rest(void *unused) {
    pthread_join(leader, NULL);
    printf("%p\n", (void *)rest);
    fflush(stdout);
    getchar();
    return unused;
}
int main(void) {
    pthread_t thread;
    leader = pthread_self();
    pthread_create(&thread, NULL, rest, NULL);
    pthread_exit(NULL);
}
"#;

/// Compiles the usual program.
pub(crate) fn compile(directory: &Path, name: &str, options: &[&str]) -> PathBuf {
    compile_source(directory, name, PROGRAM, options)
}

/// Compiles the program that loses its first thread.
pub(crate) fn compile_leaderless(directory: &Path) -> PathBuf {
    compile_source(directory, "leaderless", LEADERLESS, &["-pthread"])
}

fn compile_source(directory: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let source_path = directory.join(format!("{name}.c"));
    std::fs::write(&source_path, source).unwrap();
    let path = directory.join(name);
    let output = Command::new("gcc")
        .args(["-O1", "-Wl,--build-id=sha1"])
        .args(options)
        .arg("-o")
        .args([&path, &source_path])
        .output()
        .expect("gcc is needed for this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "gcc {options:?}: {errors}");
    path
}

/// The build-id that binutils finds.
pub(crate) fn readelf_build_id(path: &Path) -> Option<String> {
    let output = Command::new("readelf")
        .args(["-n", "-W"])
        .arg(path)
        .output()
        .expect("readelf is needed for this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, id) = text.split_once("Build ID: ")?;
    Some(id.lines().next()?.trim().to_owned())
}

/// The address that the symbol table has for a function.
pub(crate) fn symbol(path: &Path, name: &str) -> u64 {
    let output = Command::new("nm")
        .arg(path)
        .output()
        .expect("nm is needed for this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.ends_with(&format!(" {name}")))
        .unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

/// The C library that this test has loaded.
pub(crate) fn own_libc() -> PathBuf {
    own_library("libc.so")
}

/// The dynamic loader that this test has loaded.
pub(crate) fn own_loader() -> PathBuf {
    own_library("ld-linux")
}

fn own_library(name: &str) -> PathBuf {
    let maps = parse_maps(&std::fs::read("/proc/self/maps").unwrap());
    let line = maps.lines.iter().find(|line| {
        let file = line.path.file_name().unwrap_or_default();
        file.to_string_lossy().contains(name)
    });
    line.unwrap_or_else(|| panic!("no {name} in this process"))
        .path
        .to_path_buf()
}

/// A running program that has said where its function is.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: ProcAddr,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let digits = line.trim().trim_start_matches("0x");
        let address =
            u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{command:?} said {line:?}"));
        Self {
            child,
            address: ProcAddr(address),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the program and takes its exit status, so that its id is free.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether links in `map_files` may be followed. If not, says that a test is skipped for that, and fails
/// where nothing may be skipped.
pub(crate) fn can_follow_map_files(test: &str) -> bool {
    let links = std::fs::read_dir("/proc/self/map_files");
    let can = links.is_ok_and(|mut links| {
        links
            .next()
            .is_some_and(|link| link.is_ok_and(|link| link.path().metadata().is_ok()))
    });
    can || skip(test, "needs root or CAP_CHECKPOINT_RESTORE")
}

/// Whether this is root; if not, as [`can_follow_map_files`].
pub(crate) fn is_root(test: &str) -> bool {
    rustix::process::geteuid().is_root() || skip(test, "needs root")
}

fn skip(test: &str, reason: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test}: {reason}"
    );
    println!("SKIPPED: {test}: {reason}");
    false
}

/// A made-up process file system with one process.
pub(crate) struct Fixture {
    directory: TempDir,
}

/// The process of a [`Fixture`].
pub(crate) const PID: u32 = 4242;

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(fixture.process().join("map_files")).unwrap();
        std::fs::create_dir_all(fixture.files()).unwrap();
        symlink(fixture.files(), fixture.process().join("root")).unwrap();
        fixture.stat(1000);
        fixture
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the process.
    pub(crate) fn process(&self) -> PathBuf {
        self.root().join(PID.to_string())
    }

    /// The root directory of the process.
    pub(crate) fn files(&self) -> PathBuf {
        self.root().join("files")
    }

    pub(crate) fn maps(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.process().join("maps"), text).unwrap();
    }

    pub(crate) fn stat(&self, start_time: u64) {
        let text = format!("{PID} (a ) b) S {}{start_time} 0 0\n", "0 ".repeat(18));
        std::fs::write(self.process().join("stat"), text).unwrap();
    }

    /// Puts a file into the process's root directory; gives its device and inode as maps lines have them.
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: &[u8]) -> String {
        let path = self.files().join(name);
        std::fs::write(&path, content).unwrap();
        identity(&path)
    }

    /// Makes a `map_files` link to a file.
    pub(crate) fn link(&self, range: &str, target: &Path) {
        symlink(target, self.process().join("map_files").join(range)).unwrap();
    }
}

/// A file's device and inode as maps lines have them.
pub(crate) fn identity(path: &Path) -> String {
    let metadata = path.metadata().unwrap();
    format!("{} {}", Device::of(metadata.dev()), metadata.ino())
}
