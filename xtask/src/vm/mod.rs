//! `vm`: loads the program into other kernels, from the oldest that it runs on to the newest, and samples there.
//!
//! The kernels are Debian's, the machines qemu's, emulated without KVM. What a guest prints is only believed where a
//! profile proves it: profiles come out over the serial console and are read here, by another reader.

mod boot;
mod doctor;
mod guest;
mod kernels;
mod limits;
mod tools;
mod verdict;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::bench::{machine, report};
use crate::{command, profiler, workspace};
use kernels::Kernel;
use verdict::Verdict;

const USAGE: &str = "usage: cargo xtask vm [--kernel SERIES,...] [--record]
  --kernel      only these: the beginnings of versions such as 5.10 or 7.3, or `newest` (default all)
  --record      keep the table of the verifier's instruction counts in benches/results/";

/// Guests that run at once: one for each processor that there surely is.
const AT_ONCE: usize = 2;

/// What is done in each guest.
struct Plan {
    /// Beginnings of versions; all kernels if there are none.
    series: Vec<String>,
    record: bool,
}

/// `cargo xtask vm`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let plan = parse(arguments)?;
    if !command::is_root() {
        bail!(
            "the guests' file system is made by root: run `sudo env PATH=\"$PATH\" cargo xtask vm`"
        );
    }
    let program = profiler::build_static()?;
    tools::ensure()?;
    let directory = workspace::target().join("vm");
    let found = kernels::get(&directory, &plan.series)?;
    for missing in &found.missing {
        println!("skipped {missing}");
    }
    let initramfs = guest::initramfs(&directory, &program)?;
    let queue = Mutex::new(found.kernels.iter());
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panics with it").next();
                    let Some(kernel) = next else { return };
                    let verdict = examine(kernel, &initramfs, &directory);
                    verdicts
                        .lock()
                        .expect("no thread panics with it")
                        .push(verdict);
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("all threads have ended");
    verdicts.sort_by_key(|verdict| {
        found
            .kernels
            .iter()
            .position(|kernel| kernel.version == verdict.version)
    });
    conclude(&verdicts, &plan)
}

fn parse(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan {
        series: Vec::new(),
        record: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kernel" => {
                let value = words
                    .next()
                    .with_context(|| format!("{word} needs a value\n{USAGE}"))?;
                plan.series.extend(value.split(',').map(str::to_owned));
            }
            "--record" => plan.record = true,
            _ => bail!("unknown argument `{word}`\n{USAGE}"),
        }
    }
    Ok(plan)
}

/// Boots one kernel, and says at once what came of it.
fn examine(kernel: &Kernel, initramfs: &std::path::Path, directory: &std::path::Path) -> Verdict {
    let log: PathBuf = directory.join(format!("{}.log", kernel.version));
    let verdict = boot::run(kernel, initramfs, &log)
        .and_then(|seconds| verdict::read(kernel, &log, seconds))
        .unwrap_or_else(|error| Verdict::failed(kernel, format!("{error:#}")));
    println!("{verdict}");
    if !verdict.failures.is_empty() {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            println!("    {line}");
        }
    }
    verdict
}

fn conclude(verdicts: &[Verdict], plan: &Plan) -> Result<()> {
    let failed = verdicts
        .iter()
        .filter(|verdict| !verdict.failures.is_empty())
        .count();
    if plan.record {
        println!(
            "results in {}",
            report::save("kernels", &table(verdicts)?)?.display()
        );
    }
    // Alone on its line and plain: people and machines look for it.
    println!("{} passed, {failed} failed", verdicts.len() - failed);
    if verdicts.is_empty() {
        bail!("no kernel was tried");
    }
    if failed > 0 {
        bail!("not all kernels passed");
    }
    Ok(())
}

/// The results as Markdown.
fn table(verdicts: &[Verdict]) -> Result<String> {
    let mut text = format!(
        "# Kernels of {}\n\n`cargo xtask {}`\n\n",
        machine::today()?,
        std::env::args().skip(1).collect::<Vec<_>>().join(" ")
    );
    text += "Debian's cloud kernels for amd64, emulated by qemu. Instructions: what the verifier looked at before it accepted the program \
             (not told before 5.16); `walk_on` is the part of the walk by tail calls that calls itself. Whole: of a recursion 200 deep without \
             frame pointers, stacks with exactly its frames from the innermost to the outermost. In the kernel: samples taken in a system call \
             that have the user's stack up to the outermost frame. Serve: the most memory that its control group counted, within the limits of \
             its systemd unit.\n\n";
    text += "| kernel | walk | whole | in the kernel | by tail calls: whole | on_cpu | on_cpu_by_calls + walk_on | on_cpu_by_fp | fork, exec, exit | serve, MiB | s | |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for verdict in verdicts {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", verdict.row());
    }
    Ok(text)
}
