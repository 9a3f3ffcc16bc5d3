//! What guests need of the host: an emulator, a shell with everything, and something that packs archives.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{command, packages, workspace};

/// The emulator.
pub(super) const QEMU: &str = "qemu-system-x86_64";

/// The shell and all tools of a guest: one file without libraries.
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// Installs what is missing.
pub(super) fn ensure() -> Result<()> {
    if command::find(QEMU).is_some() && Path::new(BUSYBOX).is_file() {
        return Ok(());
    }
    ensure!(
        packages::available(),
        "{QEMU} and a static busybox are needed, and this machine has no apt-get: install both"
    );
    // Parts of qemu may be here in a newer version, from the backports, that the release's would take away.
    let code_name = code_name()?;
    let apt = Apt::new(
        &workspace::target().join("vm/host"),
        &[
            code_name.clone(),
            format!("{code_name}-security"),
            format!("{code_name}-backports"),
        ],
        false,
    )?;
    apt.update()?;
    let install = ["install", "-y", "--no-install-recommends", "--no-remove"];
    let wanted = ["qemu-system-x86", "busybox-static"];
    let newest = format!("{code_name}-backports");
    command::check(apt.get(&install).args(["-t", &newest]).args(wanted))
        .or_else(|_| command::check(apt.get(&install).args(wanted)))
        .context("qemu could not be installed")
}

fn code_name() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("what system is this?")?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name
        .context("/etc/os-release has no VERSION_CODENAME")?
        .to_owned())
}

/// apt with package lists of its own, so that the system's stay as they are.
pub(super) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// For these suites; `alone` if it shall not know what is installed here.
    pub(super) fn new(directory: &Path, suites: &[String], alone: bool) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(directory.join(part))
                .with_context(|| format!("could not create {}", directory.display()))?;
        }
        let (archive, keys) = system_archive()?;
        let lines = suites.iter().map(|suite| {
            let uri = match suite.ends_with("-security") {
                true => format!("{archive}-security"),
                false => archive.clone(),
            };
            format!("deb [{keys}arch=amd64] {uri} {suite} main\n")
        });
        let sources = directory.join("sources.list");
        fs::write(&sources, lines.collect::<String>())?;
        let shown = directory.display();
        let mut options = vec![
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={shown}/lists"),
            format!("Dir::Cache={shown}/cache"),
            "APT::Architectures=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "DPkg::Lock::Timeout=600".to_owned(),
            "Dpkg::Use-Pty=0".to_owned(),
        ];
        if alone {
            let status = directory.join("state/status");
            fs::write(&status, "")?;
            options.push(format!("Dir::State={shown}/state"));
            options.push(format!("Dir::State::status={}", status.display()));
        }
        Ok(Self { options })
    }

    /// Fetches the lists.
    pub(super) fn update(&self) -> Result<()> {
        command::check(&mut self.get(&["update"])).context("the package lists could not be fetched")
    }

    /// `apt-get`.
    pub(super) fn get(&self, verb: &[&str]) -> Command {
        let mut apt = self.program("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-qq")
            .args(verb);
        apt.stdout(std::io::stderr());
        apt
    }

    /// `apt-cache dumpavail`: every package of the lists.
    pub(super) fn available(&self) -> Result<String> {
        command::read(self.program("apt-cache").arg("dumpavail"))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Where this system gets its packages from, and the option that names its keys.
fn system_archive() -> Result<(String, String)> {
    let text = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let value = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    if let Some(archive) = value("URIs:") {
        let keys =
            value("Signed-By:").map_or_else(String::new, |keys| format!("signed-by={keys} "));
        return Ok((archive.trim_end_matches('/').to_owned(), keys));
    }
    let text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let archive = text.lines().find_map(|line| {
        let mut words = line.strip_prefix("deb ")?.split_whitespace();
        words.find(|word| word.contains("://"))
    });
    match archive {
        Some(archive) => Ok((archive.trim_end_matches('/').to_owned(), String::new())),
        None => bail!(
            "neither debian.sources nor sources.list in /etc/apt says where Debian's packages are"
        ),
    }
}
