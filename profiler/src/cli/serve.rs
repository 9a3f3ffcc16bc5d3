//! `serve`: what can be typed, what a configuration file says, and what holds in the end.
//!
//! One structure is both the options and the file, so that every option can be in the file under its name.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgAction, Args, ValueEnum};
use log::LevelFilter;
use serde::{Deserialize, Serialize};

use super::args::LogFormat;
use super::inputs::print;
use super::log_format;
use super::serve_values::{Frequency, Labels, ListenOn, MachineLabel, Push, Size, Span, Window};
use super::signals::{ReloadSignal, StopSignal};
use crate::config::{Config, READ_RARELY};
use crate::labels::{LabelKey, LabelSet};
use crate::output::http::Listen;
use crate::sampler::{Filter, Targets, Unwind};
use crate::serve::{self, Limits, NetSettings, Settings};
use crate::symbolize::Detail;

/// Bytes of unwind rows in the kernel. They are pages of this process, too, which is to stay small; what is evicted is
/// made again for a program that runs again.
const UNWIND_MEMORY: u64 = 64 << 20;

/// What can be typed behind `serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    typed: Choices,

    /// Read what is not typed from this file, a TOML document whose keys are the options without their dashes. It is read
    /// again on SIGHUP: window, retain and max-size hold at once, the rest after a restart
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the configuration that options and file make, as such a file, and exit
    #[arg(long)]
    print_config: bool,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Say more: -v what is being done, -vv what the BPF programs have to say
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Form of what is said on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// What can be typed and be in the file; what is in neither has its default.
#[derive(Args, Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Choices {
    /// Where windows are kept, one file for each, named by its time; made if it is not there [default: /var/lib/profiler]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How long a window is [default: 60s]
    #[arg(long, value_name = "TIME")]
    window: Option<Window>,

    /// Remove windows that are older [default: 24h]
    #[arg(long, value_name = "TIME")]
    retain: Option<Span>,

    /// Remove the oldest windows when all together would have more bytes: 500MB, 1GiB [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,

    /// Answer HTTP on this address and port: profiles on demand, windows, a page that shows them, metrics; none for no HTTP
    /// [default: 127.0.0.1:6060]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<ListenOn>,

    /// Answer those only who know the token in this file, as bearer token or as password of any user; an address that other
    /// machines can reach needs one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Push each window there, too: pyroscope=URL, otlp=URL (gRPC) or parca=URL, and behind commas what is needed there:
    /// token-file=FILE, password-file=FILE (with USER:PASSWORD), ca-file=FILE, header=NAME:VALUE (--print-config shows it);
    /// can be repeated
    #[arg(long, value_name = "RECEIVER=URL[,KEY=VALUE]…")]
    push: Option<Vec<Push>>,

    /// Tell receivers this of the machine, besides its name; can be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    push_label: Option<Vec<MachineLabel>>,

    /// Samples per second on each CPU [default: 19]
    #[arg(short = 'F', long, value_name = "HZ")]
    frequency: Option<Frequency>,

    /// A file for each program in each window [default: none, one file for all]
    #[arg(long, value_name = "HOW", value_enum)]
    split: Option<Split>,

    /// Labels of samples, as for the main job [default: pid,host_pid,comm,cgroup,container]
    #[arg(long, value_name = "LIST")]
    labels: Option<Labels>,
}

/// What gets a file of its own.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Split {
    /// Each window
    None,
    /// Each program (file name of the executable) in each window
    Exe,
}

impl Choices {
    fn or(self, other: Self) -> Self {
        Self {
            dir: self.dir.or(other.dir),
            window: self.window.or(other.window),
            retain: self.retain.or(other.retain),
            max_size: self.max_size.or(other.max_size),
            listen: self.listen.or(other.listen),
            token_file: self.token_file.or(other.token_file),
            push: self.push.or(other.push),
            push_label: self.push_label.or(other.push_label),
            frequency: self.frequency.or(other.frequency),
            split: self.split.or(other.split),
            labels: self.labels.or(other.labels),
        }
    }

    fn defaults() -> Self {
        let labels = [
            LabelKey::Pid,
            LabelKey::HostPid,
            LabelKey::Comm,
            LabelKey::Cgroup,
            LabelKey::Container,
        ];
        let labels = labels.into_iter().fold(LabelSet::NONE, LabelSet::with);
        Self {
            dir: Some("/var/lib/profiler".into()),
            window: Some(Window::DEFAULT),
            retain: Some(Span::DAY),
            max_size: Some(Size::GIBIBYTE),
            listen: Some(ListenOn(Listen::DEFAULT)),
            token_file: None,
            push: None,
            push_label: None,
            frequency: Some(Frequency::DEFAULT),
            split: Some(Split::None),
            labels: Some(Labels(labels)),
        }
    }
}

impl ServeArgs {
    /// Sets up the log. It tells of what begins and ends, too: nobody looks on.
    pub(super) fn init_log(&self) {
        let level = log_format::level(LevelFilter::Info, self.verbose, self.quiet);
        log_format::init(self.log_format, level);
    }

    /// What holds: what was typed before what is in the file before what is usual.
    fn choices(&self) -> Result<Choices> {
        let file = self.config.as_deref().map(read).transpose()?;
        let typed = self.typed.clone();
        Ok(typed.or(file.unwrap_or_default()).or(Choices::defaults()))
    }

    fn settings(&self, choices: Choices) -> Result<Settings> {
        let missing = "each choice has a default";
        let limits = limits(&choices)?;
        Ok(Settings {
            dir: choices.dir.context(missing)?,
            limits,
            net: NetSettings {
                listen: choices.listen.context(missing)?.0,
                token_file: choices.token_file,
                push: choices
                    .push
                    .into_iter()
                    .flatten()
                    .map(|push| push.target)
                    .collect(),
                push_labels: choices
                    .push_label
                    .into_iter()
                    .flatten()
                    .map(|MachineLabel(name, value)| (name, value))
                    .collect(),
            },
            config: Config {
                targets: Targets::All,
                filter: Filter::default(),
                pid_namespace: None,
                labels: choices.labels.context(missing)?.0,
                split_by_program: choices.split == Some(Split::Exe),
                started_later: false,
                duration: None,
                frequency_hz: choices.frequency.context(missing)?.0,
                read_every: READ_RARELY,
                kernel_stacks: true,
                follow_children: false,
                detail: Detail::Full,
                unwind: Unwind::Auto,
                bpf_loop: None,
                check_walks: false,
                unwind_memory: UNWIND_MEMORY,
                bpf_log: self.verbose >= 2,
            },
        })
    }
}

fn limits(choices: &Choices) -> Result<Limits> {
    let missing = "each choice has a default";
    Ok(Limits {
        window: choices.window.context(missing)?.0,
        retain: choices.retain.context(missing)?.0,
        max_size: choices.max_size.context(missing)?.0,
    })
}

/// Profiles until told to stop.
pub(super) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let choices = args.choices()?;
    if args.print_config {
        let text = toml::to_string(&choices).context("failed to write TOML")?;
        print(text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = StopSignal::register().context("failed to take over Ctrl-C and SIGTERM")?;
    let hangup = ReloadSignal::register().context("failed to take over SIGHUP")?;
    let begun_with = choices.clone();
    serve::run(args.settings(choices)?, stop.as_fd(), || {
        hangup.take().then(|| reload(args, &begun_with)).flatten()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the file again; what is wrong with it is said and changes nothing.
fn reload(args: &ServeArgs, begun_with: &Choices) -> Option<Limits> {
    let Some(file) = &args.config else {
        log::warn!("SIGHUP changes nothing without a file to read again; give one: --config FILE");
        return None;
    };
    let read = args.choices().and_then(|new| Ok((limits(&new)?, new)));
    let (limits, new) = read
        .inspect_err(|error| {
            // Errors of TOML show the line, and end with one of their own.
            let error = format!("{error:#}");
            log::error!("{}; what was configured before holds", error.trim_end());
        })
        .ok()?;
    log::info!("{} was read again", file.display());
    let later = begun_with.needs_restart(&new);
    if !later.is_empty() {
        log::warn!(
            "{} other than before: that holds after a restart of the profiler",
            later.join(", ")
        );
    }
    Some(limits)
}

impl Choices {
    /// The keys whose values differ and that are looked at only when it begins.
    fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let keys = [
            ("dir", self.dir != new.dir),
            ("listen", self.listen != new.listen),
            ("token-file", self.token_file != new.token_file),
            ("push", self.push != new.push),
            ("push-label", self.push_label != new.push_label),
            ("frequency", self.frequency != new.frequency),
            ("split", self.split != new.split),
            ("labels", self.labels != new.labels),
        ];
        let changed = keys.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }
}

fn read(file: &Path) -> Result<Choices> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the configuration {} cannot be read", file.display()))?;
    toml::from_str(&text).with_context(|| {
        format!(
            "the configuration {} makes no sense; profiler serve --print-config prints one that does",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn choices(line: &str) -> Result<Choices> {
        let words = std::iter::once("serve").chain(line.split_whitespace());
        Program::try_parse_from(words).unwrap().serve.choices()
    }

    /// What is printed is read back as the same, whatever was typed.
    #[test]
    fn printed_configuration_is_read_back() {
        for line in [
            "",
            "--dir /a/b --window 1m30s --retain 7d --max-size 500MB -F 99 --split exe --labels none",
            "--listen [::1]:0 --token-file /a/token",
            "--listen none --push otlp=host,token-file=/a --push parca=https://b --push-label a=b=c",
        ] {
            let first = choices(line).unwrap();
            let text = toml::to_string(&first).unwrap();
            assert_eq!(toml::from_str::<Choices>(&text).unwrap(), first, "{text}");
        }
    }

    /// Typed options come before those of the file, and those before the usual ones.
    #[test]
    fn typed_before_file_before_usual() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "window = \"30s\"\nretain = \"2h\"\n").unwrap();
        let line = format!("--retain 1h --config {}", file.path().display());
        let found = choices(&line).unwrap();
        let usual = Choices::defaults();
        assert_eq!(found.window.unwrap().0.as_secs(), 30);
        assert_eq!(found.retain.unwrap().0.as_secs(), 3600);
        assert_eq!(found.max_size, usual.max_size);
        assert!(usual.needs_restart(&found).is_empty());
        let other = choices("-F 99 --dir /x").unwrap();
        assert_eq!(usual.needs_restart(&other), ["dir", "frequency"]);
    }

    /// The file that packages bring says what holds without it, and its examples are right.
    #[test]
    fn packaged_file_is_as_usual() {
        let text = include_str!("../../../packaging/serve.toml");
        let found: Choices = toml::from_str(text).unwrap();
        assert!(found.dir.is_some() && found.listen.is_some());
        assert_eq!(found.or(Choices::defaults()), Choices::defaults());
        let examples = text.lines().filter_map(|line| line.strip_prefix("#   "));
        let examples: Vec<&str> = examples.collect();
        assert_eq!(examples.len(), 3);
        let examples: Choices = toml::from_str(&examples.join("\n")).unwrap();
        assert!(examples.token_file.is_some() && examples.push.is_some());
        assert!(examples.push_label.is_some());
    }

    /// What is wrong with a file is said with the line, and with what would be right.
    #[test]
    fn wrong_files() {
        for (text, expected) in [
            ("windw = \"30s\"", "unknown field `windw`"),
            ("window = \"1ms\"", "at least a second"),
            ("frequency = 0", "must be at least 1"),
            ("split = \"pid\"", "unknown variant `pid`"),
            ("max-size = \"lots\"", "max-size"),
            ("push = [\"loki=x\"]", "no receiver `loki`"),
            ("window", "line 1"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let error = read(file.path()).unwrap_err();
            let said = format!("{error:#}");
            assert!(said.contains(expected), "{text}: {said}");
            assert!(said.contains("--print-config"), "{said}");
        }
    }
}
