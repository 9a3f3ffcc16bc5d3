//! Code that is in no ELF file of its own: the kernel, the vDSO, what a compiler made at run time.

use rustix::process::Signal;

use crate::harness::{Recorder, Stacks, Target, fixture, shared};

const KERNEL: &str = "[kernel.kallsyms]";

/// System calls show the kernel's functions on top of the program's, in a mapping of their own.
#[test]
fn kernel_functions() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("kernelwork-fp", "1");
    let pid = target.pid.to_string();
    let (recording, _) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    let kernel = all.through(KERNEL);
    kernel.assert_share(&all, 0.5, "in the kernel");
    let named = kernel.filter(|sample| {
        let mut frames = sample.stack.iter();
        frames.all(|frame| frame.file.as_deref() != Some(KERNEL) || !frame.functions.is_empty())
    });
    named.assert_share(&kernel, 0.99, "kernel frames with names");
    // The kernel's frames come first, the program's behind them.
    let reads = kernel
        .calling(&["vfs_read", "ksys_read"])
        .calling(&["main"]);
    reads.assert_share(&all, 0.3, "read");
    let asks = kernel.calling(&["syscall"]).calling(&["main"]);
    asks.assert_share(&all, 0.1, "getppid");
    let mapping = profile.mapping(KERNEL).unwrap();
    assert!(mapping.has_functions);
    let main = profile.string(profile.message().mapping[0].filename);
    assert_eq!(main, fixture("kernelwork-fp").to_str().unwrap());
}

/// `--no-kernel` leaves the kernel's frames out and the samples in.
#[test]
fn kernel_left_out() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("kernelwork-fp", "0.6");
    let pid = target.pid.to_string();
    let (recording, _) = Recorder::new(["-p", &pid, "-F", "997", "--no-kernel"]).run_over(target);
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    assert_eq!(all.through(KERNEL).count(), 0, "{}", all.text());
    assert!(profile.mapping(KERNEL).is_none());
    all.calling(&["main"])
        .assert_share(&all, 0.9, "user stacks of system calls");
}

/// Code of the vDSO is named in a mapping `[vdso]`, with every amount of names, for no reader can name it later.
#[test]
fn vdso() {
    let Some(_turn) = shared() else { return };
    for detail in ["full", "none"] {
        let target = Target::waiting("vdso-fp", "0.5");
        let pid = target.pid.to_string();
        let args = ["-p", &pid, "-F", "997", "--symbolize", detail];
        let (recording, _) = Recorder::new(args).run_over(target);
        let profile = recording.profile();
        let all = Stacks::of(&profile);
        let inside = all.filter(|sample| sample.stack[0].file.as_deref() == Some("[vdso]"));
        inside.assert_share(&all, 0.3, "in the vDSO");
        let named = inside.filter(|sample| {
            let functions = &sample.stack[0].functions;
            functions
                .iter()
                .any(|function| function.contains("clock_gettime"))
        });
        named.assert_share(&inside, 0.9, detail);
        let mapping = profile.mapping("[vdso]").unwrap();
        assert!(!profile.string(mapping.build_id).is_empty());
    }
}

/// Code made at run time is named by the perf map of its process, in a mapping `[jit]`, and its callers are found
/// (MP-13).
#[test]
fn jit() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("jit-fp");
    let pid = target.pid.to_string();
    // Its map of names goes with the target, so the profile is written before.
    let recording = Recorder::new(["-p", &pid, "-F", "997", "-d", "800ms"]).run();
    target.stop();
    let all = Stacks::of(&recording.profile());
    let inside = all.through("[jit]");
    inside.assert_share(&all, 0.9, "in code made at run time");
    inside
        .calling(&["jit_loop", "call_jit", "main"])
        .assert_share(&all, 0.9, "named by the perf map");
}

/// Without a perf map there is no name, but the place is right and the summary says whose fault it is.
#[test]
fn jit_without_map() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("jit-fp");
    std::fs::remove_file(format!("/tmp/perf-{}.map", target.pid)).unwrap();
    let pid = target.pid.to_string();
    let recording = Recorder::new(["-p", &pid, "-F", "997"]).start().sampling();
    std::thread::sleep(std::time::Duration::from_millis(500));
    recording.signal(Signal::INT);
    let recording = recording.finish();
    target.stop();
    let all = Stacks::of(&recording.profile());
    all.through("[jit]")
        .assert_share(&all, 0.9, "in code made at run time");
    let blamed = recording.summary()["frames_not_named"].as_array().unwrap();
    assert!(
        blamed.iter().any(|blame| blame["binary"] == "[jit]"),
        "{blamed:#?}"
    );
}
