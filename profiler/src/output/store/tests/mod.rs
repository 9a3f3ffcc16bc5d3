//! Stores in directories of the tests' own.

use crate::output::store::reading::ReadError;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

mod faults;

fn gzip(bytes: &[u8]) -> Arc<[u8]> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_582_740 + second)
}

/// A window that begins at `second`, is ten seconds long, and of somewhat more than `bytes`.
fn window(second: u64, bytes: usize) -> Window {
    let text: Vec<u8> = (0..bytes)
        .map(|index| (index as u64 * second % 251) as u8)
        .collect();
    Window {
        started_at: at(second),
        duration: Duration::from_secs(10),
        program: None,
        samples: second,
        profile: gzip(&text),
    }
}

fn settings(dir: &Path) -> StoreSettings {
    StoreSettings {
        dir: dir.to_owned(),
        retain: Duration::from_secs(1 << 40),
        max_size: 1 << 30,
        backlog: 1 << 20,
    }
}

fn open(dir: &Path) -> Store {
    Store::open(settings(dir)).unwrap()
}

/// The samples of each window that there is, which [`window`] makes its second.
fn seconds(store: &Store) -> Vec<u64> {
    store
        .list(None, None)
        .iter()
        .map(|window| window.samples)
        .collect()
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is put is listed by time and read as it was, by a restart too; nothing but whole files of mode 0640 is there.
#[test]
fn windows_outlive_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("a/b");
    let store = open(&dir);
    store.put(window(20, 3000));
    store.put(window(0, 3000));
    store.put(window(0, 2000));
    store.put(Window {
        program: Some("../x".into()),
        ..window(10, 10)
    });
    let listed = store.list(None, None);
    assert_eq!(seconds(&store), [0, 0, 10, 20]);
    assert_eq!(listed[2].program.as_deref(), Some("../x"));
    assert_eq!(
        files(&dir),
        listed
            .iter()
            .map(|window| window.name.to_string())
            .collect::<Vec<_>>()
    );
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o750
    );
    let file = dir.join(&*listed[0].name);
    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o640
    );
    drop(store);
    let again = open(&dir);
    assert_eq!(again.list(None, None), listed);
    // The one of the same time that came second has a number, and has replaced nothing.
    assert_eq!(
        again.read(&listed[0].name).unwrap(),
        window(0, 3000).profile
    );
    assert_eq!(
        again.read(&listed[1].name).unwrap(),
        window(0, 2000).profile
    );
    let span = again.list(Some(at(10)), Some(at(20)));
    assert_eq!(
        span.iter().map(|window| window.samples).collect::<Vec<_>>(),
        [10]
    );
    assert_eq!(again.list(Some(at(9)), Some(at(21))).len(), 4);
}

/// A second profiler is refused, and is let in when the first has gone.
#[test]
fn a_directory_is_of_one_profiler() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path());
    let error = Store::open(settings(home.path()))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("another profiler") && error.contains("--dir"),
        "{error}"
    );
    drop(first);
    open(home.path());
    let error = Store::open(settings(Path::new("/proc/none")))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("/proc/none") && error.contains("--dir"),
        "{error}"
    );
    let error = Store::open(settings(Path::new("/proc")))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("/proc") && error.contains("--dir"),
        "{error}"
    );
}

/// Names that are not of a window lead nowhere, least of all out of the directory.
#[test]
fn only_windows_are_read() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("windows");
    fs::write(home.path().join("secret.pb.gz"), "secret").unwrap();
    let store = open(&dir);
    store.put(window(1, 10));
    for name in [
        "",
        ".",
        "..",
        "../secret.pb.gz",
        "/etc/passwd",
        "secret.pb.gz",
    ] {
        assert!(
            matches!(store.read(name), Err(ReadError::Unknown(_))),
            "{name}"
        );
    }
    let name = store.list(None, None).remove(0).name;
    fs::remove_file(dir.join(&*name)).unwrap();
    assert!(matches!(store.read(&name), Err(ReadError::Unknown(_))));
    assert_eq!((store.counts().vanished, store.counts().on_disk), (1, 0));
}

/// The size is never more than allowed, and the oldest go first; limits that are set hold at once.
#[test]
fn retention_by_size_is_exact() {
    let home = tempfile::tempdir().unwrap();
    let one = window(1, 1000).profile.len() as u64;
    let limits = StoreSettings {
        max_size: 3 * one,
        ..settings(home.path())
    };
    let store = Store::open(limits.clone()).unwrap();
    for second in 1..=5 {
        store.put_at(window(second, 1000), at(100));
        let sizes = files(home.path())
            .into_iter()
            .map(|name| fs::metadata(home.path().join(name)).unwrap().len());
        let size: u64 = sizes.sum();
        assert_eq!(size, one * second.min(3));
        assert_eq!(size, store.counts().bytes);
    }
    assert_eq!(seconds(&store), [3, 4, 5]);
    assert_eq!(store.counts().removed_by_size, 2);
    store.put_at(window(6, 4000), at(100));
    assert_eq!(seconds(&store), [3, 4, 5]);
    assert_eq!(store.counts().too_large, 1);
    store.set(limits.retain, 2 * one);
    assert_eq!(seconds(&store), [4, 5]);
    drop(store);
    let again = Store::open(StoreSettings {
        max_size: 2 * one - 1,
        ..limits
    })
    .unwrap();
    assert_eq!(seconds(&again), [5]);
}

/// Windows go when they ended long enough ago, not before; a clock that was set back makes room for new ones.
#[test]
fn retention_by_age_is_exact() {
    let home = tempfile::tempdir().unwrap();
    let one = window(1, 1000).profile.len() as u64;
    let limits = StoreSettings {
        max_size: 2 * one,
        ..settings(home.path())
    };
    let store = Store::open(limits).unwrap();
    store.set(Duration::from_secs(100), 2 * one);
    store.put_at(window(1, 1000), at(11));
    store.put_at(window(11, 1000), at(110));
    assert_eq!(seconds(&store), [1, 11]);
    store.put_at(window(101, 1), at(111));
    assert_eq!(seconds(&store), [11, 101]);
    assert_eq!(store.counts().removed_by_age, 1);
    store.put_at(window(2, 1000), at(12));
    assert_eq!(
        seconds(&store),
        [2, 11],
        "what is of a time to come is older than what is written now"
    );
}
