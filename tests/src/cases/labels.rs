//! Labels on request, and what pprof's tools make of them.

use std::ffi::OsStr;

use crate::harness::{Cgroup, Recorder, Stacks, Target, enter, shared, skip};
use crate::pprof_tools::Pprof;

const CONTAINER: &str = "3c5c0b7b1f0a4a5e8d9f6b2c1e0d7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f";

/// The keys of all labels that samples have.
fn keys(stacks: &Stacks) -> Vec<&'static str> {
    let known = [
        "pid",
        "host_pid",
        "ns_pid",
        "tid",
        "comm",
        "thread",
        "cgroup",
        "container",
        "cpu",
        "state",
    ];
    let has = |key: &&str| !stacks.values(key).is_empty();
    known.into_iter().filter(has).collect()
}

/// There are the labels that were asked for and no others; without any, equal stacks of two processes are one.
#[test]
fn a_choice_of_labels() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("kernelwork-fp");
    let pid = target.pid.to_string();
    let with = |labels: &[&str]| {
        let recorder = Recorder::new(
            ["-p", &pid, "-F", "997", "-d", "500ms"]
                .iter()
                .chain(labels),
        );
        Stacks::of(&recorder.run().profile())
    };
    assert_eq!(keys(&with(&[])), ["pid", "tid", "comm", "thread"]);
    assert_eq!(keys(&with(&["--labels", "none"])), Vec::<&str>::new());
    let chosen = with(&["--labels", "state,cpu"]);
    assert_eq!(keys(&chosen), ["cpu", "state"]);
    assert_eq!(chosen.values("state"), ["kernel", "user"]);
    let kernel = chosen.labelled("state", "kernel");
    let in_kernel = |stacks: &Stacks| stacks.through("[kernel.kallsyms]").count();
    assert_eq!(in_kernel(&kernel), kernel.count(), "{}", kernel.text());
    assert_eq!(in_kernel(&chosen.labelled("state", "user")), 0);
    // The state is known without the kernel's part of the stacks.
    let without = with(&["--labels", "state", "--no-kernel"]);
    assert_eq!(without.values("state"), ["kernel", "user"]);
    assert_eq!(in_kernel(&without), 0);
    target.stop();
}

/// A sample has the control group that its task was in then, and the container that this is of; also when the process
/// and the group are gone.
#[test]
fn control_group_and_container() {
    let Some(_turn) = shared() else { return };
    let Some(cgroup) = Cgroup::new("labels") else {
        skip("no control groups of version 2 can be made here");
        return;
    };
    let container = cgroup.child(&format!("docker-{CONTAINER}.scope"));
    let plain = cgroup.child("plain.service");
    let mut target = Target::waiting("spin-fp", "0.8");
    let pid = target.pid;
    enter(&container, pid);
    let args = ["--labels", "pid,cgroup,container", "-F", "997", "-p"];
    let recorder = Recorder::new(
        args.iter()
            .map(|arg| (*arg).to_owned())
            .chain([pid.to_string()]),
    );
    let running = recorder.start().sampling();
    target.begin();
    std::thread::sleep(std::time::Duration::from_millis(300));
    enter(&plain, pid);
    target.finish();
    std::fs::remove_dir(&container).unwrap();
    let all = Stacks::of(&running.finish().profile());
    let mut expected = [cgroup.path_of(&container), cgroup.path_of(&plain)];
    expected.sort_unstable();
    assert_eq!(all.values("cgroup"), expected, "{}", all.text());
    let before = all.labelled("cgroup", &cgroup.path_of(&container));
    assert!(before.count() > 10, "{}", all.text());
    assert_eq!(
        before.labelled("container", CONTAINER).count(),
        before.count()
    );
    assert_eq!(all.values("container"), [CONTAINER]);
    let after = all.labelled("cgroup", &cgroup.path_of(&plain));
    assert_eq!(after.values("container"), Vec::<String>::new());
}

/// The labels are there for pprof's options that work with them.
#[test]
fn labels_in_pprof() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("threads-fp");
    let pid = target.pid.to_string();
    let args = ["-p", &pid, "-F", "997", "-d", "500ms", "--labels", "all"];
    let recording = Recorder::new(args).run();
    target.stop();
    recording.profile();
    for pprof in Pprof::all().unwrap() {
        let check = |options: &[&str], wanted: &[&str], unwanted: &str| {
            let options = options.iter().map(OsStr::new);
            let printed = pprof
                .run(options.chain([recording.path.as_os_str()]))
                .unwrap();
            let (text, name) = (printed.stdout, pprof.name());
            for part in wanted {
                assert!(text.contains(part), "{name}: no {part} in\n{text}");
            }
            assert!(!text.contains(unwanted), "{name}: {unwanted} in\n{text}");
        };
        let keys = ["pid", "tid", "comm", "thread", "cpu", "state"].map(|key| format!(" {key}: "));
        check(&["-tags"], &keys.each_ref().map(String::as_str), "pprof::");
        check(
            &["-top", "-tagfocus=thread=alpha"],
            &["alpha_work"],
            "beta_work",
        );
        check(
            &["-top", "-cum", "-tagroot=thread", "-tagleaf=state"],
            &["  alpha\n", "  beta\n", "  gamma\n", "  user\n"],
            "no samples",
        );
    }
}
