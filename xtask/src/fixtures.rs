//! `fixtures`: compiles the target programs of `tests/programs/` in all variants, into `target/fixtures/`.
//!
//! A variant is built again only when its command or one of its sources has changed: what it was built from lies
//! beside it, word for word. What each program does is said in its source, its protocol in `target.h`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, go, setup, workspace};

/// One program to build.
struct Variant {
    /// The file's name in `target/fixtures/`.
    name: &'static str,
    /// The source to compile, then what it includes.
    sources: &'static [&'static str],
    language: Language,
    /// Arguments that make the difference between variants, separated by spaces. Those for frame pointers come
    /// from the name.
    flags: &'static str,
}

#[derive(Clone, Copy)]
enum Language {
    C,
    Cpp,
    Rust,
    Go,
    /// The newest release, which is not the one that Debian has.
    CurrentGo,
    Script,
}

const SPIN: &[&str] = &["spin.c", "target.h"];
const THREADS: &[&str] = &["threads.c", "target.h"];
const KERNELWORK: &[&str] = &["kernelwork.c", "target.h"];
const LATE_DLOPEN: &[&str] = &["late_dlopen.c", "target.h"];
const SWAP_LIBS: &[&str] = &["swap_libs.c", "target.h"];
const LATE_LIB: &[&str] = &["late_lib.c", "target.h"];
const JIT: &[&str] = &["jit.c", "loop_code.h", "target.h"];
const EXEC_CHAIN: &[&str] = &["exec_chain.c", "target.h"];
const DEEP: &[&str] = &["deep.c", "target.h"];
const HOSTILE: &[&str] = &["hostile.c", "target.h"];
const MANY_MAPPINGS: &[&str] = &["many_mappings.c", "target.h"];
const OWN_TEXT: &[&str] = &["own_text.c", "loop_code.h", "target.h"];
const VDSO: &[&str] = &["vdso.c", "target.h"];
const STACKS: &[&str] = &["stacks.c", "target.h"];
const STACKS_LIB: &[&str] = &["stacks_lib.c", "target.h"];
const STACKS_CPP: &[&str] = &["stacks.cpp", "target.h"];
const STACKS_RS: &[&str] = &["stacks.rs"];
const STACKS_GO: &[&str] = &["stacks.go"];
const CRASH: &[&str] = &["crash.c"];
const PHASES_CPP: &[&str] = &["phases.cpp", "target.h"];
const PHASES_RS: &[&str] = &["phases.rs"];
const PHASES_GO: &[&str] = &["phases.go"];

const FOR_C: &[&str] = &["-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE"];
const FOR_RUST: &[&str] = &["--edition", "2024", "-C", "opt-level=2", "-D", "warnings"];

/// The second is for functions that call nothing, the third for `LEAF_FRAME` in `target.h`.
const C_FRAME_POINTERS: &[&str] = &[
    "-fno-omit-frame-pointer",
    "-mno-omit-leaf-frame-pointer",
    "-DFRAME_POINTERS",
];
const RUST_FRAME_POINTERS: &[&str] = &["-C", "force-frame-pointers=yes"];

/// Go 1.23 and earlier write a GNU build-id only when they are given its bytes.
const GO_BUILD_ID: &str = "-ldflags=-B=0x0123456789abcdef0123456789abcdef01234567";

/// Names end in `-fp` where the program keeps frame pointers. Without a word on it, a program is
/// position-independent, linked by GNU ld, and has debug information and a build-id. Go programs always keep
/// frame pointers; Go gives a GNU build-id only when it is told one.
const VARIANTS: &[Variant] = &[
    c("spin", SPIN, "-g"),
    c("spin-nodebug", SPIN, ""),
    c("spin-nopie", SPIN, "-g -no-pie -fno-pie"),
    c("spin-lld", SPIN, "-g -fuse-ld=lld"),
    c("spin-static", SPIN, "-g -static"),
    c("spin-stripped", SPIN, "-s"),
    c("spin-static-pie", SPIN, "-g -static-pie"),
    // Its functions are in the table that the dynamic linker needs.
    c("spin-exporting", SPIN, "-s -rdynamic"),
    c("spin-fp", SPIN, "-g"),
    c("spin-nodebug-fp", SPIN, ""),
    c("spin-nopie-fp", SPIN, "-g -no-pie -fno-pie"),
    c("spin-lld-fp", SPIN, "-g -fuse-ld=lld"),
    c(
        "spin-lld-nopie-fp",
        SPIN,
        "-g -fuse-ld=lld -no-pie -fno-pie",
    ),
    c("spin-static-fp", SPIN, "-g -static"),
    c("spin-stripped-fp", SPIN, "-s"),
    c("spin-nobuildid-fp", SPIN, "-g -Wl,--build-id=none"),
    c("threads", THREADS, "-g -pthread"),
    c("threads-fp", THREADS, "-g -pthread"),
    c("kernelwork", KERNELWORK, "-g"),
    c("kernelwork-fp", KERNELWORK, "-g"),
    // Loaded by both variants of late_dlopen, which look for this name.
    c(
        "late_lib.so",
        LATE_LIB,
        "-g -shared -fPIC -fno-omit-frame-pointer -DFRAME_POINTERS",
    ),
    // Loaded by swap_libs, which keep no frame pointers: only their own rows lead out of them.
    c("first_lib.so", LATE_LIB, "-g -shared -fPIC -DFIRST"),
    c("second_lib.so", LATE_LIB, "-g -shared -fPIC -DSECOND"),
    c("swap_libs", SWAP_LIBS, "-g"),
    c("late_dlopen", LATE_DLOPEN, "-g"),
    c("late_dlopen-fp", LATE_DLOPEN, "-g"),
    c("jit-fp", JIT, "-g"),
    c("exec_chain-fp", EXEC_CHAIN, "-g"),
    c("deep-fp", DEEP, "-g"),
    c("vdso-fp", VDSO, "-g"),
    c("crash", CRASH, "-g -pthread"),
    c("hostile", HOSTILE, "-g"),
    c("hostile-no-file", HOSTILE, "-g -DIN_NO_FILE"),
    c("many_mappings", MANY_MAPPINGS, "-g"),
    c("own_text", OWN_TEXT, "-g"),
    c("own_text-nopie", OWN_TEXT, "-g -no-pie -fno-pie"),
    c("own_text-lld", OWN_TEXT, "-g -fuse-ld=lld"),
    variant("phases-cpp", PHASES_CPP, Language::Cpp, "-g"),
    variant("phases-cpp-fp", PHASES_CPP, Language::Cpp, "-g"),
    variant("phases-rust", PHASES_RS, Language::Rust, "-C debuginfo=2"),
    variant(
        "phases-rust-fp",
        PHASES_RS,
        Language::Rust,
        "-C debuginfo=2",
    ),
    variant("phases-go", PHASES_GO, Language::Go, ""),
    variant("phases-go-gnuid", PHASES_GO, Language::Go, GO_BUILD_ID),
    variant("phases-go-current", PHASES_GO, Language::CurrentGo, ""),
    // Functions of equal code must stay different functions.
    c("stacks", STACKS, "-g -pthread -fno-ipa-icf"),
    // Loaded by `stacks`, which looks for this name.
    c("stacks_lib.so", STACKS_LIB, "-g -shared -fPIC"),
    variant("stacks-cpp", STACKS_CPP, Language::Cpp, "-g -fno-ipa-icf"),
    variant(
        "stacks-rust",
        STACKS_RS,
        Language::Rust,
        "-C debuginfo=1 --crate-name stacks",
    ),
    variant(
        "stacks-rust-abort-fp",
        STACKS_RS,
        Language::Rust,
        "-C debuginfo=1 --crate-name stacks -C panic=abort -C force-unwind-tables=no",
    ),
    variant("stacks-go", STACKS_GO, Language::Go, ""),
    variant("stacks-go-current", STACKS_GO, Language::CurrentGo, ""),
    variant("short.sh", &["short.sh"], Language::Script, ""),
];

/// `cargo xtask fixtures`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    setup::for_tests()?;
    println!("{} programs in {}", VARIANTS.len(), build()?.display());
    Ok(())
}

/// Builds what is missing or has changed and returns the directory.
pub(crate) fn build() -> Result<PathBuf> {
    let directory = workspace::target().join("fixtures");
    let origins = directory.join("built-from");
    fs::create_dir_all(&origins)
        .with_context(|| format!("could not create {}", origins.display()))?;
    let current_go = go::ensure(&workspace::target())?;
    for variant in VARIANTS {
        let program = directory.join(variant.name);
        let origin = origins.join(variant.name);
        let now = variant.origin(&program, &current_go)?;
        if program.is_file() && fs::read_to_string(&origin).is_ok_and(|then| then == now) {
            continue;
        }
        println!("building {}", program.display());
        // Removed first: a process that still runs the old file keeps it, and a failure leaves nothing behind.
        let _ = fs::remove_file(&program);
        command::check(&mut variant.command(&program, &current_go))
            .with_context(|| format!("could not build the target program {}", variant.name))?;
        fs::write(&origin, now).with_context(|| format!("could not write {}", origin.display()))?;
    }
    Ok(directory)
}

impl Variant {
    fn command(&self, program: &Path, current_go: &Path) -> Command {
        let keeps_frame_pointers = self.name.ends_with("-fp");
        let (compiler, always, frame_pointers): (&Path, &[&str], &[&str]) = match self.language {
            Language::C => (Path::new("gcc"), FOR_C, C_FRAME_POINTERS),
            Language::Cpp => (Path::new("g++"), FOR_C, C_FRAME_POINTERS),
            Language::Rust => (Path::new("rustc"), FOR_RUST, RUST_FRAME_POINTERS),
            Language::Go => (Path::new("go"), &["build"], &[]),
            Language::CurrentGo => (current_go, &["build"], &[]),
            Language::Script => (Path::new("install"), &["-m", "755"], &[]),
        };
        let mut command = Command::new(compiler);
        command::isolate(&mut command);
        command.current_dir(workspace::root()).args(always);
        if keeps_frame_pointers {
            command.args(frame_pointers);
        }
        command.args(self.flags.split_whitespace());
        let source = source(self.sources[0]);
        match self.language {
            Language::Script => command.arg(source).arg(program),
            Language::C => command
                .arg("-o")
                .arg(program)
                .arg(source)
                .args(["-ldl", "-lm"]),
            _ => command.arg("-o").arg(program).arg(source),
        };
        if matches!(self.language, Language::Go | Language::CurrentGo) {
            // One file without a module, and nothing from or for other builds of the same person.
            command
                .env("GO111MODULE", "off")
                .env("GOFLAGS", "")
                .env("GOTOOLCHAIN", "local")
                .env("GOCACHE", workspace::target().join("go-cache"));
        }
        command
    }

    /// All that the program depends on: the command and the text of the sources.
    fn origin(&self, program: &Path, current_go: &Path) -> Result<String> {
        let mut text = command::shown(&self.command(program, current_go));
        for name in self.sources {
            let path = source(name);
            let source = fs::read_to_string(&path)
                .with_context(|| format!("could not read {}", path.display()))?;
            text.push('\n');
            text.push_str(&source);
        }
        Ok(text)
    }
}

const fn c(name: &'static str, sources: &'static [&'static str], flags: &'static str) -> Variant {
    variant(name, sources, Language::C, flags)
}

const fn variant(
    name: &'static str,
    sources: &'static [&'static str],
    language: Language,
    flags: &'static str,
) -> Variant {
    Variant {
        name,
        sources,
        language,
        flags,
    }
}

fn source(name: &str) -> PathBuf {
    workspace::root().join("tests/programs").join(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{VARIANTS, source};
    use crate::workspace;

    /// Two variants of one name would overwrite each other.
    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = VARIANTS.iter().map(|variant| variant.name).collect();
        assert_eq!(names.len(), VARIANTS.len());
    }

    /// A source that no variant is built from is a test that was meant and never written.
    #[test]
    fn every_source_is_used() {
        let used: BTreeSet<_> = VARIANTS
            .iter()
            .flat_map(|variant| variant.sources)
            .map(|name| source(name))
            .collect();
        let programs = workspace::files_below(&workspace::root().join("tests/programs")).unwrap();
        assert_eq!(programs.into_iter().collect::<BTreeSet<_>>(), used);
    }

    /// What decides on a rebuild differs as soon as a flag or a source differs.
    #[test]
    fn origin_tells_variants_apart() {
        let program = Path::new("/nowhere/program");
        let go = Path::new("/nowhere/go");
        let origins: BTreeSet<_> = VARIANTS
            .iter()
            .map(|variant| variant.origin(program, go).unwrap())
            .collect();
        assert_eq!(origins.len(), VARIANTS.len());
        let text = fs::read_to_string(source("target.h")).unwrap();
        assert!(VARIANTS[0].origin(program, go).unwrap().ends_with(&text));
    }
}
