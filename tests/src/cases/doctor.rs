//! `profiler doctor`: what it says of this machine for somebody with all rights, with some and with none, and that the
//! commands that it names mend what they say.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::rights::Public;
use crate::harness::{Setting, alone, output, profiler, shared, skip};

/// What `doctor --json` said.
struct Examination {
    document: Value,
    code: Option<i32>,
}

impl Examination {
    fn of(command: &mut Command) -> Self {
        let output = command.arg("doctor").arg("--json").output().unwrap();
        let document = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{command:?}: {error}: {output:?}"));
        let examination = Self {
            document,
            code: output.status.code(),
        };
        let can_sample = examination.document["can_sample"] == true;
        assert_eq!(examination.code, Some(i32::from(!can_sample)));
        examination
    }

    fn finding(&self, name: &str) -> &Value {
        let findings = self.document["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|finding| finding["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {:#}", self.document))
    }

    /// Checks the state of one thing and a part of what was found.
    #[track_caller]
    fn check(&self, name: &str, state: &str, found: &str) {
        let finding = self.finding(name);
        let said = finding["found"].as_str().unwrap();
        assert!(
            finding["state"] == state && said.contains(found),
            "{finding:#}"
        );
    }

    /// The command that mends a thing, without its sudo, which a test does not need.
    fn mend(&self, name: &str) -> String {
        let mend = self.finding(name)["mend"].as_str();
        let mend = mend.unwrap_or_else(|| panic!("{:#}", self.finding(name)));
        mend.strip_prefix("sudo ").unwrap_or(mend).to_owned()
    }
}

/// As root all that sampling needs is there, and the lines for people say the same as the document.
#[test]
fn root_is_told_that_all_is_well() {
    let Some(_turn) = shared() else { return };
    let examination = Examination::of(&mut Command::new(profiler()));
    assert_eq!(examination.code, Some(0));
    for finding in examination.document["findings"].as_array().unwrap() {
        if finding["needed"] == true {
            assert_eq!(finding["state"], "ok", "{finding:#}");
        }
    }
    examination.check("sampling", "ok", "samples of this process arrived");
    examination.check("map_files", "ok", "");
    let lines = output(Command::new(profiler()).arg("doctor"));
    for finding in examination.document["findings"].as_array().unwrap() {
        let (name, state) = (&finding["name"], &finding["state"]);
        let words = [state.as_str().unwrap(), name.as_str().unwrap()];
        let is_there = lines
            .lines()
            .any(|line| line.split_whitespace().take(2).eq(words));
        assert!(is_there, "{words:?}: {lines}");
    }
    assert!(lines.trim_end().ends_with("can be profiled here") || lines.contains("limitation"));
}

/// Without rights it fails and names the capabilities; the command that it names gives them.
#[test]
fn nobody_is_told_how_to_get_rights() {
    let Some(_turn) = shared() else { return };
    let public = Public::new();
    let examine = || {
        let mut command = public.as_nobody(&[])?;
        Some(Examination::of(command.arg(public.program())))
    };
    let Some(examination) = examine() else { return };
    assert_eq!(examination.code, Some(1));
    examination.check("sampling", "missing", "needs CAP_BPF");
    for name in ["CAP_BPF", "CAP_PERFMON"] {
        examination.check(name, "missing", "not in the effective set");
    }
    for name in [
        "CAP_SYS_PTRACE",
        "CAP_CHECKPOINT_RESTORE",
        "mappings",
        "map_files",
    ] {
        examination.check(name, "limited", "");
    }
    let lines = public
        .as_nobody(&[])
        .unwrap()
        .arg(public.program())
        .arg("doctor")
        .output();
    let lines = String::from_utf8(lines.unwrap().stdout).unwrap();
    let mend = examination.mend("CAP_BPF");
    assert_eq!(
        lines.matches(&format!("$ sudo {mend}\n")).count(),
        1,
        "{lines}"
    );
    assert!(lines.contains("nothing can be profiled here"), "{lines}");

    if !Path::new("/usr/sbin/setcap").exists() {
        skip("setcap is not installed (libcap2-bin)");
        return;
    }
    assert!(mend.starts_with("setcap "), "{mend}");
    output(Command::new("sh").args(["-c", &mend]));
    let mended = examine().unwrap();
    for name in [
        "CAP_BPF",
        "CAP_PERFMON",
        "bpf-maps",
        "bpf-programs",
        "map_files",
    ] {
        mended.check(name, "ok", "");
    }
    // Above 2, Debian's kernels want root whatever the capabilities are, and that has its line.
    match mended.code {
        Some(0) => mended.check("sampling", "ok", ""),
        _ => mended.check("perf_event_paranoid", "missing", "for root alone"),
    }
}

/// With part of the rights, what they allow is there, and what they do not is named.
#[test]
fn part_of_the_rights() {
    let Some(_turn) = shared() else { return };
    let public = Public::new();
    let Some(mut command) = public.as_nobody(&["bpf"]) else {
        return;
    };
    let examination = Examination::of(command.arg(public.program()));
    assert_eq!(examination.code, Some(1));
    for name in ["CAP_BPF", "bpf-maps", "ring-buffer"] {
        examination.check(name, "ok", "");
    }
    for name in ["CAP_PERFMON", "bpf-programs", "sampling"] {
        examination.check(name, "missing", "");
    }

    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all,+bpf,+perfmon"])
        .arg(profiler());
    let examination = Examination::of(&mut command);
    for name in ["CAP_BPF", "CAP_PERFMON", "bpf-programs"] {
        examination.check(name, "ok", "");
    }
    examination.check("CAP_SYS_PTRACE", "limited", "not in the bounding set");
    examination.check("map_files", "limited", "not permitted");
}

/// Rights in a user namespace are none; a pid namespace only limits what is seen.
#[test]
fn namespaces() {
    let Some(_turn) = shared() else { return };
    let works = |args: &[&str]| {
        let status = Command::new("unshare").args(args).arg("true").status();
        status.is_ok_and(|status| status.success())
    };
    let user = ["--user", "--map-root-user"];
    let pid = ["--mount", "--pid", "--fork", "--mount-proc"];
    if !works(&user) || !works(&pid) {
        skip("namespaces of its own cannot be made here");
        return;
    }
    let examination = Examination::of(Command::new("unshare").args(user).arg(profiler()));
    assert_eq!(examination.code, Some(1));
    examination.check("user-namespace", "missing", "one of its own");
    examination.check("CAP_BPF", "ok", "");
    examination.check("sampling", "missing", "initial user namespace");

    let examination = Examination::of(Command::new("unshare").args(pid).arg(profiler()));
    assert_eq!(examination.code, Some(0), "{:#}", examination.document);
    examination.check("pid-namespace", "limited", "pid:[");
}

/// Where kernel addresses are hidden from everybody that is a limit, and the command that it names shows them again.
#[test]
fn hidden_kernel_symbols() {
    let Some(_turn) = alone() else { return };
    let Some(_setting) = Setting::change("/proc/sys/kernel/kptr_restrict", "2") else {
        skip("kernel.kptr_restrict cannot be changed here");
        return;
    };
    let examination = Examination::of(&mut Command::new(profiler()));
    assert_eq!(examination.code, Some(0));
    examination.check("kernel-symbols", "limited", "kptr_restrict is 2");
    output(Command::new("sh").args(["-c", &examination.mend("kernel-symbols")]));
    let mended = Examination::of(&mut Command::new(profiler()));
    mended.check("kernel-symbols", "ok", "kernel.kptr_restrict is 1");
}
