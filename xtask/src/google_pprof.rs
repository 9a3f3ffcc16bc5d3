//! Builds google/pprof's own program from Debian's source package, for the tests.
//!
//! It is another reader than `go tool pprof`: it knows build-ids, file offsets and inlined calls. No network is
//! needed; what the packages are called is known to the setup too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// Where Debian puts the source of Go packages, laid out as a GOPATH.
const GOPATH: &str = "/usr/share/gocode";
const PACKAGE: &str = "github.com/google/pprof";
const REMEDY: &str = "`apt-get install --no-install-recommends golang-go golang-github-google-pprof-dev` installs it";

/// The program, which is built when it is not there yet (4 CPU seconds, once).
pub(crate) fn ensure(target_dir: &Path) -> anyhow::Result<PathBuf> {
    let tools = target_dir.join("tools");
    let program = tools.join("google-pprof");
    if program.is_file() {
        return Ok(program);
    }
    let source = Path::new(GOPATH).join("src").join(PACKAGE);
    ensure!(
        source.is_dir(),
        "no source of google/pprof at {}; {REMEDY}",
        source.display()
    );
    say(&program);
    fs::create_dir_all(&tools).with_context(|| format!("failed to create {}", tools.display()))?;
    // Built beside and renamed, so that an interrupted build leaves nothing that looks like the program.
    let unfinished = tools.join("google-pprof.unfinished");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&unfinished)
        .arg(PACKAGE)
        .env("GOPATH", GOPATH)
        .env("GO111MODULE", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOCACHE", tools.join("go-cache"))
        .env("GOFLAGS", "")
        .current_dir(&tools)
        .status()
        .with_context(|| format!("failed to run go; {REMEDY}"))?;
    if !status.success() {
        bail!("go could not build {PACKAGE} from {GOPATH}: {status}");
    }
    fs::rename(&unfinished, &program).with_context(|| {
        format!(
            "failed to rename {} to {}",
            unfinished.display(),
            program.display()
        )
    })?;
    Ok(program)
}

#[allow(clippy::print_stderr, reason = "a task says what takes its time")]
fn say(program: &Path) {
    eprintln!("building {} from {GOPATH}", program.display());
}
