//! `profiler serve` in the guests, within the limits of its systemd unit: control groups of version 2, which count BPF maps as
//! memory of the service since Linux 5.11, are not on every machine that tests run on.

use super::guest::EXIT_CODE;

const UNIT: &str = include_str!("../../../packaging/profiler.service");

/// The control group, and how the service is called in what the guest says.
const GROUP: &str = "serve";
/// How long it runs, in seconds: some windows, and tables of all that runs.
const SECONDS: u32 = 15;
const LEAST_WINDOWS: u64 = 3;

/// In front of the bytes that it has at a time.
const MEMORY: &str = "guest: memory of serve: ";
/// In front of the lines of `memory.events`.
const EVENT: &str = "guest: memory event of serve: ";

/// A limit of the unit, and the file of a control group that systemd writes it to.
struct Limit {
    of_unit: &'static str,
    file: &'static str,
    /// What is written for a value of the unit.
    text: fn(&str) -> Option<String>,
}

const LIMITS: [Limit; 4] = [
    Limit {
        of_unit: "MemoryHigh",
        file: "memory.high",
        text: as_it_is,
    },
    Limit {
        of_unit: "MemoryMax",
        file: "memory.max",
        text: as_it_is,
    },
    Limit {
        of_unit: "TasksMax",
        file: "pids.max",
        text: as_it_is,
    },
    Limit {
        of_unit: "CPUQuota",
        file: "cpu.max",
        text: of_a_tenth_of_a_second,
    },
];

/// The kernel reads the same suffixes as systemd.
fn as_it_is(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// Per cent as microseconds of each 100 ms, as systemd has it.
fn of_a_tenth_of_a_second(value: &str) -> Option<String> {
    let percent: u32 = value.strip_suffix('%')?.parse().ok()?;
    Some(format!("{} 100000", percent * 1000))
}

/// What a unit says of a limit, as it is written to the control group.
fn value(unit: &str, limit: &Limit) -> Option<String> {
    let line = unit.lines().find_map(|line| {
        let rest = line.strip_prefix(limit.of_unit)?;
        rest.strip_prefix('=')
    });
    (limit.text)(line?)
}

/// What the guest runs.
pub(super) fn script() -> String {
    let mut text = format!(
        "echo '+memory +cpu +pids' > /sys/fs/cgroup/cgroup.subtree_control\n\
        mkdir /sys/fs/cgroup/{GROUP}\n\
        cd /sys/fs/cgroup/{GROUP}\n"
    );
    for limit in &LIMITS {
        // Without it the guest's end says that it was not run.
        let value = value(UNIT, limit).unwrap_or_default();
        text += &format!(
            "echo '{value}' > {} || echo 'guest: no limit'\n",
            limit.file
        );
    }
    text += &format!(
        "(echo 0 > cgroup.procs; exec profiler serve --dir /tmp/windows --window 3s -F 99 --listen none 2>&1) &\n\
        serving=$!\n\
        for second in $(seq {SECONDS}); do sleep 1; echo \"{MEMORY}$(cat memory.current)\"; done\n\
        kill -TERM $serving\n\
        wait $serving\n\
        echo \"{EXIT_CODE}{GROUP}: $?\"\n\
        sed 's/^/{EVENT}/' memory.events\n\
        cd /\n"
    );
    text
}

/// The most memory that it had, in MiB, or what is wrong with what the guest said.
pub(super) fn examine(text: &str) -> Result<u64, String> {
    let after = |prefix: &str| {
        let lines = text.lines();
        let found = lines.filter_map(|line| line.strip_prefix(prefix).map(str::trim));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let code = after(&format!("{EXIT_CODE}{GROUP}: "));
    if code != ["0"] {
        return Err(format!("serve: it ended with {code:?}"));
    }
    if text.contains("guest: no limit") {
        return Err("serve: the guest does not take a limit of the unit".to_owned());
    }
    let end = text.lines().find(|line| line.contains(" samples tried, "));
    let number = |words: &str| {
        let (before, _) = end?.split_once(words)?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    };
    let said = (
        number(" samples tried,"),
        number(" lost;"),
        number(" windows written,"),
    );
    match said {
        (Some(tried), Some(0), Some(windows))
            if tried >= super::verdict::LEAST_SAMPLES && windows >= LEAST_WINDOWS => {}
        _ => return Err(format!("serve: samples tried, lost, windows: {said:?}")),
    }
    let events = after(EVENT);
    for wanted in ["max 0", "oom_kill 0"] {
        if !events.iter().any(|event| event == wanted) {
            return Err(format!("serve: its memory did not suffice: {events:?}"));
        }
    }
    let memory = after(MEMORY);
    let most = memory
        .iter()
        .filter_map(|bytes| bytes.parse::<u64>().ok())
        .max();
    most.map(|bytes| bytes >> 20)
        .ok_or_else(|| "serve: its memory is not known".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The unit has each limit, in a form that control groups take.
    #[test]
    fn limits_of_the_unit() {
        let unit = "[Service]\nMemoryHigh=4M\nMemoryMax=5M\nTasksMax=6\nCPUQuota=50%\n";
        let values: Vec<_> = LIMITS.iter().map(|limit| value(unit, limit)).collect();
        let wanted = ["4M", "5M", "6", "50000 100000"].map(|text| Some(text.to_owned()));
        assert_eq!(values, wanted);
        for limit in &LIMITS {
            assert!(value(UNIT, limit).is_some(), "{}", limit.of_unit);
        }
    }

    /// What has to be said for the limits to be enough; each thing that is missing or otherwise is a failure.
    #[test]
    fn what_guests_say() {
        let good = format!(
            "{MEMORY}1048576\n{MEMORY}3145728\nstopped; 300 samples tried, 0 lost; 5 windows written, 5 on disk\n\
            {EXIT_CODE}serve: 0\n{EVENT}max 0\n{EVENT}oom_kill 0\n"
        );
        assert_eq!(examine(&good), Ok(3));
        for (from, to) in [
            ("serve: 0", "serve: 137"),
            ("300 samples", "3 samples"),
            (", 0 lost", ", 7 lost"),
            ("5 windows written", "1 windows written"),
            ("max 0", "max 2"),
            ("oom_kill 0", "oom_kill 1"),
            ("of serve: 1048576", "of serve: x"),
        ] {
            let bad = good.replace(from, to).replace("3145728", "y");
            assert!(examine(&bad).is_err(), "{bad}");
        }
        assert!(examine(&format!("guest: no limit\n{good}")).is_err());
        assert!(examine("").is_err());
    }
}
