//! Starts the command to be profiled, and holds it back until sampling has begun.
//!
//! Under sudo the command runs as the user who called sudo. How it is sampled is left to the pipeline.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::JoinHandle;

use crate::caller::Caller;

/// A command that has been forked but does not run its program yet.
#[derive(Debug)]
pub(crate) struct HeldCommand {
    pid: u32,
    release: File,
    spawning: JoinHandle<io::Result<Child>>,
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// There is no such program, or it may not be run.
    #[error(
        "the command {program:?} cannot be started: {cause}; check its name, its path and whether it is executable"
    )]
    Exec {
        /// The program as it was typed.
        program: OsString,
        /// What the system said.
        cause: io::Error,
    },
    /// No process could be made.
    #[error("no process for the command could be made: {0}")]
    Fork(#[from] io::Error),
}

impl HeldCommand {
    /// Forks a process for `command` (program and arguments), which then waits for [`release`](Self::release).
    ///
    /// [`Command::spawn`] returns only after the program has started, so a thread of its own waits for that.
    ///
    /// With `stdout_is_taken` what it prints goes to standard error.
    pub(crate) fn fork(
        command: &[OsString],
        caller: Option<&Caller>,
        stdout_is_taken: bool,
    ) -> Result<Self, LaunchError> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        let (pid_reader, pid_writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let (release_reader, release_writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut process = Command::new(program);
        process.args(arguments);
        if stdout_is_taken {
            process.stdout(io::stderr().as_fd().try_clone_to_owned()?);
        }
        if let Some(caller) = caller {
            process.env("HOME", &caller.home);
            process
                .env("USER", &caller.name)
                .env("LOGNAME", &caller.name);
        }
        let caller = caller.cloned();
        let mut pid_writer = File::from(pid_writer);
        let mut release_reader = File::from(release_reader);
        let name = task_name(program);
        let hold_back = move || {
            // Samples of it before its exec have this name, as they have after.
            rustix::thread::set_name(&name)?;
            pid_writer.write_all(&std::process::id().to_ne_bytes())?;
            release_reader.read_exact(&mut [0])?;
            caller.as_ref().map_or(Ok(()), Caller::become_caller)
        };
        // SAFETY: between fork and exec only system calls are made: prctl, write, read, setgroups, setgid, setuid.
        // Nothing is allocated and no lock is taken.
        unsafe { process.pre_exec(hold_back) };
        let typed = program.clone();
        let spawning = std::thread::Builder::new()
            .name("launch".to_owned())
            .spawn(move || process.spawn())?;
        let mut pid = [0; 4];
        match File::from(pid_reader).read_exact(&mut pid) {
            Ok(()) => Ok(Self {
                pid: u32::from_ne_bytes(pid),
                release: File::from(release_writer),
                spawning,
            }),
            Err(_) => Err(started(spawning.join(), typed)
                .err()
                .unwrap_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())),
        }
    }

    /// Process id of the command.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the command run its program.
    pub(crate) fn release(mut self, program: &OsString) -> Result<Child, LaunchError> {
        self.release.write_all(&[1])?;
        started(self.spawning.join(), program.clone())
    }
}

/// What the kernel will name the process: the last part of the program's path, cut to 15 bytes by the kernel.
fn task_name(program: &OsStr) -> CString {
    let name = Path::new(program).file_name().unwrap_or(program);
    // A program whose name has a zero in it cannot be started anyway.
    CString::new(name.as_encoded_bytes()).unwrap_or_default()
}

fn started(
    spawned: std::thread::Result<io::Result<Child>>,
    program: OsString,
) -> Result<Child, LaunchError> {
    match spawned {
        Ok(Ok(child)) => Ok(child),
        Ok(Err(cause)) => Err(LaunchError::Exec { program, cause }),
        Err(_) => Err(io::Error::other("the thread that starts it has failed").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// The program does not run before it is released, under the pid that was told.
    #[test]
    fn held_back_until_released() {
        let directory = tempfile::tempdir().unwrap();
        let witness = directory.path().join("pid");
        let script = format!("echo $$ > {}", witness.display());
        let command = words(&["sh", "-c", &script]);
        let held = HeldCommand::fork(&command, None, false).unwrap();
        let pid = held.pid();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        assert!(!witness.exists());
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(name, "sh\n");
        let mut child = held.release(&command[0]).unwrap();
        assert!(child.wait().unwrap().success());
        let told = std::fs::read_to_string(witness).unwrap();
        assert_eq!(told.trim(), pid.to_string());
    }

    /// A program that does not exist is named when it is released.
    #[test]
    fn missing_program_is_named() {
        let command = words(&["/no/such/program"]);
        let error = HeldCommand::fork(&command, None, false)
            .unwrap()
            .release(&command[0])
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
