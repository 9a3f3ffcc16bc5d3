//! What this kernel and these rights allow, and what mends the rest: facts that were tried out, and a finding for each.
//!
//! `facts` tries, and knows nothing of what it means; `rights`, `perf`, `kernel` and `sight` judge, and ask the system nothing, so
//! that each judgement can be tested without the machine that it is about. Printing is left to `cli`.

mod facts;
mod kernel;
mod perf;
mod rights;
mod sight;
#[cfg(test)]
mod tests;

use facts::Facts;

/// How a thing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// It works, and profiles show less than they could.
    Limited,
    /// It is not there.
    Missing,
}

impl State {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// What was found out about one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// What it is about; the same on every machine.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// Whether nothing can be sampled without it.
    pub needed: bool,
    /// What was found.
    pub found: String,
    /// What that means for profiles; empty where all is well.
    pub means: String,
    /// The command that mends it, where one does.
    pub mend: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            needed: false,
            found: found.into(),
            means: String::new(),
            mend: None,
        }
    }

    fn limited(name: &'static str, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self {
            state: State::Limited,
            means: means.into(),
            ..Self::ok(name, found)
        }
    }

    fn missing(name: &'static str, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            ..Self::limited(name, found, means)
        }
    }

    /// Nothing can be sampled without it.
    fn needed(self) -> Self {
        Self {
            needed: true,
            ..self
        }
    }

    fn mended_by(self, command: impl Into<Option<String>>) -> Self {
        Self {
            mend: command.into(),
            ..self
        }
    }

    /// Whether this alone keeps the profiler from sampling.
    fn prevents(&self) -> bool {
        self.needed && self.state == State::Missing
    }
}

/// All that was found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Examination {
    /// Release of the running kernel.
    pub kernel: String,
    /// The kind of machine.
    pub machine: String,
    /// One for each thing, what matters most first.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Whether the main job can run: sampling works, and everything that it needs is there.
    pub(crate) fn can_sample(&self) -> bool {
        !self.findings.iter().any(Finding::prevents)
    }

    /// How many findings are in a state.
    pub(crate) fn count(&self, state: State) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.state == state).count()
    }
}

/// Tries everything; takes some tens of milliseconds.
pub(crate) fn examine() -> Examination {
    judge(&Facts::gather())
}

fn judge(facts: &Facts) -> Examination {
    let mut findings = Vec::new();
    findings.extend(rights::capabilities(facts));
    findings.push(rights::user_namespace(facts));
    findings.extend(perf::findings(facts));
    findings.extend(kernel::findings(facts));
    findings.extend(sight::findings(facts));
    // That everything together works says more than its parts; what is wrong with it is wrong with one of them.
    let mut obstacles = findings.iter().filter(|finding| finding.prevents());
    let remedy = obstacles.find_map(|finding| finding.mend.clone());
    let sampling = kernel::sampling(facts, remedy);
    findings.insert(0, sampling);
    Examination {
        kernel: facts.kernel.clone(),
        machine: facts.machine.clone(),
        findings,
    }
}
