//! What was typed: every option, its help and its range. Help, man page and completions come from here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Parser, Subcommand, ValueEnum};

use super::values;

const EXAMPLES: &str = "\
Examples:
  sudo profiler --pid 4711 -o cpu.pb.gz           until Ctrl-C, or until the process ends
  sudo profiler -p 4711,4712 -d 10s -F 499        two processes, 10 seconds, 499 samples a second
  sudo profiler -o cpu.pb.gz -- ./prog args       a program and its children, until it ends
  sudo profiler -a -d 10s -o - | pprof -top -     every process, to another program
  go tool pprof -top cpu.pb.gz                    look at the result";

const EXIT_CODES: &str = "\
Exit codes:
  0  a profile was written
  1  it could not be
  2  wrong usage
  3  it was written, but there were no samples

Rights: root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and
CAP_CHECKPOINT_RESTORE; where kernel.perf_event_paranoid is 3, CAP_SYS_ADMIN.
Linux 5.10 or newer.";

/// Samples running programs with eBPF and writes a CPU profile that every pprof tool reads.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "profiler",
    version,
    before_help = EXAMPLES,
    override_usage = "profiler [OPTIONS] --pid <PID>\n       profiler [OPTIONS] --all\n       profiler [OPTIONS] -- COMMAND [ARGUMENTS]\n       profiler unwind-info FILE",
    after_help = EXIT_CODES,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    group = ArgGroup::new("what").required(true).args(["pid", "all", "command", "generate"]),
)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag that can be typed"
)]
pub(super) struct Args {
    /// Profile these processes with all their threads; may be repeated
    #[arg(short, long, value_name = "PID", value_delimiter = ',', action = ArgAction::Append,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) pid: Vec<u32>,

    /// Profile every process of the machine
    #[arg(short, long)]
    pub(super) all: bool,

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

    /// Do not profile the children of the command
    #[arg(long, conflicts_with_all = ["pid", "all"])]
    pub(super) no_inherit: bool,

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

    /// Print the man page or the completions for a shell, and exit
    #[arg(long, value_name = "WHAT", value_enum, hide = true, exclusive = true)]
    pub(super) generate: Option<Generate>,

    #[command(subcommand)]
    pub(super) inspect: Option<Inspect>,

    /// Start this command and profile it and its children until it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// Commands for the curious, and for bug reports.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Inspect {
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
            ("-a unwind-info /bin/true", Err("unexpected argument")),
            ("", Err("required")),
            ("-p 0", Err("0 is not in 1..")),
            ("-p x", Err("invalid value 'x'")),
            ("-p 1 -a", Err("cannot be used with")),
            ("-p 1 -- prog", Err("cannot be used with")),
            ("-p 1 --no-inherit", Err("cannot be used with")),
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
