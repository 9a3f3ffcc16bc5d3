//! One guest: booted, left alone, and ended when it takes too long.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;
use super::tools::QEMU;

/// After so long a guest hangs; on two busy processors it takes a third of that.
const HANGS: Duration = Duration::from_secs(240);

/// Never with KVM: where it is nested, kernels die in their own decompressor. A panic is an exit.
const MACHINE: &[&str] = &[
    "-accel",
    "tcg,thread=multi",
    "-M",
    "q35",
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    "768",
    "-nodefaults",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-monitor",
    "none",
    "-no-reboot",
    "-append",
    "console=ttyS0 panic=-1 quiet",
];

/// Boots it with its console in the log, and says how many seconds it took.
pub(super) fn run(kernel: &Kernel, initramfs: &Path, log: &Path) -> Result<f64> {
    let console =
        File::create(log).with_context(|| format!("could not create {}", log.display()))?;
    let started = Instant::now();
    let mut guest = Command::new(QEMU)
        .args(MACHINE)
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .stdin(Stdio::null())
        .stderr(console.try_clone()?)
        .stdout(console)
        .spawn()
        .with_context(|| format!("could not start {QEMU}"))?;
    loop {
        if let Some(status) = guest.try_wait()? {
            if status.success() {
                return Ok(started.elapsed().as_secs_f64());
            }
            bail!("{QEMU} ended with {status}");
        }
        if started.elapsed() > HANGS {
            guest.kill().context("the guest could not be ended")?;
            guest.wait()?;
            bail!("the guest was not done after {} s", HANGS.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
