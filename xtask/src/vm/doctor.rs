//! `profiler doctor` in the guests: what only other kernels have. Debian's want root for perf events whatever the rights are,
//! and those before 5.11 count BPF maps as locked memory.

use super::guest::EXIT_CODE;

/// In front of what `doctor` prints, with the name of the case behind it.
const BEGINS: &str = "guest: doctor ";

/// Who runs it, by the name of the case, and the thing that has to be missing.
struct Case {
    name: &'static str,
    /// Shell code; `doctor` follows it.
    by: &'static str,
    missing: Option<&'static str>,
    /// Part of the command that mends that.
    mend: &'static str,
    /// The first series on which nothing is missing.
    until: Option<(u64, u64)>,
}

const NOBODY: &str = "with-rights --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+bpf,+perfmon --ambient-caps=-all,+bpf,+perfmon";

const CASES: [Case; 4] = [
    Case {
        name: "root",
        by: "",
        missing: None,
        mend: "",
        until: None,
    },
    // Debian's kernels begin with 3.
    Case {
        name: "paranoid",
        by: "ulimit -l unlimited; $NOBODY",
        missing: Some("perf_event_paranoid"),
        mend: "$ sudo sysctl kernel.perf_event_paranoid=2",
        until: None,
    },
    Case {
        name: "mended",
        by: "ulimit -l unlimited; sysctl -w kernel.perf_event_paranoid=2; $NOBODY",
        missing: None,
        mend: "",
        until: None,
    },
    Case {
        name: "memory",
        by: "ulimit -l 64; with-rights --bounding-set=-sys_resource",
        missing: Some("locked-memory"),
        mend: "--memlock=unlimited",
        until: Some((5, 11)),
    },
];

/// What the guest runs.
pub(super) fn script() -> String {
    let mut text = format!("NOBODY='{NOBODY}'\n");
    for Case { name, by, .. } in CASES {
        text += &format!(
            "echo '{BEGINS}{name}'\n({by} profiler doctor 2>&1)\necho \"{EXIT_CODE}doctor {name}: $?\"\n"
        );
    }
    text
}

/// What is wrong with what it printed.
pub(super) fn failures(text: &str, series: (u64, u64)) -> Vec<String> {
    let failure = |case: &Case| check(case, text, series).err();
    CASES.iter().filter_map(failure).collect()
}

fn check(case: &Case, text: &str, series: (u64, u64)) -> Result<(), String> {
    let name = case.name;
    let (begins, ends) = (
        format!("{BEGINS}{name}\n"),
        format!("{EXIT_CODE}doctor {name}: "),
    );
    let (said, rest) = text
        .split_once(&begins)
        .and_then(|(_, rest)| rest.split_once(&ends))
        .ok_or_else(|| format!("doctor {name}: it was not run"))?;
    let code = rest.lines().next().unwrap_or_default().trim();
    let missing = case
        .missing
        .filter(|_| case.until.is_none_or(|until| series < until));
    let wanted = if missing.is_some() { "1" } else { "0" };
    if code != wanted {
        return Err(format!(
            "doctor {name}: it ended with {code}, not {wanted}: {said}"
        ));
    }
    let Some(missing) = missing else {
        return Ok(());
    };
    let is_named = said
        .lines()
        .any(|line| line.split_whitespace().take(2).eq(["missing", missing]));
    if is_named && said.contains(case.mend) {
        return Ok(());
    }
    Err(format!(
        "doctor {name}: {missing} or what mends it is not named: {said}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(memory: &str, code: u8) -> String {
        let mut text = String::from("x\n");
        for (name, said, code) in [
            ("root", "ok  sampling", 0),
            (
                "paranoid",
                "missing  perf_event_paranoid  3\n $ sudo sysctl kernel.perf_event_paranoid=2",
                1,
            ),
            ("mended", "ok  sampling", 0),
            ("memory", memory, code),
        ] {
            text += &format!("{BEGINS}{name}\n{said}\n{EXIT_CODE}doctor {name}: {code}\n");
        }
        text
    }

    /// What has to be missing on a kernel is, with the command; a case that was not run or ended otherwise is a failure.
    #[test]
    fn what_guests_say() {
        const MISSING: &str = "missing  locked-memory  64 KiB\n $ sudo prlimit --memlock=unlimited";
        let old = (5, 10);
        assert!(failures(&console(MISSING, 1), old).is_empty());
        assert!(failures(&console("ok  locked-memory", 0), (6, 1)).is_empty());
        for (text, series) in [
            (console("ok  locked-memory", 0), old),
            (console("missing  locked-memory", 1), old),
            (console(MISSING, 1), (6, 1)),
        ] {
            let failures = failures(&text, series);
            assert_eq!(failures.len(), 1, "{failures:?}");
        }
        assert_eq!(failures("", old).len(), CASES.len());
    }
}
