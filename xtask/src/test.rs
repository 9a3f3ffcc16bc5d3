//! `test`: every test there is. The unprivileged ones as whoever calls this, the end-to-end suite as root.
//!
//! # What the end-to-end suite gets
//!
//! | variable | what |
//! | --- | --- |
//! | `PROFILER_BIN` | the program under test: the one that is handed out |
//! | `PROFILER_FIXTURES` | the directory with the compiled target programs |
//! | `PROFILER_TOOLS` | the directory with the pprof programs that read the profiles |
//! | `PROFILER_SKIPS` | a file to which a test that cannot run here appends a line: its name, a tab, the reason |
//!
//! A skipped test returns like one that passed, because the harness knows nothing else; the file is how it is
//! told apart. Skips are printed, counted apart, and fail the task when `CI=true`.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::{command, ebpf, fixtures, go, google_pprof, profiler, setup, workspace};

/// `cargo xtask test [FILTER]`: what is given goes to every test binary, `-- --test-threads=1` for instance.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments = arguments
        .strip_prefix(&["--".to_owned()])
        .unwrap_or(arguments);
    setup::for_tests()?;
    let program = profiler::build_static()?;
    let fixtures = fixtures::build()?;
    google_pprof::ensure(&workspace::target())?;
    go::ensure_pprof(&workspace::target())?;

    let mut tally = Tally::default();
    let mut cargo = cargo_test();
    cargo.arg("--no-fail-fast");
    add_filter(cargo.arg("--"), arguments);
    count(&mut cargo, &mut tally)?;

    println!("end-to-end suite");
    let suite = build_suite()?;
    let skips = workspace::target().join("skipped-tests");
    fs::write(&skips, "").with_context(|| format!("could not write {}", skips.display()))?;
    let environment = [
        ("PROFILER_BIN", OsString::from(program)),
        ("PROFILER_FIXTURES", OsString::from(fixtures)),
        ("PROFILER_TOOLS", OsString::from(workspace::tools())),
        ("PROFILER_SKIPS", OsString::from(&skips)),
    ];
    match command::as_root(suite.as_os_str(), &environment) {
        Ok(mut suite) => {
            command::forget_xtask(&mut suite);
            suite.current_dir(workspace::root().join("tests"));
            add_filter(&mut suite, arguments);
            count(&mut suite, &mut tally)?;
            let skipped = fs::read_to_string(&skips)
                .with_context(|| format!("could not read {}", skips.display()))?;
            tally.skip(&skipped)?;
        }
        Err(reason) => skip_all(&suite, arguments, &format!("{reason:#}"), &mut tally)?,
    }
    conclude(&tally)
}

/// `cargo xtask test-slow`: too slow and too large for every run, so by hand, one test at a time.
pub(crate) fn slow(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("unknown argument `{argument}`: this task takes none");
    }
    setup::for_tests()?;
    ebpf::build()?;
    let mut cargo = command::host_cargo();
    cargo.args(["test", "--release", "--locked", "--package", "profiler"]);
    cargo.args(["--lib", "--features", "slow-tests", "--"]);
    // Each is named: the rest has been run by `test`.
    cargo.args([
        "large_library",
        "every_file",
        "--nocapture",
        "--test-threads=1",
    ]);
    command::check(&mut cargo)
}

/// Prints what was skipped and the one closing line, and decides.
fn conclude(tally: &Tally) -> Result<()> {
    for skip in tally.skips() {
        println!("skipped {skip}");
    }
    // The last line on stdout, alone and plain: people and machines look for it.
    println!("{tally}");
    if tally.failed > 0 || tally.broken > 0 {
        bail!("not all tests passed");
    }
    if tally.skipped > 0 && workspace::is_ci() {
        bail!(
            "{} tests were skipped, which CI=true does not allow",
            tally.skipped
        );
    }
    if tally.passed == 0 {
        bail!("no test was run");
    }
    Ok(())
}

fn add_filter(command: &mut Command, arguments: &[String]) {
    // The harness sees a pipe and would leave its colours out.
    if std::io::stdout().is_terminal() {
        command.arg("--color=always");
    }
    command.args(arguments);
}

/// Runs a command whose stdout has the lines of test harnesses, shows them, and adds up the results.
fn count(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let shown = command::shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {shown}"))?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let failed_before = tally.failed;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.with_context(|| format!("could not read what {shown} prints"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let status = child
        .wait()
        .with_context(|| format!("could not wait for {shown}"))?;
    if !status.success() && tally.failed == failed_before {
        // A crash or a build that failed leaves no line with a count.
        eprintln!("{shown} ended with {status}");
        tally.broken += 1;
    }
    Ok(())
}

/// `cargo test` for all packages but that of BPF, which has no tests.
///
/// For all of them even where one is meant: cargo chooses the features of dependencies for all selected packages at
/// once, and would compile most dependencies another time.
fn cargo_test() -> Command {
    let mut cargo = command::host_cargo();
    cargo.args(["test", "--workspace", "--exclude", "profiler-ebpf"]);
    cargo.arg("--locked");
    cargo
}

/// Builds the suite as this person, so that root leaves no files in the target directory.
fn build_suite() -> Result<PathBuf> {
    let mut cargo = cargo_test();
    cargo.args(["--lib", "--bins", "--no-run"]);
    cargo
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let output = cargo
        .output()
        .with_context(|| format!("could not start {}", command::shown(&cargo)))?;
    if !output.status.success() {
        bail!("the end-to-end suite does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(suite)
        .context("cargo built the end-to-end suite but named no program")
}

/// The program in a line of cargo's `--message-format=json`, if it is the end-to-end suite.
fn suite(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact"
        || message["profile"]["test"] != true
        || message["target"]["name"] != "profiler_tests"
    {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Counts every test of the suite that would have run as skipped.
fn skip_all(suite: &Path, arguments: &[String], reason: &str, tally: &mut Tally) -> Result<()> {
    let list = command::read(Command::new(suite).arg("--list").args(arguments))?;
    for test in list.lines().filter_map(|line| line.strip_suffix(": test")) {
        tally.skip_unrun(test, reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::suite;

    /// Of all that cargo reports, only the suite is taken: not its library, nor the tests of another package.
    #[test]
    fn suite_is_found_in_cargos_messages() {
        let check = |reason: &str, name: &str, is_test: bool, wanted: Option<&str>| {
            let line = format!(
                r#"{{"reason":"{reason}","target":{{"name":"{name}"}},"profile":{{"test":{is_test}}},"executable":"/t/a"}}"#
            );
            assert_eq!(suite(&line), wanted.map(PathBuf::from), "{line}");
        };
        check("compiler-artifact", "profiler_tests", true, Some("/t/a"));
        check("compiler-artifact", "profiler_tests", false, None);
        check("compiler-artifact", "profiler", true, None);
        check("build-finished", "profiler_tests", true, None);
        assert_eq!(suite("not json"), None);
    }
}
