//! Reads what `perf script` prints: a line for each sample, its frames below it, an empty line.

use std::path::Path;

use super::profile::{Frame, Profile, Stack, base_name};

/// Reads the text of what `perf record -k CLOCK_MONOTONIC` made.
pub(super) fn parse(text: &str) -> Profile {
    let mut profile = Profile::default();
    let mut inlined = Vec::new();
    for line in text.lines() {
        if let Some(time_ns) = time_of_header(line) {
            let first = profile.first_sample_ns.unwrap_or(time_ns);
            profile.first_sample_ns = Some(first.min(time_ns));
            let frames = Vec::new();
            profile.stacks.push(Stack {
                count: 1,
                frames,
                cut: None,
            });
            continue;
        }
        // Inlined calls come before the frame they are part of.
        match (frame(line.trim()), profile.stacks.last_mut()) {
            (Some(Found::Inlined(name)), _) => inlined.push(name),
            (Some(Found::Frame(mut frame)), Some(stack)) => {
                inlined.append(&mut frame.functions);
                frame.functions = std::mem::take(&mut inlined);
                stack.frames.push(frame);
            }
            _ => {}
        }
    }
    profile
}

enum Found {
    Inlined(String),
    Frame(Frame),
}

/// `55d0c0de function+0x1c (/path/file)`
fn frame(line: &str) -> Option<Found> {
    let (address, rest) = line.split_once(' ')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let (name, file) = rest.strip_suffix(')')?.rsplit_once(" (")?;
    let name = match name.rsplit_once("+0x") {
        Some((name, _)) => name,
        None => name,
    };
    if file == "inlined" {
        return Some(Found::Inlined(name.to_owned()));
    }
    Some(Found::Frame(Frame {
        functions: Vec::from_iter((name != "[unknown]").then(|| name.to_owned())),
        binary: base_name(file).to_owned(),
        is_kernel: address >= 1 << 63,
        address,
        // perf prints addresses as places in their files where they have one.
        place: file
            .starts_with('/')
            .then(|| (Path::new(file).into(), address)),
    }))
}

/// `comm 4711 [001]  1234.567890:   10101010 cpu-clock: ` or the same without the CPU.
fn time_of_header(line: &str) -> Option<u64> {
    let (before, _) = line.split_once("cpu-clock:")?;
    // The last word is the period.
    let time = before.split_whitespace().rev().nth(1)?;
    let (seconds, fraction) = time.strip_suffix(':')?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    // Microseconds; nanoseconds when perf is asked for them.
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = fraction.parse().ok()?;
    Some(seconds * 1_000_000_000 + fraction * 10_u64.pow(9_u32.checked_sub(digits)?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    const TEXT: &str = "\
odd thread  6251 [001]  3832.233654:   10101010 cpu-clock: 
\tffffffff81c0 clear_page+0x1 ([kernel.kallsyms])
\tffffffff81c00001 clear_page+0x1 ([kernel.kallsyms])
\t           3fba4 merge+0x244 (inlined)
\t           3f9a3 <u8 as core::X (really)>::sort+0x43 (/usr/lib/libc.so.6)
\t    7f0000000000 [unknown] ([unknown])

even  6250  3832.133654321:   10101010 cpu-clock: 
\t           1605 descend+0x15 (/tmp/workload-c)
";

    /// Samples, inlined calls, names with spaces and missing names come out as they are.
    #[test]
    fn text_of_perf_is_read() {
        let profile = parse(TEXT);
        assert_eq!(profile.first_sample_ns, Some(3_832_133_654_321));
        assert_eq!(profile.samples(), 2);
        let frames = &profile.stacks[0].frames;
        assert!(!frames[0].is_kernel && frames[1].is_kernel);
        assert_eq!(
            frames[2].functions,
            ["merge", "<u8 as core::X (really)>::sort"]
        );
        assert_eq!(frames[2].binary, "libc.so.6");
        assert!(frames[3].functions.is_empty());
        assert_eq!(profile.stacks[1].frames[0].functions, ["descend"]);
    }
}
