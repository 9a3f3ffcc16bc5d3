//! What was typed: every option, its help and its range. Help, man page and completions come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Parser, Subcommand, ValueEnum};
use regex::bytes::Regex;

use super::build_id::BuildIdArgs;
use super::core_file::CoreArgs;
use super::doctor::DoctorArgs;
use super::maps::MapsArgs;
use super::serve::ServeArgs;
use super::symbols::SymbolsArgs;
use super::values;
use crate::labels::LabelSet;
use crate::symbolize::Detail;

const EXAMPLES: &str = "\
Examples:
  sudo profiler --pid 4711 -o cpu.pb.gz           until Ctrl-C, or until the process ends
  sudo profiler -p 4711,4712 -d 10s -F 499        two processes, 10 seconds, 499 samples a second
  sudo profiler -o cpu.pb.gz -- ./prog args       a program and its children, until it ends
  sudo profiler -a -d 10s -o - | pprof -top -     every process, to another program
  sudo profiler --comm '^nginx' -d 10s            processes by name
  sudo profiler --cgroup system.slice/ssh.service -d 10s
  go tool pprof -top cpu.pb.gz                    look at the result
  profiler build-id /usr/bin/*                    which build each file is of
  sudo profiler maps --pid 4711                   what the process has mapped, as a profile has it
  sudo profiler symbols _PyRuntime                where the symbol is in every running process
  profiler core core.4711 -o stacks.pb.gz         stacks of a program that died, as a report and as a profile
  sudo profiler serve --dir /var/lib/profiler     always, a profile of each minute
  sudo profiler doctor                            what this machine allows, and what mends the rest";

const EXIT_CODES: &str = "\
Exit codes:
  0  a profile was written
  1  it could not be
  2  wrong usage
  3  it was written, but there were no samples

For the commands that do not sample, 1 means that some input could not be read;
for doctor, that nothing can be profiled here.

Rights: root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and
CAP_CHECKPOINT_RESTORE; where kernel.perf_event_paranoid is 3, CAP_SYS_ADMIN.
Linux 5.10 or newer.";

/// Samples running programs with eBPF and writes a CPU profile that every pprof tool reads.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "profiler",
    version,
    before_help = EXAMPLES,
    override_usage = "profiler [OPTIONS] --pid <PID>\n       profiler [OPTIONS] --tid <TID>\n       profiler [OPTIONS] --all\n       profiler [OPTIONS] --comm <REGEX> | --cgroup <PATH>\n       profiler [OPTIONS] -- COMMAND [ARGUMENTS]\n       profiler serve|build-id|maps|symbols|core|doctor|unwind-info …",
    after_help = EXIT_CODES,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    group = ArgGroup::new("what").required(true).multiple(true)
        .args(["pid", "tid", "all", "comm", "cgroup", "command", "generate"]),
    group = ArgGroup::new("parents").multiple(true).args(["pid", "tid", "command"]),
)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag that can be typed"
)]
pub(super) struct Args {
    /// Profile these processes with all their threads, those that they start later too; may be repeated. In a pid
    /// namespace (a container), ids are those of that namespace
    #[arg(short, long, value_name = "PID", value_delimiter = ',', action = ArgAction::Append,
          conflicts_with_all = ["all", "command"], value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) pid: Vec<u32>,

    /// Profile single threads, until they end; may be repeated, and be there beside --pid
    #[arg(short, long, value_name = "TID", value_delimiter = ',', action = ArgAction::Append,
          conflicts_with_all = ["all", "command"], value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) tid: Vec<u32>,

    /// Profile every process of the machine; in a pid namespace, every process that can be seen there
    #[arg(short, long, conflicts_with = "command")]
    pub(super) all: bool,

    /// Profile only processes whose name matches, at the time of each sample: a regular expression that is found anywhere
    /// in the name of the process as ps -o comm shows it, of at most 15 bytes. By itself, of all processes (-a); beside
    /// --pid, --tid or a command, of those
    #[arg(long, value_name = "REGEX", value_parser = values::pattern)]
    pub(super) comm: Option<Regex>,

    /// Profile only what is in this control group (of version 2) or below, at the time of each sample: a path as in
    /// /proc/PID/cgroup, or that of its directory in /sys/fs/cgroup; may be repeated, then one of them. By itself, of all
    /// processes (-a); beside --pid, --tid, --comm or a command, of those
    #[arg(long, value_name = "PATH", action = ArgAction::Append)]
    pub(super) cgroup: Vec<PathBuf>,

    /// Stop after this time: 5s, 500ms, 2m [default: until Ctrl-C, or until nothing is left to profile].
    /// A command that was started is ended with SIGTERM then
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    pub(super) duration: Option<Duration>,

    /// Samples per second on each CPU
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 99, value_parser = values::frequency)]
    pub(super) frequency: u32,

    /// Where the profile goes; - is standard output, and then what a started command prints goes to standard error
    #[arg(short, long, value_name = "FILE", default_value = "cpu.pb.gz")]
    pub(super) output: PathBuf,

    /// Take the kernel's part of each stack too [default]
    #[arg(long, overrides_with = "no_kernel")]
    pub(super) kernel: bool,

    /// Leave the kernel's part of each stack out
    #[arg(long, overrides_with = "kernel")]
    pub(super) no_kernel: bool,

    /// How much of the names to find
    #[arg(long, value_name = "HOW MUCH", value_enum, default_value_t = Symbolize::Full)]
    pub(super) symbolize: Symbolize,

    /// Profile children too, those that are there already and those forked later, and theirs [default for a command].
    /// With --tid, children and threads that the thread starts from now on
    #[arg(
        long,
        overrides_with = "no_inherit",
        conflicts_with = "all",
        requires = "parents"
    )]
    pub(super) inherit: bool,

    /// Do not profile children [default for --pid and --tid]
    #[arg(
        long,
        overrides_with = "inherit",
        conflicts_with = "all",
        requires = "parents"
    )]
    pub(super) no_inherit: bool,

    /// Labels of samples, for pprof's -tagfocus, -tagroot and -tagleaf. Each one keeps equal stacks apart, which makes the
    /// profile larger. pid, tid: process and thread; host_pid: the process's id on the host, where that is another;
    /// ns_pid: its id in its own pid namespace, likewise; comm, thread: their names; cgroup: control group; container: id
    /// of the container, from the control group; cpu; state: user or kernel, which of them was interrupted. Also: all,
    /// none
    #[arg(long, value_name = "LIST", default_value_t = LabelSet::DEFAULT, value_parser = LabelSet::parse)]
    pub(super) labels: LabelSet,

    /// How stacks of programs are walked
    #[arg(long, value_name = "HOW", value_enum, default_value_t = UnwindBy::Auto)]
    pub(super) unwind: UnwindBy,

    /// Memory that unwind tables may take in the kernel, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) unwind_memory: u32,

    /// Walk by tables with bpf_loop or with tail calls, whatever the kernel has: for tests
    #[arg(long, value_name = "BOOL", hide = true)]
    pub(super) bpf_loop: Option<bool>,

    /// Walk each stack a second time from a copy, and say how many walks differ: for tests
    #[arg(long, hide = true)]
    pub(super) check_walks: bool,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Say more: -v what is being done and what it cost, -vv what the BPF programs have to say
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// Form of what is said on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,

    /// Print the man page, all of them as JSON, or the completions for a shell, and exit
    #[arg(long, value_name = "WHAT", value_enum, hide = true, exclusive = true)]
    pub(super) generate: Option<Generate>,

    #[command(subcommand)]
    pub(super) inspect: Option<Inspect>,

    /// Start this command and profile it and its children until it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// What the profiler does besides the one profile.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Inspect {
    /// Print the build-ids of files, or of what a process has mapped: `ID  PATH`, - for the ID where there is none
    BuildId(BuildIdArgs),

    /// Print what a process has mapped: by default the executable mappings as a profile has them, the main binary first
    Maps(MapsArgs),

    /// Print what a core file is of, its modules, and the stack of each thread; write them as a profile
    Core(CoreArgs),

    /// Print where a symbol is in every running process: address, size, type, name and file
    Symbols(SymbolsArgs),

    /// Print what this kernel and these rights allow, and the command that mends what is wrong; fails when nothing can be
    /// profiled
    Doctor(DoctorArgs),

    /// Profile the whole machine until told to stop, and keep a profile of each minute on disk for a day
    Serve(ServeArgs),

    /// Print the unwind rows of a binary: their number and size, what could not be expressed, and the rows
    UnwindInfo {
        /// An ELF file
        file: PathBuf,

        /// Print so many rows [default: all]
        #[arg(long, value_name = "N")]
        rows: Option<usize>,
    },
}

/// How much of the names to find.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Symbolize {
    /// None but of what has no file (kernel, vDSO, JIT); the rest is for whoever reads the profile
    None,
    /// Functions, from symbol tables
    Functions,
    /// Functions, inlined calls, files and lines, from debug information too
    Full,
}

impl From<Symbolize> for Detail {
    fn from(symbolize: Symbolize) -> Self {
        match symbolize {
            Symbolize::None => Self::None,
            Symbolize::Functions => Self::Functions,
            Symbolize::Full => Self::Full,
        }
    }
}

/// How stacks of programs are walked.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UnwindBy {
    /// By unwind tables (.eh_frame), and by frame pointers where there are none
    Auto,
    /// By unwind tables only
    Dwarf,
    /// By frame pointers only
    Fp,
}

/// Form of messages.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// What can be made from the definitions in this file.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Generate {
    /// profiler(1)
    Man,
    /// All man pages, that of each command too: one JSON object of file names and texts
    ManPages,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<(), &str>) {
        let words = std::iter::once("profiler").chain(line.split_whitespace());
        match (Args::try_parse_from(words), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => {
                let text = error.to_string();
                assert!(text.contains(part), "{line}: {text}");
                assert_eq!(error.exit_code(), 2, "{line}");
            }
            (parsed, expected) => panic!("{line}: {parsed:?}, expected {expected:?}"),
        }
    }

    /// What is promised can be typed; what makes no sense is refused with exit code 2.
    #[test]
    fn command_lines() {
        let cases = [
            ("--pid 1 -o cpu.pb.gz", Ok(())),
            ("-p 1,2 -p 3 -d 10s -F 499 -o -", Ok(())),
            ("-a -d 500ms --no-kernel --symbolize none", Ok(())),
            ("-d 2m -o x -- ./prog -x --all", Ok(())),
            ("--no-inherit -q --log-format json -- prog", Ok(())),
            ("-vv --kernel -a", Ok(())),
            ("unwind-info /bin/true", Ok(())),
            ("unwind-info /bin/true --rows 3", Ok(())),
            ("unwind-info", Err("<FILE>")),
            ("build-id /bin/true /bin/false --json", Ok(())),
            ("build-id --pid 1", Ok(())),
            ("build-id --pid 1 /bin/true", Err("cannot be used with")),
            ("build-id", Err("required")),
            ("maps -p 1 --all --json", Ok(())),
            ("maps --all", Err("--pid <PID>")),
            ("symbols main -p 1,2 -p 3 --path lib*.so --follow", Ok(())),
            ("symbols main --path [", Err("unclosed character class")),
            ("symbols", Err("<NAME>")),
            ("core core.1 --exe prog -o stacks.pb.gz --json", Ok(())),
            (
                "core core.1 --sysroot / --debug-dir a --debug-dir b",
                Ok(()),
            ),
            ("core", Err("<FILE>")),
            ("serve", Ok(())),
            (
                "serve --dir x --window 60s --retain 24h --max-size 1GiB -F 19 --split exe",
                Ok(()),
            ),
            ("serve --window 10ms", Err("at least a second")),
            ("serve --max-size lots", Err("invalid value")),
            ("serve --split pid", Err("possible values")),
            ("doctor --json", Ok(())),
            ("-a doctor", Err("unexpected argument")),
            ("-a unwind-info /bin/true", Err("unexpected argument")),
            ("", Err("required")),
            ("-p 0", Err("0 is not in 1..")),
            ("-p x", Err("invalid value 'x'")),
            ("-p 1 -a", Err("cannot be used with")),
            ("-p 1 -- prog", Err("cannot be used with")),
            ("-p 1 --no-inherit", Ok(())),
            ("-p 1 --inherit", Ok(())),
            ("-p 1 --inherit --no-inherit", Ok(())),
            ("--inherit -- prog", Ok(())),
            ("-a --inherit", Err("cannot be used with")),
            ("--comm x --inherit", Err("--pid <PID>")),
            ("--tid 7,8 -t 9 -p 1", Ok(())),
            ("-t 0", Err("0 is not in 1..")),
            ("-t 1 -a", Err("cannot be used with")),
            ("-t 1 -- prog", Err("cannot be used with")),
            ("-a -- prog", Err("cannot be used with")),
            ("--comm ^a --cgroup x --cgroup /y", Ok(())),
            ("-a --comm ^a", Ok(())),
            ("-p 1 --comm ^a", Ok(())),
            ("--comm a -- prog", Ok(())),
            ("--comm a(", Err("unclosed group")),
            ("-a --labels pid,state", Ok(())),
            ("-a --labels none", Ok(())),
            ("-a --labels pid,pod", Err("known are pid, host_pid")),
            ("-a -d 5", Err("time unit needed")),
            ("-a -d 0s", Err("longer than nothing")),
            ("-a -F 0", Err("at least 1")),
            ("-a -F 2000000000", Err("at most 1000000")),
            ("-a -q -v", Err("cannot be used with")),
            ("-a --symbolize some", Err("possible values")),
        ];
        for (line, expected) in cases {
            check(line, expected);
        }
    }

    /// The definitions are consistent by clap's own checks.
    #[test]
    fn definitions_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
