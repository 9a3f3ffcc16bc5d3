//! Which samples are merged, by the labels that the profiler writes.

use crate::pprof::proto;

/// What samples have to be of. What is not given does not matter; all that is given has to be true.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// The process id, as in the label `pid`.
    pub pid: Option<u64>,
    /// The name of the process, as in the label `comm`.
    pub comm: Option<String>,
    /// The path of a control group, as in the label `cgroup`; those below it count, too.
    pub cgroup: Option<String>,
}

impl Filter {
    /// Whether it takes everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it takes `sample` of `message`, in which every reference leads somewhere.
    pub(super) fn takes(&self, message: &proto::Profile, sample: &proto::Sample) -> bool {
        let text = |index: i64| super::text_of(&message.string_table, index);
        let any = |key: &str, is_wanted: &dyn Fn(&proto::Label) -> bool| {
            let mut labels = sample.label.iter();
            labels.any(|label| text(label.key) == key && is_wanted(label))
        };
        let is_pid = |pid: u64| {
            any("pid", &|label| {
                label.str == 0 && u64::try_from(label.num) == Ok(pid)
            })
        };
        let is_below = |path: &str| {
            let path = path.trim_end_matches('/');
            any("cgroup", &|label| {
                let rest = text(label.str).strip_prefix(path);
                rest.is_some_and(|rest| {
                    label.str != 0 && (rest.is_empty() || rest.starts_with('/'))
                })
            })
        };
        self.pid.is_none_or(is_pid)
            && self
                .comm
                .as_ref()
                .is_none_or(|comm| any("comm", &|label| text(label.str) == comm))
            && self.cgroup.as_deref().is_none_or(is_below)
    }
}
