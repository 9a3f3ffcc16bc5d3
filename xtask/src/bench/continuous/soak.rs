//! Whether the profiler grows when programs come and go for a long time.

use std::time::Duration;

use anyhow::Result;

use super::super::unwind::goal;
use super::crowd::Stream;
use super::service::Service;
use super::{Bench, MOST_MIB};

/// New programs a second.
const A_SECOND: u32 = 100;
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);
/// Parts of the time that do not count: what is met for the first time has to be remembered.
const WARM_UP: usize = 3;

/// What was seen at a time.
struct Look {
    minutes: f64,
    mib: f64,
    bpf_mib: f64,
    open_files: usize,
}

impl Bench {
    /// Lets it run beside programs that come and go.
    pub(super) fn soak(&self) -> Result<String> {
        let stream = Stream::start(
            &self.directory.with_file_name("continuous-programs"),
            A_SECOND,
        )?;
        let service = Service::start(&self.profiler, &self.directory, self.window, 99)?;
        let mut looks = Vec::new();
        let count = (self.soak.as_secs() / EVERY.as_secs()).max(2 * WARM_UP as u64);
        for number in 1..=count {
            self.patience.wait(EVERY)?;
            let look = Look {
                minutes: number as f64 * EVERY.as_secs_f64() / 60.0,
                mib: service.mib()?,
                bpf_mib: service.bpf_mib(),
                open_files: service.open_files()?,
            };
            eprintln!(
                "soak: {:.1} min, {:.1} MiB, {} files",
                look.minutes, look.mib, look.open_files
            );
            looks.push(look);
        }
        let started = stream.started();
        drop(stream);
        service.stop()?;
        Ok(text(&looks, started))
    }
}

fn text(looks: &[Look], started: u64) -> String {
    let mut text = format!(
        "\n## Soak\n\nAt 99 Hz beside {A_SECOND} new programs a second, of files of which one is replaced each second; {started} in all.\n\n\
         | minutes | MiB | BPF MiB | open files |\n|---|---|---|---|\n"
    );
    for look in looks {
        text += &format!(
            "| {:.1} | {:.1} | {:.1} | {} |\n",
            look.minutes, look.mib, look.bpf_mib, look.open_files
        );
    }
    let peak = |looks: &[Look]| looks.iter().map(|look| look.mib).fold(0.0, f64::max);
    let (early, late) = looks.split_at(looks.len() / 2);
    let early = peak(early.get(early.len().min(WARM_UP) - 1..).unwrap_or(early));
    let growth = 100.0 * (peak(late) / early - 1.0);
    text += "\n";
    text += &goal(
        "resident memory at its peak",
        Some(peak(looks)),
        MOST_MIB,
        "MiB",
    );
    text += &goal(
        "peak of the second half more than that of the first by",
        Some(growth),
        5.0,
        "%",
    );
    text
}
