//! Adds up the results of several test harnesses, and what was skipped with its reasons.

use std::fmt;

use anyhow::{Result, ensure};

/// The sum over all test binaries.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Test runs that ended badly without counting a failed test.
    pub(crate) broken: u64,
    reasons: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed + self.broken;
        write!(
            f,
            "{} passed, {failed} failed, {} skipped",
            self.passed, self.skipped
        )
    }
}

impl Tally {
    /// Takes one line of a harness's output; most are not about results.
    ///
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            if let Some(name) = ignored(line) {
                self.reasons.push(format!("{name}: ignored in the source"));
            }
            return;
        };
        // What comes before the first full stop is `ok` or `FAILED`, perhaps coloured.
        let Some((_, counts)) = counts.split_once(". ") else {
            return;
        };
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Takes tests that passed in the harness's eyes, but said that they could not run: `NAME\tREASON` each.
    pub(crate) fn skip(&mut self, lines: &str) -> Result<()> {
        for line in lines.lines() {
            let (name, reason) = line.split_once('\t').unwrap_or((line, "no reason given"));
            ensure!(
                self.passed > 0,
                "more tests skipped than were run, see {name}"
            );
            self.passed -= 1;
            self.skip_unrun(name, reason);
        }
        Ok(())
    }

    /// Takes a test that no harness ever saw.
    pub(crate) fn skip_unrun(&mut self, name: &str, reason: &str) {
        self.skipped += 1;
        self.reasons.push(format!("{name}: {reason}"));
    }

    /// Name and reason of everything skipped.
    pub(crate) fn skips(&self) -> &[String] {
        &self.reasons
    }
}

/// The name in `test NAME ... ignored`, perhaps with a reason behind it.
fn ignored(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    rest.contains("ignored").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.read(line));
        tally
    }

    /// Results of several harnesses add up, coloured or not, and an ignored test counts as skipped.
    #[test]
    fn results_of_harnesses_add_up() {
        let sum = tally(
            "running 3 tests\n\
             test a::b ... ok\n\
             test a::c ... ignored, needs a printer\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: \u{1b}[31mFAILED\u{1b}[m. 5 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out\n",
        );
        assert_eq!(sum.to_string(), "7 passed, 2 failed, 1 skipped");
        assert_eq!(sum.skips(), ["a::c: ignored in the source"]);
    }

    /// Text that merely looks like a result changes nothing.
    #[test]
    fn other_lines_are_not_counted() {
        let sum =
            tally("thread panicked: 3 passed\ntest result: none\ntest result: x. many passed; 1\n");
        assert_eq!(sum.to_string(), "0 passed, 0 failed, 0 skipped");
    }

    /// A test that reports a skip moves from passed to skipped, so that each test is counted once.
    #[test]
    fn reported_skips_are_not_passes() {
        let mut sum =
            tally("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
        sum.skip("cases::kernel\tno BPF\ncases::other\n").unwrap();
        assert_eq!(sum.to_string(), "0 passed, 0 failed, 2 skipped");
        assert_eq!(
            sum.skips(),
            ["cases::kernel: no BPF", "cases::other: no reason given"]
        );
        assert!(sum.skip("cases::third\tno BPF\n").is_err());
    }

    /// A run that ended badly without a count is still a failure in the closing line.
    #[test]
    fn broken_runs_show_as_failed() {
        let mut sum = tally("test result: ok. 1 passed; 0 failed; 0 ignored\n");
        sum.broken += 1;
        assert_eq!(sum.to_string(), "1 passed, 1 failed, 0 skipped");
    }
}
