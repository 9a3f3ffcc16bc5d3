//! The thread that names what is in files, and keeps what it has read of them from one window to the next.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::names::{Group, ask};
use crate::resident::Resident;
use crate::symbolize::{Detail, Named, Options, Readers};

/// Stack for reading debug information, in bytes: the library for it recurses once per level of inlining, and a
/// binary made to hurt has hundreds of thousands. Only what is used takes memory.
const DEEP_STACK: usize = 256 << 20;

/// Bytes that may be kept of files.
const MOST_KEPT: u64 = 64 << 20;

/// By how many bytes the process may have grown since the thread began, beyond which another one takes its place: what was
/// used of its stack does not come back otherwise, and what is kept is measured by and large.
const MOST_GROWN: u64 = 2 * MOST_KEPT;

/// What the thread is asked to do.
struct Job {
    groups: Arc<Vec<Group>>,
    detail: Detail,
    options: Options,
}

/// The thread, when there is one.
#[derive(Default, Debug)]
pub(super) struct NamingThread {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    jobs: Sender<Job>,
    names: Receiver<Vec<Vec<Named>>>,
    /// Resident memory of the process when it began.
    before: u64,
}

impl NamingThread {
    /// Asks for the names of each group, `meanwhile` does something else, and returns what came of both.
    pub(super) fn ask<T>(
        &mut self,
        groups: Vec<Group>,
        detail: Detail,
        options: &Options,
        keeps: bool,
        meanwhile: impl FnOnce() -> T,
    ) -> (Arc<Vec<Group>>, Vec<Vec<Named>>, T) {
        let groups = Arc::new(groups);
        // The thread is told of a window without anything new, too: what is kept has its time.
        if groups.is_empty() && self.running.is_none() {
            return (groups, Vec::new(), meanwhile());
        }
        let job = Job {
            groups: Arc::clone(&groups),
            detail,
            options: options.clone(),
        };
        let running = self.running.take().or_else(|| Running::start(keeps));
        let running = running.filter(|running| running.jobs.send(job).is_ok());
        let other = meanwhile();
        let names = running
            .as_ref()
            .and_then(|running| running.names.recv().ok());
        self.running = running.filter(|running| keeps && names.is_some() && running.may_go_on());
        // No thread to be had (or it failed): slower, and less safe against debug information made to hurt.
        let names = names.unwrap_or_else(|| ask(&mut Readers::default(), &groups, detail, options));
        (groups, names, other)
    }
}

impl Running {
    fn start(keeps: bool) -> Option<Self> {
        let (jobs, asked) = channel::<Job>();
        let (answers, names) = channel();
        let before = Resident::new().bytes();
        let work = move || {
            let mut readers = Readers::keeping(if keeps { MOST_KEPT } else { 0 });
            for Job {
                groups,
                detail,
                options,
            } in asked
            {
                readers.next_turn();
                let names = ask(&mut readers, &groups, detail, &options);
                // Binaries are held by those alone who have processes that run them.
                drop(groups);
                if answers.send(names).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("names".to_owned());
        let started = thread.stack_size(DEEP_STACK).spawn(work);
        started.ok().map(|_| Self {
            jobs,
            names,
            before,
        })
    }

    fn may_go_on(&self) -> bool {
        Resident::new().bytes() < self.before + MOST_GROWN
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::addr::ElfAddr;
    use crate::binary::Binary;
    use crate::symbolize::Source;

    /// What nobody runs any more is let go of, also when no window asks for anything new.
    #[test]
    fn files_are_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::copy("/proc/self/exe", &program).unwrap();
        let is_mapped = || {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            maps.contains(program.to_str().unwrap())
        };
        let binary = Arc::new(Binary::open(&program).unwrap());
        let mut thread = NamingThread::default();
        let mut ask = |groups| {
            let options = Options::default();
            let (_, names, ()) = thread.ask(groups, Detail::Functions, &options, true, || ());
            names
        };
        let group = Group {
            source: Source::Binary(Arc::clone(&binary)),
            positions: vec![0],
            addresses: vec![ElfAddr(0)],
        };
        assert_eq!(ask(vec![group]).len(), 1);
        assert!(is_mapped());
        drop(binary);
        assert!(ask(Vec::new()).is_empty());
        assert!(!is_mapped());
    }
}
