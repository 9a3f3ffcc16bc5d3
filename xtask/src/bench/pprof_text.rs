//! Reads a pprof profile through `go tool pprof -raw`: the text of a reader that this project has no part in.
//!
//! The form is that of `Profile.String` in google/pprof's `profile/profile.go`. The `profiler` crate could read
//! its own files, but then xtask would not build without the BPF object, and an error made in writing could
//! cancel out in reading.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::profile::{Frame, Profile, Stack, base_name};
use crate::command;

/// The mapping that stands for the kernel begins here or above.
const KERNEL_START: u64 = 1 << 63;

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Profile> {
    let mut go = Command::new("go");
    command::forget_xtask(&mut go);
    go.args(["tool", "pprof", "-raw", "-symbolize=none"])
        .arg(path);
    parse(&command::read(&mut go)?)
}

/// Reads the text.
pub(crate) fn parse(text: &str) -> Result<Profile> {
    let samples = section(text, "Samples:").context("no samples")?;
    let locations = section(text, "Locations").context("no locations")?;
    let mappings = section(text, "Mappings").context("no mappings")?;

    let files: HashMap<&str, Mapping> = mappings.iter().copied().filter_map(mapping).collect();
    let mut frames: HashMap<u64, Frame> = HashMap::new();
    let mut last = None;
    for line in locations {
        match location(line, &files) {
            Some((id, frame)) => {
                frames.insert(id, frame);
                last = Some(id);
            }
            // A further line of the location above: the function it was inlined into.
            None => {
                let frame = last.and_then(|id| frames.get_mut(&id));
                let frame = frame.with_context(|| format!("`{line}` belongs to no location"))?;
                frame.functions.extend(function(line.trim()));
            }
        }
    }
    let mut stacks: Vec<Stack> = Vec::new();
    for line in samples {
        if let Some((count, ids)) = sample(line) {
            let frames = ids.iter().filter_map(|id| frames.get(id)).cloned();
            stacks.push(Stack {
                count,
                frames: frames.collect(),
                cut: None,
            });
        } else if let (Some(stack), Some(cut)) = (stacks.last_mut(), label(line, "truncated")) {
            stack.cut = Some(cut.to_owned());
        }
    }
    Ok(Profile {
        stacks,
        first_sample_ns: None,
    })
}

/// The lines below a title, which may be none, up to the next title.
fn section<'a>(text: &'a str, title: &str) -> Option<Vec<&'a str>> {
    let mut lines = text.lines().skip_while(|line| *line != title);
    lines.next()?;
    let is_inside = |line: &&str| !matches!(*line, "Locations" | "Mappings");
    Some(lines.take_while(is_inside).collect())
}

/// A file that is mapped.
struct Mapping {
    path: Rc<Path>,
    start: u64,
    offset: u64,
}

/// `1: 0x1000/0x2000/0x0 /path build-id [FN]`
fn mapping(line: &str) -> Option<(&str, Mapping)> {
    let (id, rest) = line.split_once(": ")?;
    let mut words = rest.split(' ');
    let mut numbers = words.next()?.split('/').map(|number| {
        let digits = number.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    });
    let mut number = || numbers.next().flatten();
    let (start, _, offset) = (number()?, number()?, number()?);
    let path = Path::new(words.next()?).into();
    Some((
        id.trim(),
        Mapping {
            path,
            start,
            offset,
        },
    ))
}

/// `                comm:[a b] thread:[x]`
fn label<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = line.split_once(&format!("{key}:["))?;
    Some(value.split_once(']')?.0)
}

/// `     7: 0x4711 M=1 function /path/file.c:3:0 s=0`
fn location(line: &str, files: &HashMap<&str, Mapping>) -> Option<(u64, Frame)> {
    let (id, rest) = line.trim_start().split_once(": 0x")?;
    let id = id.parse().ok()?;
    let (address, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let address = u64::from_str_radix(address, 16).ok()?;
    let (file, rest) = match rest.strip_prefix("M=") {
        Some(rest) => {
            let (mapping, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            (files.get(mapping), rest)
        }
        None => (None, rest),
    };
    let binary = file.map(|file| base_name(&file.path.to_string_lossy()).to_owned());
    Some((
        id,
        Frame {
            functions: Vec::from_iter(function(rest)),
            binary: binary.unwrap_or_default(),
            is_kernel: address >= KERNEL_START,
            address,
            place: file.and_then(|file| {
                let in_file = address.checked_sub(file.start)?.checked_add(file.offset)?;
                Some((Rc::clone(&file.path), in_file))
            }),
        },
    ))
}

/// The name before ` FILE:LINE s=START`; Rust's names contain spaces, file names here do not.
fn function(text: &str) -> Option<String> {
    let (text, _) = text.rsplit_once(" s=")?;
    let (name, _) = text.rsplit_once(' ')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `          3   30303030: 7 8 9`; lines of labels have other words before the colon.
fn sample(line: &str) -> Option<(u64, Vec<u64>)> {
    let (values, ids) = line.split_once(':')?;
    let mut values = values.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(count)), Some(Ok(_)), None) = (values.next(), values.next(), values.next()) else {
        return None;
    };
    let ids = ids.split_whitespace().map(str::parse);
    Some((count, ids.collect::<Result<_, _>>().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{KERNEL_START, parse};
    use crate::bench::profile::{Frame, base_name};

    const TEXT: &str = "\
Comment: profiler 0.1.0
PeriodType: cpu nanoseconds
Samples:
samples/count cpu/nanoseconds[dflt]
          3   30303030: 1 2 3
                comm:[a: 1 b] thread:[x]
                pid:[7] truncated:[no row]
          1   10101010: 2
Locations
     1: 0xffffffff81000000 M=2 clear_page :0 s=0
     2: 0x1234 M=1 core::ops::<u8 as X>::call /a/b.rs:7:0 s=0(_ZN4core)
             outer /a/c.rs:9:0 s=0
     3: 0x99
Mappings
1: 0x1000/0x2000/0x1040 /usr/bin/prog abcdef [FN]
2: 0x8000000000000000/0xffffffffffffffff/0x0 [kernel.kallsyms] 
";

    /// Stacks with inlined calls, kernel frames and frames without a mapping come out as they are.
    #[test]
    fn text_of_pprof_is_read() {
        let profile = parse(TEXT).unwrap();
        assert_eq!(profile.samples(), 4);
        let [first, second] = profile.stacks.as_slice() else {
            panic!("{profile:?}");
        };
        assert_eq!(first.frames[1..2], second.frames[..]);
        let frame = |functions: &[&str], path: &str, address: u64, in_file: Option<u64>| Frame {
            functions: functions.iter().copied().map(String::from).collect(),
            binary: base_name(path).to_owned(),
            is_kernel: address >= KERNEL_START,
            address,
            place: in_file.map(|offset| (Path::new(path).into(), offset)),
        };
        let (kernel, address) = ("[kernel.kallsyms]", 0xffff_ffff_8100_0000);
        let expected = [
            frame(
                &["clear_page"],
                kernel,
                address,
                Some(address - KERNEL_START),
            ),
            frame(
                &["core::ops::<u8 as X>::call", "outer"],
                "/usr/bin/prog",
                0x1234,
                Some(0x1274),
            ),
            frame(&[], "", 0x99, None),
        ];
        assert_eq!(first.frames, expected);
        assert_eq!(first.cut.as_deref(), Some("no row"));
        assert_eq!(second.cut, None);
    }

    /// A profile without samples has all three titles and nothing below them.
    #[test]
    fn empty_profile_is_read() {
        let profile = parse("Samples:\nsamples/count\nLocations\nMappings\n").unwrap();
        assert_eq!(profile.samples(), 0);
    }

    /// Something else than the text of a profile is an error, not an empty profile.
    #[test]
    fn other_text_is_refused() {
        assert!(parse("pprof: unrecognized profile format").is_err());
    }
}
