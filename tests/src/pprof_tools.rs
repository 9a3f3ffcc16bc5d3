//! Runs pprof's command-line programs, `go tool pprof` (two of them) and google/pprof's own, and hands back what they
//! print.
//!
//! They differ (only google's knows build-ids, file offsets and inlined calls), so the suite asks all of them. Building
//! and installing them is left to `cargo xtask`; what their output ought to be is left to the cases.

#[cfg(test)]
pub(crate) mod canonical;
#[cfg(test)]
mod merging;
mod raw;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

pub use raw::{Raw, RawLine, RawLocation, RawMapping, RawSample};

/// Names the folder with the programs that `cargo xtask` built; without it, `tools` among the build results is taken.
const TOOLS: &str = "PROFILER_TOOLS";

/// One of the programs, and the environment it runs in.
#[derive(Clone, Debug)]
pub struct Pprof {
    name: &'static str,
    program: PathBuf,
    leading_args: &'static [&'static str],
    binary_path: Option<OsString>,
}

/// What a run printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// The report.
    pub stdout: String,
    /// Complaints, for example of binaries that were not found.
    pub stderr: String,
}

impl Pprof {
    /// `go tool pprof` of the Go on PATH, which may be years old.
    ///
    /// That of Go 1.19 (Debian 12) disassembles no position-independent program (<https://go.dev/issue/46639>), and
    /// names nothing in one whose executable segment does not begin at a page, as LLD links them.
    pub fn installed_go() -> Self {
        Self {
            name: "installed go tool pprof",
            program: PathBuf::from("go"),
            leading_args: &["tool", "pprof"],
            binary_path: None,
        }
    }

    /// `go tool pprof` of a current Go.
    ///
    /// # Errors
    ///
    /// When it has not been built.
    pub fn current_go() -> anyhow::Result<Self> {
        Self::built("current go tool pprof", "go-pprof")
    }

    /// google/pprof's own program.
    ///
    /// # Errors
    ///
    /// When it has not been built.
    pub fn google() -> anyhow::Result<Self> {
        Self::built("google/pprof", "google-pprof")
    }

    /// All three.
    ///
    /// # Errors
    ///
    /// When one has not been built.
    pub fn all() -> anyhow::Result<[Self; 3]> {
        Ok([Self::installed_go(), Self::current_go()?, Self::google()?])
    }

    fn built(name: &'static str, file: &str) -> anyhow::Result<Self> {
        Ok(Self {
            name,
            program: built_program(file)?,
            leading_args: &[],
            binary_path: None,
        })
    }

    /// What to call the program in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same program, looking for binaries in `folder`.
    pub fn with_binary_path(&self, folder: &Path) -> Self {
        Self {
            binary_path: Some(folder.into()),
            ..self.clone()
        }
    }

    /// Runs the program; `args` are options first, then binary and profiles.
    ///
    /// # Errors
    ///
    /// When it cannot be run, fails, or prints something that is not UTF-8.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Printed> {
        let home = tempfile::tempdir().context("failed to make a temporary directory")?;
        let mut command = Command::new(&self.program);
        command
            .args(self.leading_args)
            .args(args)
            // The user's own settings and collected binaries must not matter.
            .env("PPROF_TMPDIR", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .env(
                "PPROF_BINARY_PATH",
                self.binary_path
                    .as_deref()
                    .unwrap_or(home.path().as_os_str()),
            )
            .env("TZ", "UTC");
        let output = command.output().with_context(|| {
            format!(
                "failed to run {}; `cargo xtask setup` installs what it needs",
                self.name
            )
        })?;
        let text = |bytes| {
            String::from_utf8(bytes).with_context(|| format!("{} prints no UTF-8", self.name))
        };
        let (stdout, stderr) = (text(output.stdout)?, text(output.stderr)?);
        if !output.status.success() {
            bail!("{}: {}\n{command:?}\n{stderr}", self.name, output.status);
        }
        Ok(Printed { stdout, stderr })
    }

    /// The profile as it was written: `-raw -symbolize=none`.
    ///
    /// # Errors
    ///
    /// When pprof refuses the profile, or prints what [`Raw`] does not know.
    pub fn raw(&self, profile: &Path) -> anyhow::Result<Raw> {
        let printed = self.report("-raw", &["-symbolize=none"], &[profile])?;
        Raw::parse(&printed.stdout)
            .with_context(|| format!("{} -raw printed:\n{}", self.name, printed.stdout))
    }

    /// The functions by their own samples, all of them: `-top`.
    ///
    /// # Errors
    ///
    /// When pprof fails.
    pub fn top(&self, options: &[&str], files: &[&Path]) -> anyhow::Result<Printed> {
        self.report("-top", &[&["-nodefraction=0"], options].concat(), files)
    }

    /// The source of the functions that match `function`, with samples at each line: `-list`.
    ///
    /// # Errors
    ///
    /// When pprof fails, which includes that nothing matches.
    pub fn list(
        &self,
        function: &str,
        options: &[&str],
        files: &[&Path],
    ) -> anyhow::Result<Printed> {
        self.report(&format!("-list={function}"), options, files)
    }

    /// The instructions of the functions that match `function`, with samples at each: `-disasm`.
    ///
    /// # Errors
    ///
    /// When pprof fails, which includes that nothing matches.
    pub fn disasm(
        &self,
        function: &str,
        options: &[&str],
        files: &[&Path],
    ) -> anyhow::Result<Printed> {
        self.report(&format!("-disasm={function}"), options, files)
    }

    /// Every stack with its labels: `-traces`.
    ///
    /// # Errors
    ///
    /// When pprof fails.
    pub fn traces(&self, options: &[&str], files: &[&Path]) -> anyhow::Result<Printed> {
        self.report("-traces", options, files)
    }

    /// Merges profiles into the file `merged`, without symbolizing them.
    ///
    /// # Errors
    ///
    /// When pprof fails.
    pub fn merge(&self, profiles: &[&Path], merged: &Path) -> anyhow::Result<()> {
        let output = format!("-output={}", merged.display());
        self.report("-proto", &["-symbolize=none", &output], profiles)?;
        Ok(())
    }

    fn report(&self, report: &str, options: &[&str], files: &[&Path]) -> anyhow::Result<Printed> {
        let options = [&[report], options].concat().into_iter().map(OsStr::new);
        self.run(options.chain(files.iter().map(|file| file.as_os_str())))
    }
}

/// Looks in the named folder, or in `tools` beside the folders that the running test was built into.
fn built_program(file: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("failed to find the running test")?;
    let folders: Vec<PathBuf> = match std::env::var_os(TOOLS) {
        Some(folder) => vec![folder.into()],
        None => test
            .ancestors()
            .map(|folder| folder.join("tools"))
            .collect(),
    };
    let found = folders
        .iter()
        .map(|folder| folder.join(file))
        .find(|program| program.is_file());
    found.with_context(|| {
        let place = folders.first().map_or(Path::new(""), |folder| folder);
        format!(
            "no {file} in {} or above; `cargo xtask test` builds it, {TOOLS} names the folder",
            place.display()
        )
    })
}
