//! Which labels samples have: the names that can be asked for.
//!
//! Each label keeps samples with equal stacks apart, so more of them make a profile larger and its making slower.

use std::fmt;

/// A label of samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum LabelKey {
    /// Process id, as the profiler's pid namespace has it.
    Pid,
    /// Process id in the initial pid namespace, where that is another.
    HostPid,
    /// Process id in the process's own pid namespace, where that is another.
    NsPid,
    /// Thread id, as the profiler's pid namespace has it.
    Tid,
    /// Name of the process.
    Comm,
    /// Name of the thread.
    Thread,
    /// Control group.
    Cgroup,
    /// Id of the container, for processes in one.
    Container,
    /// The CPU that was interrupted.
    Cpu,
    /// What was interrupted: `user` or `kernel`.
    State,
}

impl LabelKey {
    /// All there are, in the order in which they are listed.
    pub(crate) const ALL: [Self; 10] = [
        Self::Pid,
        Self::HostPid,
        Self::NsPid,
        Self::Tid,
        Self::Comm,
        Self::Thread,
        Self::Cgroup,
        Self::Container,
        Self::Cpu,
        Self::State,
    ];

    /// The key in the profile.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::HostPid => "host_pid",
            Self::NsPid => "ns_pid",
            Self::Tid => "tid",
            Self::Comm => "comm",
            Self::Thread => "thread",
            Self::Cgroup => "cgroup",
            Self::Container => "container",
            Self::Cpu => "cpu",
            Self::State => "state",
        }
    }
}

/// The labels that were asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LabelSet(u16);

impl LabelSet {
    /// None at all.
    pub(crate) const NONE: Self = Self(0);

    /// Those of a profile that nobody has asked for others of.
    pub(crate) const DEFAULT: Self = Self::NONE
        .with(LabelKey::Pid)
        .with(LabelKey::HostPid)
        .with(LabelKey::Tid)
        .with(LabelKey::Comm)
        .with(LabelKey::Thread);

    /// These and one more.
    pub(crate) const fn with(self, key: LabelKey) -> Self {
        Self(self.0 | 1 << key as u8)
    }

    /// Whether a label was asked for.
    pub(crate) fn has(self, key: LabelKey) -> bool {
        self.0 & 1 << key as u8 != 0
    }

    /// Whether one of these was asked for.
    pub(crate) fn has_any(self, keys: &[LabelKey]) -> bool {
        keys.iter().any(|key| self.has(*key))
    }

    /// Reads a list as people type it; `all` and `none` are words of their own.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let mut set = Self::NONE;
        for word in list.split(',').map(str::trim) {
            set = match LabelKey::ALL.iter().find(|key| key.as_str() == word) {
                Some(key) => set.with(*key),
                None if word == "all" => LabelKey::ALL.iter().fold(set, |set, key| set.with(*key)),
                None if list.trim() == "none" => set,
                None => {
                    let known = LabelKey::ALL.map(LabelKey::as_str).join(", ");
                    return Err(format!(
                        "there is no label {word:?}; known are {known}, and all or none"
                    ));
                }
            };
        }
        Ok(set)
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = LabelKey::ALL.into_iter().filter(|key| self.has(*key));
        let names: Vec<&str> = keys.map(LabelKey::as_str).collect();
        formatter.write_str(if names.is_empty() { "none" } else { "" })?;
        formatter.write_str(&names.join(","))
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LabelSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists are read as typed and shown as they can be typed; an unknown name is answered with those that are known.
    #[test]
    fn lists() {
        let cases = [
            ("none", "none"),
            ("pid", "pid"),
            ("state, cpu,pid,pid", "pid,cpu,state"),
            (
                "all",
                "pid,host_pid,ns_pid,tid,comm,thread,cgroup,container,cpu,state",
            ),
        ];
        for (typed, shown) in cases {
            assert_eq!(
                LabelSet::parse(typed).unwrap().to_string(),
                shown,
                "{typed}"
            );
        }
        assert_eq!(
            LabelSet::DEFAULT.to_string(),
            "pid,host_pid,tid,comm,thread"
        );
        for wrong in ["", "pid,", "pod", "pid,none", "pprof::base"] {
            let error = LabelSet::parse(wrong).unwrap_err();
            assert!(error.contains("cgroup, container"), "{error}");
        }
    }
}
