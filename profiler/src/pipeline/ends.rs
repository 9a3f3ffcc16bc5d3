//! Which processes may have ended, and when to look whether they have.
//!
//! Nobody tells that a process has ended: each of its threads does, and with the last one it is gone a moment later. To look
//! at once finds most of them still there, and costs more than all else about a program that runs for a millisecond.

use std::collections::{HashMap, HashSet};

use crate::process::ProcFs;

/// How long after a thread has ended it is first looked whether its process has, in nanoseconds.
const FIRST_LOOK: u64 = 10_000_000;
/// Each look that finds it there doubles the time to the next, up to this: the process may go on without that thread.
const LONGEST_PAUSE: u64 = 2_000_000_000;

/// Processes of which a thread has ended.
#[derive(Debug, Default)]
pub(super) struct Ends {
    procfs: ProcFs,
    /// Heard of since it was looked last.
    heard: Vec<(u32, End)>,
    waiting: HashMap<u32, End>,
    /// Processes that have one thread, as far as they have been heard of from their beginning on.
    single: HashSet<u32>,
}

/// What is known of one that may have ended.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Its first thread has ended.
    is_first: bool,
    look_at: u64,
    pause: u64,
}

impl Ends {
    /// A thread of a process has ended; of some it is known whether it was the first, which mostly is the last as well.
    pub(super) fn thread_ended(&mut self, pid: u32, is_first: bool) {
        let end = End {
            is_first,
            look_at: 0,
            pause: FIRST_LOOK,
        };
        self.heard.push((pid, end));
    }

    /// A process with this id has begun, or begins another program, with one thread: what was heard before was not of it.
    pub(super) fn begun(&mut self, pid: u32) {
        self.single.insert(pid);
        let heard = self.heard.iter_mut().filter(|(other, _)| *other == pid);
        let waiting = self.waiting.get_mut(&pid);
        for end in heard.map(|(_, end)| end).chain(waiting) {
            end.is_first = false;
        }
    }

    /// A process has one more thread.
    pub(super) fn thread_begun(&mut self, pid: u32) {
        self.single.remove(&pid);
    }

    /// Nobody knows which processes have begun more threads.
    pub(super) fn missed_events(&mut self) {
        self.single.clear();
    }

    /// Whether a process is most likely about to be gone. One whose first thread alone has ended is not, which is rare.
    pub(super) fn is_ending(&self, pid: u32) -> bool {
        let waiting = self.waiting.get(&pid);
        let heard = self.heard.iter().filter(|(other, _)| *other == pid);
        let mut ends = heard.map(|(_, end)| end).chain(waiting);
        ends.any(|end| end.is_first)
    }

    /// The processes that have ended by now, each once. What has been heard by then is looked at next time at the earliest, when
    /// all samples of before have been read.
    pub(super) fn take(&mut self, now_ns: u64) -> Vec<u32> {
        let mut gone = Vec::new();
        let (procfs, single) = (&self.procfs, &self.single);
        self.waiting.retain(|pid, end| {
            if now_ns < end.look_at {
                return true;
            }
            let has_ended = (end.is_first && single.contains(pid)) || procfs.has_ended(*pid);
            if has_ended {
                gone.push(*pid);
            }
            end.pause *= 2;
            end.look_at = now_ns + end.pause;
            !has_ended && end.pause <= LONGEST_PAUSE
        });
        for pid in &gone {
            self.single.remove(pid);
        }
        for (pid, mut end) in self.heard.drain(..) {
            end.look_at = now_ns + end.pause;
            let known = self.waiting.entry(pid).or_insert(end);
            known.is_first |= end.is_first;
            (known.look_at, known.pause) = (end.look_at, end.pause);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above the largest value of kernel.pid_max.
    const GONE: u32 = 4_194_305;
    const NONE: [u32; 0] = [];

    /// One that is gone is told once, not before its time; one that is there is looked at ever more rarely, and then no more.
    #[test]
    fn looks() {
        let mut ends = Ends::default();
        let own = std::process::id();
        ends.thread_ended(GONE, true);
        ends.thread_ended(own, false);
        assert_eq!(ends.take(1_000), NONE);
        assert_eq!(ends.take(FIRST_LOOK), NONE);
        assert_eq!(ends.take(1_000 + FIRST_LOOK), [GONE]);
        let mut now = 1_000 + FIRST_LOOK;
        let mut turns = 0;
        while !ends.waiting.is_empty() {
            now += FIRST_LOOK;
            assert_eq!(ends.take(now), NONE);
            turns += 1;
        }
        assert!(turns > 100, "{turns}");
        // Heard of again, it is looked at again.
        ends.thread_ended(own, false);
        assert_eq!(ends.take(now), NONE);
        assert_eq!(ends.waiting.len(), 1);
    }

    /// Of one whose only thread has ended it is known that it has given up its memory, without a look.
    #[test]
    fn only_threads() {
        let own = std::process::id();
        let ended = |more: &dyn Fn(&mut Ends)| {
            let mut ends = Ends::default();
            ends.begun(own);
            more(&mut ends);
            ends.take(0);
            !ends.take(FIRST_LOOK).is_empty()
        };
        assert!(ended(&|ends| ends.thread_ended(own, true)));
        assert!(!ended(&|ends| ends.thread_ended(own, false)));
        assert!(!ended(&|ends| {
            ends.thread_begun(own);
            ends.thread_ended(own, true);
        }));
        assert!(!ended(&|ends| {
            ends.missed_events();
            ends.thread_ended(own, true);
        }));
        assert!(!ended(&|ends| {
            ends.thread_ended(own, true);
            ends.begun(own);
        }));
    }

    /// A process is about to be gone when its first thread has ended, unless another has got its id.
    #[test]
    fn ending_processes() {
        let mut ends = Ends::default();
        ends.thread_ended(GONE, false);
        assert!(!ends.is_ending(GONE));
        ends.thread_ended(GONE, true);
        assert!(ends.is_ending(GONE));
        ends.take(0);
        assert!(ends.is_ending(GONE));
        ends.begun(GONE);
        assert!(!ends.is_ending(GONE));
        ends.thread_ended(GONE, true);
        ends.take(0);
        assert!(ends.is_ending(GONE));
        assert_eq!(ends.take(FIRST_LOOK), [GONE]);
        assert!(!ends.is_ending(GONE));
    }
}
