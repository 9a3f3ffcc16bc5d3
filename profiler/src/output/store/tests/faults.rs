//! Crashes, and file systems that refuse.

use std::process::Command;

use super::*;
use crate::output::store::reading::ReadError;

/// The variable that says to a test that it runs in mounts of its own.
const IN_OWN_MOUNTS: &str = "PROFILER_TEST_IN_OWN_MOUNTS";

/// What a crash has left is removed, what others have put there stays and does not count.
#[test]
fn crashes_and_others_leave_things() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    for second in [1, 2, 3, 4] {
        store.put(window(second, 1000));
    }
    let names: Vec<_> = store
        .list(None, None)
        .into_iter()
        .map(|window| window.name)
        .collect();
    drop(store);
    let cut = |name: &str, length| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(home.path().join(name))
            .unwrap();
        file.set_len(length).unwrap();
    };
    cut(&names[3], 0);
    cut(&names[2], 1000);
    cut(&names[0], 1001);
    fs::write(home.path().join(".window-abc.tmp"), "half").unwrap();
    fs::write(home.path().join("notes.txt"), vec![0; 5000]).unwrap();
    std::os::unix::fs::symlink(
        "/etc/passwd",
        home.path().join(names[3].replace("-4.", "-5.")),
    )
    .unwrap();
    let store = open(home.path());
    assert_eq!(seconds(&store), [1, 2]);
    assert_eq!(store.counts().damaged, 2);
    assert!(matches!(store.read(&names[0]), Err(ReadError::Damaged(_))));
    assert_eq!(store.counts().damaged, 3);
    assert_eq!(store.read(&names[1]).unwrap(), window(2, 1000).profile);
    assert_eq!(store.counts().bytes, window(2, 1000).profile.len() as u64);
    store.set(Duration::ZERO, 0);
    assert_eq!(
        files(home.path()),
        [&names[3].replace("-4.", "-5."), "notes.txt"]
    );
}

/// Where nothing can be written windows stay in memory, the latest up to the bound, and are written when it goes again.
#[test]
fn a_directory_that_goes_and_comes() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("windows");
    let one = window(1, 1000).profile.len() as u64;
    let store = Store::open(StoreSettings {
        backlog: 2 * one,
        ..settings(&dir)
    })
    .unwrap();
    store.put(window(1, 1000));
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    for second in [2, 3, 4] {
        store.put(window(second, 1000));
    }
    assert_eq!(seconds(&store), [3, 4]);
    let counts = store.counts();
    assert!(counts.is_paused);
    assert_eq!(
        (counts.vanished, counts.dropped, counts.failed_writes),
        (1, 1, 3)
    );
    assert_eq!(
        (counts.in_memory, counts.bytes_in_memory, counts.on_disk),
        (2, 2 * one, 0)
    );
    let name = store.list(None, None).remove(0).name;
    assert_eq!(store.read(&name).unwrap(), window(3, 1000).profile);
    fs::remove_file(&dir).unwrap();
    store.put(window(5, 1000));
    assert_eq!(files(&dir).len(), 3);
    assert_eq!(
        (store.counts().is_paused, store.counts().in_memory),
        (false, 0)
    );
    assert_eq!(store.read(&name).unwrap(), window(3, 1000).profile);
}

/// Runs `test` again where it may mount: in user and mount namespaces of its own. True where it is there already.
fn in_own_mounts(test: &str) -> bool {
    if std::env::var_os(IN_OWN_MOUNTS).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(IN_OWN_MOUNTS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{errors}"
    );
    false
}

fn mount(options: &str, dir: &Path) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir);
    assert!(mount.status().unwrap().success());
}

/// A full disk: writing pauses, nothing half is there, and what waited is written when there is room.
#[test]
fn a_full_disk() {
    if !in_own_mounts("output::store::tests::faults::a_full_disk") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    mount("size=64k", home.path());
    let store = open(home.path());
    store.put(window(1, 1000));
    let ballast = home.path().join("ballast");
    assert!(fs::write(&ballast, vec![0; 1 << 20]).is_err());
    for second in [2, 3] {
        store.put(window(second, 20_000));
    }
    assert_eq!(files(home.path()).len(), 2, "no unfinished file stays");
    assert_eq!(
        (store.counts().is_paused, store.counts().in_memory),
        (true, 2)
    );
    assert_eq!(seconds(&store), [1, 2, 3]);
    drop(store);
    let store = open(home.path());
    assert_eq!(
        seconds(&store),
        [1],
        "a full disk does not hinder the start"
    );
    store.put(window(2, 20_000));
    fs::remove_file(ballast).unwrap();
    store.put(window(3, 20_000));
    assert!(!store.counts().is_paused);
    drop(store);
    let store = open(home.path());
    assert_eq!(seconds(&store), [1, 2, 3]);
    for window in store.list(None, None) {
        store.read(&window.name).unwrap();
    }
}

/// A disk that becomes read-only and writable again; a start on a read-only one is refused.
#[test]
fn a_read_only_disk() {
    if !in_own_mounts("output::store::tests::faults::a_read_only_disk") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    mount("size=1m", home.path());
    let store = open(home.path());
    store.put(window(1, 1000));
    mount("remount,ro", home.path());
    store.put(window(2, 1000));
    assert_eq!(
        (store.counts().is_paused, store.counts().in_memory),
        (true, 1)
    );
    assert_eq!(seconds(&store), [1, 2]);
    mount("remount,rw", home.path());
    store.put(window(3, 1000));
    assert_eq!(
        (store.counts().is_paused, files(home.path()).len()),
        (false, 3)
    );
    drop(store);
    mount("remount,ro", home.path());
    let error = Store::open(settings(home.path()))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("Read-only") && error.contains("--dir"),
        "{error}"
    );
}
