//! What the profiler may do: rights that are missing are named, rights that are not needed any more are given up.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{
    Recorder, Recording, Running, Stacks, Target, copy_program, fixture, profiler, shared, skip,
};

/// The user and group that own nothing.
const NOBODY: &str = "65534";
/// Bits of include/uapi/linux/capability.h.
const GIVEN_UP: [(&str, u32); 9] = [
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SETPCAP", 8),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_MODULE", 16),
    ("CAP_SYS_RAWIO", 17),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_BOOT", 22),
    ("CAP_PERFMON", 38),
];

/// A copy of the profiler that anybody can run, and a folder that anybody can write to.
pub(super) struct Public {
    folder: tempfile::TempDir,
}

impl Public {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        copy_program(&profiler(), &folder.path().join("profiler"));
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.path().join("profiler")
    }

    /// What runs a program as nobody with these capabilities; `None` when that cannot be done here.
    #[track_caller]
    pub(super) fn as_nobody(&self, capabilities: &[&str]) -> Option<Command> {
        if Command::new("setpriv").arg("--version").output().is_err() {
            skip("setpriv is not installed (util-linux)");
            return None;
        }
        let sets: String = capabilities
            .iter()
            .map(|name| format!(",+{name}"))
            .collect();
        let sets = [
            format!("--inh-caps=-all{sets}"),
            format!("--ambient-caps=-all{sets}"),
        ];
        let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        let mut command = Command::new("setpriv");
        command.args(user).args(sets).arg("--clear-groups");
        Some(command)
    }

    /// Runs the profiler as nobody with these capabilities; `None` when that cannot be done here.
    #[track_caller]
    fn run(&self, capabilities: &[&str], pid: u32) -> Option<Recording> {
        let command = self.as_nobody(capabilities)?;
        let output = self.folder.path().join("cpu.pb.gz");
        let (program, pid) = (self.program(), pid.to_string());
        let mut args: Vec<&str> = command
            .get_args()
            .map(|argument| argument.to_str().unwrap())
            .collect();
        args.push(program.to_str().unwrap());
        args.extend([
            "--log-format",
            "json",
            "-F",
            "997",
            "-d",
            "500ms",
            "-p",
            &pid,
        ]);
        args.extend(["-o", output.to_str().unwrap()]);
        Some(
            Recorder::plain(&output, [""; 0])
                .replaced("setpriv", args)
                .run(),
        )
    }
}

fn check_missing(recording: &Recording, capability: &str, program: &str) {
    assert_eq!(recording.status.code(), Some(1), "{}", recording.stderr);
    let said = &recording.stderr;
    let named = format!("needs {capability}");
    assert!(
        said.contains(&named) && said.contains("run as root"),
        "{said}"
    );
    let (_, remedy) = said
        .split_once("sudo setcap ")
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        remedy.contains("cap_bpf,cap_perfmon") && remedy.contains(program),
        "{said}"
    );
    assert!(recording.bytes.is_none());
}

/// Without rights the missing capability is named with the line that gives it.
#[test]
fn missing_capabilities() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let public = Public::new();
    let program = public.program();
    let cases: [(&[&str], &str); 2] = [(&[], "CAP_BPF"), (&["bpf"], "CAP_PERFMON")];
    for (capabilities, missing) in cases {
        let Some(recording) = public.run(capabilities, target.pid) else {
            return;
        };
        check_missing(&recording, missing, program.to_str().unwrap());
    }
}

/// With the capabilities of that line, and no more, a process of somebody else is sampled and named.
#[test]
fn capabilities_of_the_remedy_suffice() {
    let Some(_turn) = shared() else { return };
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if paranoid.trim().parse().is_ok_and(|level: i32| level > 2) {
        skip("kernel.perf_event_paranoid is above 2: this kernel wants CAP_SYS_ADMIN");
        return;
    }
    let target = Target::spinning("spin-fp");
    let capabilities = [
        "bpf",
        "perfmon",
        "sys_ptrace",
        "checkpoint_restore",
        "dac_read_search",
        "syslog",
    ];
    let Some(recording) = Public::new().run(&capabilities, target.pid) else {
        return;
    };
    let profile = recording.profile();
    let all = Stacks::of(&profile);
    all.calling(&["leaf", "middle", "work_a", "outer", "main"])
        .assert_share(&all, 0.5, "named without root");
    let main = profile.string(profile.message().mapping[0].filename);
    assert_eq!(main, fixture("spin-fp").to_str().unwrap());
}

/// Once samples are taken, no thread of the profiler could do again what it did to get there.
#[test]
fn capabilities_are_given_up() {
    let Some(_turn) = shared() else { return };
    let target = Target::spinning("spin-fp");
    let program = fixture("spin-fp");
    let pid = target.pid.to_string();
    let cases: [&[&str]; 2] = [
        &["-F", "997", "-p", &pid],
        &["-F", "997", "--", program.to_str().unwrap(), "100"],
    ];
    for args in cases {
        let running = Recorder::new(args).start().sampling();
        let deadline = Instant::now() + Duration::from_secs(20);
        // It says that sampling began just before.
        while let Some(kept) = kept(&running) {
            assert!(Instant::now() < deadline, "{args:?}: {kept}");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        running.signal(Signal::INT);
        running.finish().profile();
    }
}

/// A capability that some thread of the profiler still has.
fn kept(running: &Running) -> Option<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
    for task in tasks {
        let status = task.unwrap().path().join("status");
        let Ok(status) = fs::read_to_string(&status) else {
            continue;
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set));
            let bits = u64::from_str_radix(line.expect("every task has it").trim(), 16).unwrap();
            let kept = GIVEN_UP.iter().find(|(_, bit)| bits >> bit & 1 == 1);
            if let Some((name, _)) = kept {
                return Some(format!("{set} {name}"));
            }
        }
    }
    None
}
