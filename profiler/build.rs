//! Embeds the BPF object that `cargo xtask build-ebpf` built, and names that command when it is missing.
//!
//! The result is `OUT_DIR/object.rs`, which defines `OBJECT: Option<&[u8]>`, aligned as an ELF reader wants it.
//! A release build without the object fails. A debug build goes on with `None` and a warning, so that
//! `cargo test` works for somebody who has no BPF toolchain. Building the object is left to xtask: this script
//! runs inside cargo, which must not be started again for another toolchain, nor install anything.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

/// Names an object built elsewhere.
const OVERRIDE: &str = "PROFILER_BPF_OBJECT";

/// The place of the object and the sources it is made from, seen from the workspace's root.
const OBJECT: &str = "target/bpf/profiler-ebpf.o";
const SOURCES: &[&str] = &["profiler-ebpf", "profiler-common"];

const REMEDY: &str = "run `cargo xtask build-ebpf`";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");

    let found = match env::var_os(OVERRIDE) {
        Some(path) => watch(Path::new(&path)).map(|()| PathBuf::from(path)),
        None => built_by_xtask(),
    };
    let code = match found {
        Ok(object) => embed(&object, &out),
        Err(reason) if is_release => {
            println!("cargo::error={reason}: {REMEDY}");
            return;
        }
        Err(reason) => {
            println!("cargo::warning={reason}, so this debug build cannot sample: {REMEDY}");
            "/// The BPF object: this build has none.\n\
             pub(crate) static OBJECT: Option<&[u8]> = None;\n"
                .to_owned()
        }
    };
    write(&out.join("object.rs"), code.as_bytes());
}

/// The object in its fixed place, unless it is missing or older than what it was made from.
fn built_by_xtask() -> Result<PathBuf, String> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = manifest.parent().expect("the package lies in a workspace");
    let object = root.join(OBJECT);
    watch(&object)?;
    // The two sides share their records' layout, so an old object is worse than none.
    let built = modified(&object);
    for source in SOURCES {
        let directory = root.join(source);
        println!("cargo::rerun-if-changed={}", directory.display());
        if let Some(newer) = newer_than(built, &directory) {
            return Err(format!("the BPF object is older than {}", newer.display()));
        }
    }
    Ok(object)
}

/// Makes cargo run this script again when the object comes, changes or goes.
fn watch(object: &Path) -> Result<(), String> {
    if object.is_file() {
        println!("cargo::rerun-if-changed={}", object.display());
        return Ok(());
    }
    // cargo takes a missing file for one that always changes, and would build the crate each time. The time
    // of its directory does what is wanted, if there is a directory.
    if let Some(directory) = object.parent()
        && fs::create_dir_all(directory).is_ok()
    {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
    Err(format!("there is no BPF object at {}", object.display()))
}

/// Copies the object and returns the code that includes the copy.
fn embed(object: &Path, out: &Path) -> String {
    let bytes = fs::read(object)
        .unwrap_or_else(|error| panic!("could not read {}: {error}", object.display()));
    write(&out.join("profiler-ebpf.o"), &bytes);
    "/// The BPF object, as `cargo xtask build-ebpf` built it.\n\
     pub(crate) static OBJECT: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(\n\
     \x20   env!(\"OUT_DIR\"),\n\
     \x20   \"/profiler-ebpf.o\"\n\
     )));\n"
        .to_owned()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes)
        .unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
}

/// A file below `directory` that has changed since `time`.
fn newer_than(time: SystemTime, directory: &Path) -> Option<PathBuf> {
    fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .find_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return newer_than(time, &path);
            }
            (modified(&path) > time).then_some(path)
        })
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|meta| meta.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
