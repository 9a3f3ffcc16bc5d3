//! What was typed behind `cargo xtask bench`.

use anyhow::{Context, Result, bail};

use super::workload::Workload;
use super::workloads::WORKLOADS;

const USAGE: &str = "usage: cargo xtask bench [--rounds N] [--seconds S] [--frequency HZ] [--workload NAME] [--name WHAT]
  --rounds      how often each profiler is run on each workload (default 5)
  --seconds     how long each run samples (default 10)
  --frequency   samples a second (default 99)
  --workload    c, rust, go or python; may be repeated (default all)
  --name        what the file of results is called behind the date (default the workloads)";

/// A checked command line.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) seconds: u32,
    pub(super) frequency: u32,
    pub(super) workloads: Vec<&'static Workload>,
    pub(super) name: String,
}

impl Options {
    /// Fails on anything that is not an option with its value, and says how it is used.
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            seconds: 10,
            frequency: 99,
            workloads: Vec::new(),
            name: String::new(),
        };
        let mut words = arguments.iter();
        while let Some(option) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{option} needs a value\n{USAGE}"))
            };
            match option.as_str() {
                "--rounds" => options.rounds = positive(option, value()?)? as usize,
                "--seconds" => options.seconds = positive(option, value()?)?,
                "--frequency" => options.frequency = positive(option, value()?)?,
                "--workload" => options.workloads.push(workload(value()?)?),
                "--name" => options.name.clone_from(value()?),
                _ => bail!("unknown argument `{option}`\n{USAGE}"),
            }
        }
        if options.workloads.is_empty() {
            options.workloads = WORKLOADS.iter().collect();
        }
        if options.name.is_empty() {
            let names: Vec<&str> = options.workloads.iter().map(|all| all.name).collect();
            options.name = names.join("-");
        }
        Ok(options)
    }
}

/// Hands each option of a benchmark of something else to `take`, with its value; that tells whether it knows the option.
pub(super) fn each(
    arguments: &[String],
    usage: &str,
    mut take: impl FnMut(&str, &String) -> Result<bool>,
) -> Result<()> {
    let mut words = arguments.iter();
    while let Some(option) = words.next() {
        let Some(value) = words.next() else {
            bail!("{option} needs a value\n{usage}");
        };
        if !take(option, value)? {
            bail!("unknown argument `{option}`\n{usage}");
        }
    }
    Ok(())
}

/// A number from 1 on.
pub(super) fn positive(option: &str, value: &str) -> Result<u32> {
    match value.parse() {
        Ok(0) | Err(_) => bail!("{option} needs a number from 1 on, not `{value}`\n{USAGE}"),
        Ok(number) => Ok(number),
    }
}

fn workload(name: &str) -> Result<&'static Workload> {
    WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .with_context(|| format!("there is no workload `{name}`\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Options::parse(&words).map_err(|error| error.to_string())
    }

    /// Options come in any order, and what is left out has a default.
    #[test]
    fn options_are_read() {
        let all = parse("").unwrap();
        assert_eq!((all.rounds, all.seconds, all.frequency), (5, 10, 99));
        assert_eq!(all.name, "c-rust-go-python");
        let some = parse("--workload go --rounds 3 --workload c --frequency 999").unwrap();
        assert_eq!((some.rounds, some.frequency), (3, 999));
        assert_eq!(some.name, "go-c");
        assert_eq!(parse("--name quiet").unwrap().name, "quiet");
    }

    /// What cannot be meant is refused, and the usage is shown.
    #[test]
    fn mistakes_are_refused() {
        for line in ["--rounds", "--rounds 0", "--seconds x", "--workload d", "5"] {
            let error = parse(line).unwrap_err();
            assert!(
                error.contains("usage: cargo xtask bench"),
                "{line}: {error}"
            );
        }
    }
}
