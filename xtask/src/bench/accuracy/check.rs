//! Judges the stacks of one profile.

use std::collections::BTreeMap;

use super::calls::Calls;
use super::pairs::Peer;
use super::truth::Truth;
use crate::bench::profile::{Profile, Stack};

/// How many different wrong stacks are kept to be shown.
const SHOWN: usize = 3;

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) samples: u64,
    /// In the middle of exec or exit, where there is no user stack.
    pub(super) without_user: u64,
    pub(super) whole: u64,
    /// Why the others are not.
    pub(super) cut: BTreeMap<String, u64>,
    /// Return addresses that lie in a file.
    pub(super) calls_checked: u64,
    pub(super) not_after_call: u64,
    /// `None` where the program does not know its stack.
    pub(super) right: Option<Right>,
    pub(super) peer: Option<Peer>,
}

/// Beside what the program itself says.
#[derive(Default)]
pub(super) struct Right {
    pub(super) stacks: u64,
    pub(super) wrong_frames: u64,
    /// Some of the wrong stacks, innermost frame first.
    pub(super) examples: Vec<String>,
}

/// Judges all stacks.
pub(super) fn check(profile: &Profile, truth: Option<&Truth>) -> Findings {
    let mut findings = Findings {
        samples: profile.samples(),
        right: truth.map(|_| Right::default()),
        ..Findings::default()
    };
    let mut calls = Calls::default();
    for stack in &profile.stacks {
        if stack.user().next().is_none() {
            findings.without_user += stack.count;
            continue;
        }
        match &stack.cut {
            None => findings.whole += stack.count,
            Some(why) => *findings.cut.entry(why.clone()).or_default() += stack.count,
        }
        let (checked, wrong) = calls.check(stack);
        findings.calls_checked += checked * stack.count;
        findings.not_after_call += wrong * stack.count;
        if let (Some(right), Some(truth)) = (&mut findings.right, truth) {
            right.add(stack, truth);
        }
    }
    findings
}

impl Findings {
    /// Samples with a user stack.
    pub(super) fn with_user(&self) -> u64 {
        self.samples - self.without_user
    }
}

impl Right {
    fn add(&mut self, stack: &Stack, truth: &Truth) {
        let wrong = truth.wrong_frames(stack);
        self.wrong_frames += wrong as u64 * stack.count;
        if wrong == 0 {
            // What is cut is not wrong, but it is not equal either.
            self.stacks += if stack.cut.is_none() { stack.count } else { 0 };
        } else if self.examples.len() < SHOWN {
            self.examples.push(shown(stack));
        }
    }
}

/// The names of a stack; runs of one name once.
fn shown(stack: &Stack) -> String {
    let mut names: Vec<String> = stack
        .user()
        .map(|frame| match frame.functions.last() {
            Some(function) => function.clone(),
            None => format!("{:#x} in {}", frame.address, frame.binary),
        })
        .collect();
    names.dedup();
    names.join(" < ")
}
