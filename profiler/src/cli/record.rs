//! The main job: sample, write the profile, say what it is made of.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::args::{Args, UnwindBy};
use super::report::{self, Written};
use super::signals::StopSignal;
use super::status::StatusLine;
use super::{NO_SAMPLES, values};
use crate::caller::Caller;
use crate::config::{Config, READ_EVERY};
use crate::launch::HeldCommand;
use crate::output::{self, Destination};
use crate::pipeline::{Ended, Recording};
use crate::privileges;
use crate::sampler::{Filter, SamplerError, Target, Targets, Unwind};

/// How long a command has to end after SIGTERM before it is left alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Records a profile as the arguments say.
pub(super) fn record(args: &Args) -> Result<ExitCode> {
    let mut config = config(args);
    let caller = Caller::from_sudo()?;
    let destination = Destination::open(&args.output, caller.as_ref().map(Caller::owner))?;
    let stop = StopSignal::register().context("failed to take over Ctrl-C and SIGTERM")?;
    let held = match args.command.as_slice() {
        [] => None,
        command => {
            let stdout_is_taken = matches!(destination, Destination::Stdout);
            Some(HeldCommand::fork(
                command,
                caller.as_ref(),
                stdout_is_taken,
            )?)
        }
    };
    if let Some(held) = &held {
        config.targets = Targets::Chosen(vec![Target::Process(held.pid())]);
        config.started_later = true;
    }
    config.check()?;

    let mut recording = Recording::start(config).map_err(keep_verifier_log)?;
    privileges::drop_after_attach().context("failed to drop capabilities")?;
    let child = match held {
        Some(held) => Some(held.release(&args.command[0])?),
        None => None,
    };
    let mut status = StatusLine::new(args.quiet);
    let ended = recording.run(stop.as_fd(), |recording| {
        status.update(|| recording.progress());
        ControlFlow::Continue(())
    })?;
    status.clear();
    let stopped = Instant::now();
    let mut child = child.map(|child| Started::stop(child, ended));

    let (profile, summary) = recording.finish().write_up();
    destination.write(&profile)?;
    log::debug!(
        "profile ready {} after sampling ended",
        values::seconds(stopped.elapsed())
    );
    for cost in &summary.costs {
        log::debug!("{cost}");
    }
    let written = Written {
        destination: &destination,
        bytes: profile.len() as u64,
        ended,
        command: child.as_mut().map(Started::outcome),
    };
    if !args.quiet {
        report::print(&summary, &written, args.log_format);
    }
    if summary.samples == 0 {
        let all_ended = ended == Ended::TargetsGone;
        log::error!(
            "the profile has no samples: {}",
            summary.no_samples_because(all_ended)
        );
        return Ok(ExitCode::from(NO_SAMPLES));
    }
    Ok(ExitCode::SUCCESS)
}

fn config(args: &Args) -> Config {
    Config {
        targets: targets(args),
        filter: Filter {
            comm: args.comm.clone(),
            cgroups: args.cgroup.clone(),
        },
        pid_namespace: None,
        labels: args.labels,
        split_by_program: false,
        started_later: false,
        duration: args.duration,
        frequency_hz: args.frequency,
        read_every: READ_EVERY,
        kernel_stacks: !args.no_kernel,
        follow_children: args.inherit || (!args.command.is_empty() && !args.no_inherit),
        detail: args.symbolize.into(),
        unwind: match args.unwind {
            UnwindBy::Auto => Unwind::Auto,
            UnwindBy::Dwarf => Unwind::Tables,
            UnwindBy::Fp => Unwind::FramePointers,
        },
        bpf_loop: args.bpf_loop,
        check_walks: args.check_walks,
        unwind_memory: u64::from(args.unwind_memory) << 20,
        bpf_log: args.verbose >= 2,
    }
}

/// What was asked for by id; without any, and without a command, all that the filter lets through.
fn targets(args: &Args) -> Targets {
    let processes = args.pid.iter().copied().map(Target::Process);
    // The process of a thread is found when the arguments are checked.
    let threads = args
        .tid
        .iter()
        .map(|tid| Target::Thread { pid: 0, tid: *tid });
    let chosen: Vec<Target> = processes.chain(threads).collect();
    if chosen.is_empty() {
        Targets::All
    } else {
        Targets::Chosen(chosen)
    }
}

/// The command that was started.
struct Started {
    child: Child,
    /// Whether it was asked to end.
    ended_by_us: bool,
}

impl Started {
    /// Asks the command to end, unless it has already.
    fn stop(mut child: Child, ended: Ended) -> Self {
        let running = child.try_wait().is_ok_and(|status| status.is_none());
        let ended_by_us = running && ended != Ended::TargetsGone && {
            i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw)
                .is_some_and(|pid| {
                    rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
                })
        };
        Self { child, ended_by_us }
    }

    /// How the command ended, in words.
    fn outcome(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(None) => return format!("still running as process {}", self.child.id()),
                Err(error) => return format!("cannot be waited for: {error}"),
            }
        };
        let how = how_it_ended(status);
        if self.ended_by_us {
            format!("{how}, asked to end with the sampling")
        } else {
            how
        }
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
            format!("was killed by signal {signal} ({name})")
        }
        (None, None) => status.to_string(),
    }
}

/// A verifier's log has thousands of lines: it goes to a file whose name is printed.
fn keep_verifier_log(error: anyhow::Error) -> anyhow::Error {
    let Some(SamplerError::Rejected { log, .. }) = error.downcast_ref() else {
        return error;
    };
    let kept = output::keep("profiler-verifier-", ".log", log.as_bytes());
    match kept {
        Ok(path) => error.context(format!(
            "please report this kernel with the verifier's log, which is in {}",
            path.display()
        )),
        Err(cause) => anyhow!("{error:#}; its log could not be kept: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn check(script: &str, expected: &str) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut started = Started {
            child,
            ended_by_us: false,
        };
        assert_eq!(started.outcome(), expected, "{script}");
    }

    /// The summary tells how the command ended, by status or by signal.
    #[test]
    fn outcome_of_the_command() {
        check("exit 0", "exited with status 0");
        check("exit 7", "exited with status 7");
        check("kill -SEGV $$", "was killed by signal 11 (SIGSEGV)");
    }

    /// A command that runs on when sampling ends is asked to end, and that is said.
    #[test]
    fn running_command_is_asked_to_end() {
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        assert_eq!(
            Started::stop(child, Ended::Duration).outcome(),
            "was killed by signal 15 (SIGTERM), asked to end with the sampling"
        );
    }

    /// What the verifier says is kept in a file, and the error names it.
    #[test]
    fn verifier_log_is_kept() {
        let error = keep_verifier_log(anyhow::Error::from(SamplerError::Rejected {
            program: "on_cpu".to_owned(),
            cause: std::io::Error::from_raw_os_error(13),
            log: "R1 invalid mem access".to_owned(),
        }));
        let text = format!("{error:#}");
        let path = text
            .split(" is in ")
            .nth(1)
            .unwrap()
            .split(": ")
            .next()
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "R1 invalid mem access"
        );
        assert!(text.contains("on_cpu"), "{text}");
        std::fs::remove_file(path).unwrap();
    }
}
