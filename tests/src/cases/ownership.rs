//! Under sudo: the profile and the started command belong to the user who called it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::harness::{Recorder, Recording, fixture, shared, skip};

/// A user database for one mount namespace: nothing on the machine is changed.
const SCRIPT: &str = r#"
    mount --bind "$USERS/passwd" /etc/passwd && mount --bind "$USERS/group" /etc/group \
        || { echo cannot mount; exit 0; }
    exec "$@""#;
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ntester:x:4711:4712::/home/tester:/bin/sh\n";
const GROUP: &str = "root:x:0:\ntester:x:4712:\nfirst:x:4713:tester\nsecond:x:4714:tester,root\nthird:x:4715:root\n";

/// Runs a command under the profiler as sudo would start it for the user with this id.
fn under_sudo(uid: &str, script: &str) -> Recording {
    let users = tempfile::tempdir().unwrap();
    fs::write(users.path().join("passwd"), PASSWD).unwrap();
    fs::write(users.path().join("group"), GROUP).unwrap();
    Recorder::new(["-F", "997", "--", "sh", "-c", script])
        .wrapped(&["unshare", "--mount", "sh", "-c", SCRIPT, "sh"])
        .env("USERS", users.path())
        .env("SUDO_UID", uid)
        .env("SUDO_GID", "4712")
        .env("SUDO_USER", "tester")
        .run()
}

#[track_caller]
fn is_skipped(recording: &Recording) -> bool {
    let skipped = recording.stdout.starts_with(b"cannot mount")
        || recording.stderr.contains("unshare failed");
    if skipped {
        skip("a mount namespace of its own cannot be made here");
    }
    skipped
}

/// The file is the user's; the command has the user's ids, all of the user's groups, home and name, and no rights.
#[test]
fn command_and_profile_are_the_users() {
    let Some(_turn) = shared() else { return };
    let script = format!(
        "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status; {} 0.3",
        fixture("spin-fp").display()
    );
    let recording = under_sudo("4711", &script);
    if is_skipped(&recording) {
        return;
    }
    recording.profile();
    let printed = String::from_utf8(recording.stdout.clone()).unwrap();
    let mut lines = printed.lines();
    let mut next = || lines.next().unwrap_or_else(|| panic!("{printed}"));
    assert_eq!((next(), next()), ("4711", "4712"));
    let mut groups: Vec<&str> = next().split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["4712", "4713", "4714"]);
    assert_eq!(next(), "/home/tester tester tester");
    for _ in 0..3 {
        assert!(next().ends_with("\t0000000000000000"), "{printed}");
    }
    let meta = fs::metadata(&recording.path).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (4711, 4712));
}

/// A user id that no user has is named.
#[test]
fn unknown_user() {
    let Some(_turn) = shared() else { return };
    let recording = under_sudo("4799", "exit 0");
    if is_skipped(&recording) {
        return;
    }
    assert_eq!(recording.status.code(), Some(1), "{}", recording.stderr);
    assert!(
        recording.stderr.contains("4799") && recording.stderr.contains("SUDO_UID"),
        "{}",
        recording.stderr
    );
}

/// Without sudo, and for root calling sudo, everything stays root's.
#[test]
fn root_stays_root() {
    let Some(_turn) = shared() else { return };
    let script = format!("id -u; {} 0.2", fixture("spin-fp").display());
    let plain = Recorder::new(["-F", "997", "--", "sh", "-c", &script]).run();
    let by_root = under_sudo("0", &script);
    if is_skipped(&by_root) {
        return;
    }
    for recording in [plain, by_root] {
        recording.profile();
        assert!(recording.stdout.starts_with(b"0\n"));
        assert_eq!(fs::metadata(&recording.path).unwrap().uid(), 0);
    }
}
