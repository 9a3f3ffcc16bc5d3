//! `profiler serve` over HTTP: any process at any time, what there is as a whole, and clients that do not behave.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::check::{CheckedProfile, check_profile};
use crate::harness::{Client, Service, Target, alone, count_of, number_before, shared, windows};
use crate::pprof_tools::Pprof;
use crate::pprof_tools::canonical::check_merged;

/// What has not happened after this time never will.
const HANGS: Duration = Duration::from_secs(30);

fn checked(gzipped: &[u8]) -> CheckedProfile {
    check_profile(gzipped).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < HANGS, "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Anybody with `go tool pprof` gets a profile of one process, at the frequency asked for, several at once, while the
/// windows go on and lose nothing. All programs take the URL as it is.
#[test]
fn any_process_at_any_time() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut service, client) = Service::listening(folder.path(), &["--window", "1s", "-F", "99"]);
    let targets = ["spin-fp", "threads-fp"].map(Target::spinning);
    let url = |target: &Target| {
        let pid = target.pid;
        client.url(&format!(
            "/debug/pprof/profile?pid={pid}&seconds=1&frequency=499"
        ))
    };
    let fetched: Vec<(PathBuf, String)> = std::thread::scope(|scope| {
        let programs = Pprof::all().unwrap().into_iter().enumerate();
        let fetches: Vec<_> = programs
            .map(|(number, pprof)| {
                let target = &targets[number % 2];
                let path = folder.path().join(format!("fetched-{number}.pb.gz"));
                let (url, pid) = (url(target), target.pid.to_string());
                scope.spawn(move || {
                    pprof.merge(&[Path::new(&url)], &path).unwrap();
                    (path, pid)
                })
            })
            .collect();
        fetches
            .into_iter()
            .map(|fetch| fetch.join().unwrap())
            .collect()
    });
    for (path, pid) in fetched {
        let profile = checked(&fs::read(&path).unwrap());
        let count = profile.total_count();
        assert_eq!(count_of(&profile, "pid", &pid), count);
        // Two targets and the profilers share the CPUs; at 99 Hz it would be a hundred.
        assert!(count > 110, "{count}");
        assert_eq!(profile.message().period, 1_000_000_000 / 499);
    }
    service.wait_for_windows(1);
    assert!(client.metric("profiler_demand_total") >= 3.0);
    let said = service.stop();
    drop(targets);
    let sum: i64 = windows(folder.path())
        .iter()
        .filter(|window| !window.name.starts_with("fetched"))
        .map(|window| window.profile.total_count())
        .sum();
    let tried = number_before(&said, " samples tried, 0 lost;");
    assert_eq!(sum, tried, "{said}");
}

/// A client that hangs up ends its profile, and so does the end of the process, or of the service; no more than a few are
/// taken at once, and what cannot be taken is said.
#[test]
fn profiles_end_with_those_who_want_them() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (service, client) = Service::listening(folder.path(), &["--window", "60s"]);
    let running = |count: f64| {
        let client = client.clone();
        move || (client.metric("profiler_demand_running") - count).abs() < 0.5
    };
    let ask = |seconds: u32| {
        let mut stream = client.connect();
        let path = format!("/debug/pprof/profile?seconds={seconds}");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let clients: Vec<_> = (0..4).map(|_| ask(600)).collect();
    until("four running", running(4.0));
    let fifth = client.ask("/debug/pprof/profile?seconds=600", &[]);
    assert_eq!(fifth.status, 503, "{}", fifth.text());
    drop(clients);
    until("ended", running(0.0));

    let target = Target::spinning("spin-fp");
    let pid = target.pid;
    let waiting = {
        let client = client.clone();
        std::thread::spawn(move || {
            client.get(&format!("/debug/pprof/profile?pid={pid}&seconds=600"))
        })
    };
    until("running", running(1.0));
    std::thread::sleep(Duration::from_millis(300));
    drop(target);
    let profile = checked(&waiting.join().unwrap());
    assert!(count_of(&profile, "pid", &pid.to_string()) > 0);

    for (query, status, words) in [
        ("pid=4194304", 404, "there is no process 4194304"),
        ("pid=x", 400, "`x` makes no sense as `pid`"),
        ("seconds=601", 400, "from 0.1 to 600"),
        ("seconds=NaN", 400, "from 0.1 to 600"),
        ("frequency=10000000", 400, "from 1 to 10000"),
        (
            "sceonds=1",
            400,
            "what can be asked: pid, seconds, frequency",
        ),
    ] {
        let answer = client.ask(&format!("/debug/pprof/profile?{query}"), &[]);
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.text().contains(words), "{query}: {}", answer.text());
    }

    let mut last = ask(600);
    until("running", running(1.0));
    service.stop();
    let mut answer = Vec::new();
    last.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// What there is comes as it is in the files, and merged it is what pprof makes of them; of one program, it is only that.
#[test]
fn windows_one_by_one_and_merged() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut service, client) = Service::listening(folder.path(), &["--window", "1s", "-F", "199"]);
    assert_eq!(client.ask("/profiles/merge", &[]).status, 404);
    let target = Target::spinning("spin-fp");
    service.wait_for_windows(3);

    let list = client.json("/profiles");
    let list = list["windows"].as_array().unwrap();
    assert!(list.len() >= 3);
    let mut files = Vec::new();
    let mut samples = 0;
    for window in list {
        let name = window["name"].as_str().unwrap();
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(client.get(&format!("/profiles/{name}")), bytes);
        let profile = checked(&bytes);
        let message = profile.message();
        assert_eq!(window["started_at_ms"], message.time_nanos / 1_000_000);
        assert_eq!(window["samples"], profile.total_count());
        samples += profile.total_count();
        files.push(path);
    }
    let end = |window: &serde_json::Value| {
        let millis =
            window["started_at_ms"].as_f64().unwrap() + window["duration_ms"].as_f64().unwrap();
        millis / 1000.0
    };
    let until_then = format!("to={:.3}", end(&list[list.len() - 1]) - 0.001);
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    check_merged(
        &client.get(&format!("/profiles/merge?{until_then}")),
        &paths,
    );

    let first = format!("to={:.3}", end(&list[0]) - 0.001);
    check_merged(
        &client.get(&format!("/profiles/merge?{first}")),
        &paths[..1],
    );

    let own = checked(&client.get("/profiles/merge?from=-15m&comm=spin-fp"));
    let pid = target.pid.to_string();
    assert!(own.total_count() > 0);
    assert_eq!(count_of(&own, "comm", "spin-fp"), own.total_count());
    let same = checked(&client.get(&format!("/profiles/merge?from=-15m&pid={pid}&{until_then}")));
    let apart: i64 = files
        .iter()
        .map(|path| count_of(&checked(&fs::read(path).unwrap()), "pid", &pid))
        .sum();
    assert_eq!(same.total_count(), apart);
    for (query, words) in [
        ("from=-15m&comm=nobody", "has a sample in"),
        (
            "from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z",
            "the first began at 20",
        ),
    ] {
        let answer = client.ask(&format!("/profiles/merge?{query}"), &[]);
        assert_eq!(answer.status, 404, "{query}");
        assert!(answer.text().contains(words), "{query}: {}", answer.text());
    }

    let totals = client.json(&format!("/profiles/totals?{until_then}"));
    let rows = totals["windows"].as_array().unwrap().iter();
    let cells = rows.flat_map(|row| row["totals"].as_array().unwrap());
    let counted: i64 = cells.map(|cell| cell[2].as_i64().unwrap()).sum();
    assert_eq!(counted, samples);
    assert!(
        totals["programs"]
            .as_array()
            .unwrap()
            .contains(&"spin-fp".into())
    );

    let tree = client.json(&format!("/profiles/tree?pid={pid}&{until_then}"));
    let names = tree["names"].as_array().unwrap();
    assert!(names.iter().any(|name| name == "main"), "{names:?}");
    assert_eq!(tree["nodes"][0][2], apart * (1_000_000_000 / 199));
    let difference = client.json(&format!("/profiles/tree?{until_then}&before_{first}"));
    assert_eq!(difference["windows_before"], 1);
    for by in ["file", "binary"] {
        let tree = client.json(&format!("/profiles/tree?by={by}&comm=spin-fp"));
        let names = tree["names"].to_string();
        assert!(names.contains("spin"), "{names}");
    }
    for path in [
        "/profiles/../../etc/passwd",
        "/profiles/%2e%2e%2fetc%2fpasswd",
        "/profiles/x",
    ] {
        assert_eq!(client.ask(path, &[]).status, 404, "{path}");
    }
    service.stop();
}

/// Others than those on this machine need the token; without one the service does not begin, and a socket that is taken is
/// said to be. pprof passes the token as the password of any user.
#[test]
fn who_may_connect() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let (status, said) = Service::spawn(&folder.path().join("w"), args).end();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&["--listen", &address]);
    assert!(said.contains("somebody listens on"), "{said}");
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("--token-file"), "{said}");

    let token = folder.path().join("token");
    fs::write(&token, "correct-horse-battery\n").unwrap();
    let (mut service, client) = Service::listening(
        &folder.path().join("w"),
        &[
            "--window",
            "1s",
            "--listen",
            "0.0.0.0:0",
            "--token-file",
            token.to_str().unwrap(),
        ],
    );
    let client = Client::new(&format!("127.0.0.1:{}", client.address.port()));
    assert_eq!(client.ask("/healthz", &[]).status, 401);
    let wrong = [("authorization", "Bearer correct-horse-batterz")];
    assert_eq!(client.ask("/healthz", &wrong).status, 401);
    let right = [("authorization", "Bearer correct-horse-battery")];
    assert_eq!(client.ask("/healthz", &right).text(), "ok\n");
    let target = Target::spinning("spin-fp");
    let url = format!(
        "http://any:correct-horse-battery@{}/debug/pprof/profile?pid={}&seconds=0.3",
        client.address, target.pid
    );
    // Without names in the profile pprof asks for them, and has to live without.
    fs::write(folder.path().join("target.py"), "while True: pass\n").unwrap();
    let mut python = std::process::Command::new("/usr/bin/python3")
        .arg(folder.path().join("target.py"))
        .spawn()
        .unwrap();
    service.wait_for_windows(2);
    let address = client.address;
    for pprof in Pprof::all().unwrap() {
        for path in [
            format!("debug/pprof/profile?pid={}&seconds=0.3", python.id()),
            "profiles/merge?from=-15m".to_owned(),
        ] {
            let url = format!("http://any:correct-horse-battery@{address}/{path}");
            let top = pprof.top(&[], &[Path::new(&url)]).unwrap();
            assert!(top.stdout.contains("flat%"), "{}", top.stdout);
        }
    }
    python.kill().unwrap();
    python.wait().unwrap();
    let top = Pprof::current_go()
        .unwrap()
        .top(&[], &[Path::new(&url)])
        .unwrap();
    assert!(top.stdout.contains("Type: cpu"), "{}", top.stdout);
    service.stop();
}

/// 200 clients at once are all answered, garbage is refused, silence is cut off, and sampling loses nothing meanwhile.
#[test]
fn crowds_and_garbage() {
    let Some(_turn) = alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut service, client) = Service::listening(folder.path(), &["--window", "1s", "-F", "99"]);
    let target = Target::spinning("spin-fp");
    service.wait_for_windows(1);
    let silent: Vec<_> = (0..50).map(|_| client.connect()).collect();
    std::thread::scope(|scope| {
        for number in 0..200 {
            let client = client.clone();
            scope.spawn(move || {
                let paths = [
                    "/profiles",
                    "/metrics",
                    "/healthz",
                    "/profiles/merge",
                    "/debug/pprof/",
                ];
                let answer = client.ask(paths[number % paths.len()], &[]);
                assert_eq!(answer.status, 200, "{}", answer.text());
            });
        }
        for seed in 0..50_u32 {
            let client = client.clone();
            scope.spawn(move || {
                let mut stream = client.connect();
                let mut state = seed.wrapping_mul(2_654_435_761) | 1;
                let garbage: Vec<u8> = std::iter::repeat_with(|| {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    state.to_le_bytes()[0]
                })
                .take(2000)
                .collect();
                // It may have been cut off before it has said all.
                let _ = stream.write_all(&garbage);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                let text = String::from_utf8_lossy(&answer);
                assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
            });
        }
    });
    assert_eq!(client.get("/healthz"), b"ok\n");
    assert!(client.metric("profiler_http_answers_total{status=\"2xx\"}") >= 200.0);
    drop((silent, target));
    service.wait_for_windows(1);
    let said = service.stop();
    assert!(said.contains(" samples tried, 0 lost;"), "{said}");
}
