//! Reads what samply writes: a profile in the Firefox Profiler's processed form, without names, and beside it the
//! symbols (`--unstable-presymbolicate`).
//!
//! The forms are those of fxprof-processed-profile 0.8.0 and 0.8.1, and that of `symbol_precog.rs` in samply 0.13.1.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::profile::{Frame, Profile, Stack};

/// Functions by library, named by its code id, and by address in it.
type Symbols<'a> = HashMap<(&'a str, u64), Vec<&'a str>>;

/// Reads both files.
pub(super) fn read(profile: &Path, symbols: &Path) -> Result<Profile> {
    let open = |path: &Path| {
        File::open(path).with_context(|| format!("samply wrote no {}", path.display()))
    };
    let profile = serde_json::from_reader(flate2::read::GzDecoder::new(open(profile)?))
        .context("samply's profile is not gzipped JSON")?;
    let symbols = serde_json::from_reader(std::io::BufReader::new(open(symbols)?))
        .context("samply's symbols are not JSON")?;
    parse(&profile, &symbols).context("samply's profile has not the form of version 0.13.1")
}

fn parse(profile: &Value, symbols: &Value) -> Option<Profile> {
    let symbols = index(symbols)?;
    let mut result = Profile::default();
    for thread in profile["threads"].as_array()? {
        let samples = &thread["samples"];
        let stacks = samples["stack"].as_array()?;
        let weights = samples["weight"].as_array()?;
        for (stack, weight) in stacks.iter().zip(weights) {
            // No stack at all is a sample, too.
            let frames = match stack.as_u64() {
                Some(stack) => frames(profile, thread, &symbols, stack)?,
                None => Vec::new(),
            };
            result.stacks.push(Stack {
                count: weight.as_u64()?,
                frames,
                cut: None,
            });
        }
        // Times or differences, by the version of the library that samply was built with. The reference is zero
        // when samply records itself, so the first of either is a time of CLOCK_MONOTONIC.
        let times = samples.get("timeDeltas").or(samples.get("time"))?;
        if let Some(first) = times.as_array()?.first() {
            let milliseconds = first.as_f64()?;
            let time_ns = (milliseconds * 1e6) as u64;
            let first = result.first_sample_ns.unwrap_or(time_ns);
            result.first_sample_ns = Some(first.min(time_ns));
        }
    }
    Some(result)
}

fn index(symbols: &Value) -> Option<Symbols<'_>> {
    let mut index = Symbols::new();
    let text = |position: &Value| symbols["string_table"][position.as_u64()? as usize].as_str();
    for library in symbols["data"].as_array()? {
        let code_id = library["code_id"].as_str()?;
        for known in library["known_addresses"].as_array()? {
            let symbol = &library["symbol_table"][known[1].as_u64()? as usize];
            // Innermost first; the last one is the symbol's own function, under its name in the debug information.
            let mut functions: Vec<&str> = symbol["frames"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|frame| text(&frame["function"]))
                .collect();
            functions.extend(text(&symbol["symbol"]).filter(|name| !is_made_up(name)));
            index.insert((code_id, known[0].as_u64()?), functions);
        }
    }
    Some(index)
}

/// samply calls a function without a symbol by its address, `fun_4711`: that is no name.
fn is_made_up(name: &str) -> bool {
    name.strip_prefix("fun_")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The frames of a stack, innermost first.
fn frames(
    profile: &Value,
    thread: &Value,
    symbols: &Symbols<'_>,
    stack: u64,
) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut next = Some(stack as usize);
    while let Some(stack) = next {
        let frame = thread["stackTable"]["frame"][stack].as_u64()? as usize;
        frames.push(read_frame(profile, thread, symbols, frame)?);
        next = thread["stackTable"]["prefix"][stack]
            .as_u64()
            .map(|prefix| prefix as usize);
    }
    Some(frames)
}

fn read_frame(
    profile: &Value,
    thread: &Value,
    symbols: &Symbols<'_>,
    frame: usize,
) -> Option<Frame> {
    let category = thread["frameTable"]["category"][frame].as_u64()? as usize;
    let category = profile["meta"]["categories"][category]["name"].as_str()?;
    let function = thread["frameTable"]["func"][frame].as_u64()? as usize;
    let mut result = Frame {
        is_kernel: category == "Kernel",
        ..Frame::default()
    };
    let resource = &thread["funcTable"]["resource"][function];
    let Some(resource) = resource.as_u64() else {
        return Some(result);
    };
    let library = thread["resourceTable"]["lib"][resource as usize].as_u64()? as usize;
    let library = &profile["libs"][library];
    library["name"].as_str()?.clone_into(&mut result.binary);
    let code_id = library["codeId"].as_str().unwrap_or_default();
    if let Some(address) = thread["frameTable"]["address"][frame].as_u64() {
        let functions = symbols.get(&(code_id, address)).into_iter().flatten();
        result.functions = functions.copied().map(String::from).collect();
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    /// One thread with a complete stack and one sample without; the leaf has an inlined call.
    #[test]
    fn profile_and_symbols_come_together() {
        let mut profile = json!({
            "meta": {"categories": [{"name": "User"}, {"name": "Kernel"}]},
            "libs": [{"name": "libc.so.6", "codeId": "93ac"}],
            "threads": [{
                "samples": {"stack": [1, null], "weight": [2, 1], "timeDeltas": [1000.5, 10.0]},
                "stackTable": {"prefix": [null, 0], "frame": [1, 0]},
                "frameTable": {"category": [1, 0], "func": [0, 1], "address": [-1, 77]},
                "funcTable": {"resource": [-1, 0]},
                "resourceTable": {"lib": [0]},
            }],
        });
        let symbols = json!({
            "string_table": ["UNKNOWN", "qsort", "merge"],
            "data": [{
                "code_id": "93ac",
                "known_addresses": [[77, 0]],
                "symbol_table": [{"symbol": 1, "frames": [{"function": 2}, {"function": null}]}],
            }],
        });
        let read = parse(&profile, &symbols).unwrap();
        assert_eq!(read.first_sample_ns, Some(1_000_500_000));
        assert_eq!(read.samples(), 3);
        let frames = &read.stacks[0].frames;
        assert!(frames[0].is_kernel && frames[0].functions.is_empty());
        assert_eq!(frames[1].functions, ["merge", "qsort"]);
        assert_eq!(frames[1].binary, "libc.so.6");
        assert!(read.stacks[1].frames.is_empty());

        // An older form has times instead of differences; without either it is no profile to judge.
        let samples = &mut profile["threads"][0]["samples"];
        samples["time"] = json!([900.0, 910.0]);
        samples.as_object_mut().unwrap().remove("timeDeltas");
        let older = parse(&profile, &symbols).unwrap();
        assert_eq!(older.first_sample_ns, Some(900_000_000));
        let samples = profile["threads"][0]["samples"].as_object_mut().unwrap();
        samples.remove("time");
        assert!(parse(&profile, &symbols).is_none());
        assert!(parse(&json!({"threads": 3}), &symbols).is_none());
    }
}
