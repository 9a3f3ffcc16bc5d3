//! What a program that knows its stack says about it, and whether a sampled stack can be one of its stacks.
//!
//! The form is described in `tests/programs/stacks.c`.

use std::collections::HashMap;

use anyhow::{Context, Result};

use crate::bench::profile::{Frame, Stack};

/// Every function of a program with its one caller.
#[derive(Debug)]
pub(super) struct Truth(HashMap<String, Function>);

#[derive(Debug)]
struct Function {
    /// Frames of it above what it calls.
    times: usize,
    /// The most of it when it is the program's innermost function.
    innermost: usize,
    caller: Caller,
    /// Whether there may be no frame of `via`.
    is_direct: bool,
    /// Beginnings of names of files or functions through which it is called.
    via: Vec<String>,
}

#[derive(Debug)]
enum Caller {
    Named(String),
    End,
    Signal,
}

impl Truth {
    /// Reads what `--stacks` prints.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(|text| {
            parse_line(text).with_context(|| format!("`{text}` does not say who calls whom"))
        });
        Ok(Self(lines.collect::<Result<_>>()?))
    }

    /// How many frames of a stack are wrong: all from the first one on that the program does not allow there; one, if
    /// the stack says that it is whole and is not.
    pub(super) fn wrong_frames(&self, stack: &Stack) -> usize {
        let frames: Vec<&Frame> = stack.user().collect();
        match self.walk(&frames) {
            Ok(()) => 0,
            // Cut stacks may end anywhere.
            Err(at) if at == frames.len() => usize::from(stack.cut.is_none()),
            Err(at) => frames.len() - at,
        }
    }

    /// The number of the first frame that cannot be there, or of the one that is missing.
    fn walk(&self, frames: &[&Frame]) -> Result<(), usize> {
        // Of what is called from outside of the program's functions nothing is known.
        let Some(mut at) = self.next_own(frames, 0) else {
            return Ok(());
        };
        let mut is_innermost = true;
        while let Some((name, function)) = frames.get(at).and_then(|frame| self.own(frame)) {
            let all = frames[at..].iter();
            let times = all
                .take_while(|frame| self.name(frame) == Some(name))
                .count();
            let may_be = if is_innermost {
                1..=function.innermost
            } else {
                function.times..=function.times
            };
            if !may_be.contains(&times) {
                return Err(at + times.min(*may_be.end()));
            }
            at += times;
            let through = frames[at..]
                .iter()
                .take_while(|frame| function.is_via(frame))
                .count();
            if !function.is_direct && through == 0 {
                return Err(at);
            }
            at += through;
            is_innermost = false;
            match &function.caller {
                Caller::End if at == frames.len() => return Ok(()),
                Caller::End => return Err(at),
                Caller::Named(caller) => {
                    if frames.get(at).and_then(|frame| self.name(frame)) != Some(caller) {
                        return Err(at);
                    }
                }
                Caller::Signal => match self.next_own(frames, at) {
                    None if at == frames.len() => return Err(at),
                    None => return Ok(()),
                    Some(interrupted) => (at, is_innermost) = (interrupted, true),
                },
            }
        }
        Err(at)
    }

    fn next_own(&self, frames: &[&Frame], from: usize) -> Option<usize> {
        let rest = frames.get(from..)?;
        Some(from + rest.iter().position(|frame| self.own(frame).is_some())?)
    }

    fn own(&self, frame: &Frame) -> Option<(&str, &Function)> {
        // The outermost of those that were inlined into each other is the one that has the frame.
        let shown = frame.functions.last()?;
        let found = self.0.get_key_value(plain(shown));
        let (name, function) = found.or_else(|| self.0.get_key_value(without_types(shown)))?;
        Some((name, function))
    }

    fn name(&self, frame: &Frame) -> Option<&str> {
        self.own(frame).map(|(name, _)| name)
    }
}

fn parse_line(line: &str) -> Option<(String, Function)> {
    let (name, rest) = line.split_once(" < ")?;
    let (caller, via) = rest.split_once(" via ").unwrap_or((rest, "[]"));
    let (name, times) = name.rsplit_once('*').unwrap_or((name, "1"));
    let (times, innermost) = times.split_once('/').unwrap_or((times, times));
    let optional = via.strip_prefix('[').and_then(|via| via.strip_suffix(']'));
    let parts = optional.unwrap_or(via).split(',');
    let function = Function {
        times: times.parse().ok()?,
        innermost: innermost.parse().ok()?,
        caller: match caller {
            "!end" => Caller::End,
            "!signal" => Caller::Signal,
            name => Caller::Named(name.to_owned()),
        },
        is_direct: optional.is_some(),
        via: parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    Some((name.to_owned(), function))
}

impl Function {
    fn is_via(&self, frame: &Frame) -> bool {
        let function = frame.functions.last().map_or("", String::as_str);
        let mut parts = self.via.iter();
        parts.any(|part| frame.binary.starts_with(part) || function.starts_with(part))
    }
}

/// A name without the hash that Rust adds and what gcc adds to parts of a function.
fn plain(name: &str) -> &str {
    let name = name.split_once("::h").map_or(name, |(before, hash)| {
        let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { before } else { name }
    });
    let name = name.strip_suffix(".cold").unwrap_or(name);
    name.strip_suffix(" [clone .cold]").unwrap_or(name)
}

/// The name in `void name<1>(int)`.
fn without_types(name: &str) -> &str {
    let name = name.split('(').next().unwrap_or_default();
    name.rsplit(' ').next().unwrap_or_default()
}

#[cfg(test)]
#[path = "truth_tests.rs"]
mod tests;
