//! Threads and processes: labels, several targets at once, all of the machine.

use crate::harness::{Recorder, Stacks, Target, shared};

/// Each thread's samples carry its name and id and are in its own function.
#[test]
fn thread_names() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("threads-fp");
    let pid = target.pid.to_string();
    let recording = Recorder::new(["-p", &pid, "-F", "997", "-d", "1s"]).run();
    let tids = target.threads();
    target.stop();
    let all = Stacks::of(&recording.profile());
    for (thread, function) in [
        ("alpha", "alpha_work"),
        ("beta", "beta_work"),
        ("gamma", "gamma_work"),
    ] {
        let own = all.labelled("thread", thread);
        own.assert_share(&all, 0.1, thread);
        own.calling(&["turn", function, "run"])
            .assert_share(&own, 0.9, function);
        let ids = own.values("tid");
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert!(tids.contains(&ids[0].parse().unwrap()), "{ids:?}, {tids:?}");
    }
    assert_eq!(all.values("pid"), [pid]);
    assert_eq!(all.values("comm"), ["threads-fp"]);
}

/// Two processes in one profile are told apart by their labels; the main binary is one of theirs.
#[test]
fn two_processes() {
    let Some(_turn) = shared() else { return };
    let (spin, other) = (
        Target::spinning("spin-fp"),
        Target::spinning("phases-cpp-fp"),
    );
    let pids = format!("{},{}", spin.pid, other.pid);
    let recording = Recorder::new(["-p", &pids, "-F", "997", "-d", "1s"]).run();
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    for (target, function) in [(&spin, "outer"), (&other, "main")] {
        let own = all.labelled("pid", &target.pid.to_string());
        own.assert_share(&all, 0.15, function);
        own.calling(&[function]).assert_share(&own, 0.9, function);
    }
    assert_eq!(all.values("pid").len(), 2);
    let main = profile.string(profile.message().mapping[0].filename);
    let targets = [&spin.path, &other.path];
    assert!(
        targets.iter().any(|path| path.to_str() == Some(main)),
        "{main}"
    );
    assert_eq!(recording.summary()["processes"], 2);
}

/// With `--all` every process that uses the CPU is there, under its own name.
#[test]
fn all_processes() {
    let Some(_turn) = shared() else { return };
    let targets = ["spin-fp", "phases-cpp-fp", "kernelwork-fp"].map(Target::spinning);
    let recording = Recorder::new(["-a", "-F", "499", "-d", "1500ms"]).run();
    let all = Stacks::of(&recording.profile());
    for target in &targets {
        let own = all.labelled("pid", &target.pid.to_string());
        assert!(
            own.count() > 20,
            "{}: {}",
            target.path.display(),
            all.text()
        );
        own.through(target.path.to_str().unwrap())
            .assert_share(&own, 0.8, "in its own program");
    }
}

/// The recording ends when the last of the processes asked for has ended.
#[test]
fn ends_with_its_targets() {
    let Some(_turn) = shared() else { return };
    let mut targets = [(); 2].map(|()| Target::waiting("spin-fp", "0.3"));
    let pids = targets.each_ref().map(|target| target.pid.to_string());
    let recording = Recorder::new(["-p", &pids[0], "-p", &pids[1], "-F", "997"]).start();
    let recording = recording.sampling();
    for target in &mut targets {
        target.begin();
    }
    let reports = targets.map(Target::finish);
    let recording = recording.finish();
    assert_eq!(recording.summary()["ended"], "targets-gone");
    let all = Stacks::of(&recording.profile());
    assert_eq!(all.values("pid").len(), reports.len());
}
