//! A stretch of a recording that has been counted: what it takes to name it and to write it up, while the loop goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::name_memory::NameMemory;
use super::{label_text, write_up};
use crate::aggregate::Aggregate;
use crate::config::Config;
use crate::pprof;
use crate::summary::Summary;
use crate::symbolize::Options;

/// Stacks that nobody counts any more, with what they are of.
pub(crate) struct Counted {
    pub(super) config: Arc<Config>,
    pub(super) aggregate: Aggregate,
    pub(super) summary: Summary,
    pub(super) started_at: SystemTime,
}

/// A profile of a program, or of all there were.
pub(crate) struct WrittenUp {
    /// The program, when profiles are split by program.
    pub(crate) program: Option<Arc<str>>,
    /// How many samples it has.
    pub(crate) samples: u64,
    /// The profile, gzipped.
    pub(crate) profile: Vec<u8>,
}

impl Counted {
    /// When the first of it may have been sampled.
    pub(crate) fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// What it is made of, as far as that is known before it is named.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Names everything and builds the profile; returns it gzipped, with what it is made of.
    pub(crate) fn write_up(self) -> (Vec<u8>, Summary) {
        let mut names = NameMemory::default();
        let (mut profiles, summary) = self.write_up_each(&mut names, &Options::default());
        let profile = profiles.pop().map(|one| one.profile).unwrap_or_default();
        (profile, summary)
    }

    /// Names everything and builds a profile for each program, if they are told apart, or one.
    pub(crate) fn write_up_each(
        self,
        names: &mut NameMemory,
        options: &Options,
    ) -> (Vec<WrittenUp>, Summary) {
        let Self {
            config,
            aggregate,
            mut summary,
            started_at,
        } = self;
        let places = write_up::places(&aggregate);
        let names = names.name_frames(config.detail, options, aggregate.frames(), &places);
        let header = write_up::header(&config, &aggregate, &names, started_at, &mut summary);
        let programs: BTreeSet<Option<Arc<str>>> = if config.split_by_program {
            let stacks = aggregate.stacks();
            stacks.map(|stack| stack.labels.program.clone()).collect()
        } else {
            BTreeSet::from([None])
        };
        let profiles = programs.into_iter().map(|program| {
            let profile = write_up::build(
                header.clone(),
                &aggregate,
                &names,
                |stack| stack.labels.program == program,
                label_text::labels,
            );
            let corrections = profile.corrections();
            if corrections != pprof::Corrections::default() {
                let note = format!("left out of the profile: {corrections:?}");
                summary.notes.push(note);
            }
            let stacks = aggregate.stacks();
            let of_program = stacks.filter(|stack| stack.labels.program == program);
            WrittenUp {
                samples: of_program.map(|stack| stack.count).sum(),
                profile: profile.to_gzip(),
                program,
            }
        });
        let profiles = profiles.collect();
        (profiles, summary)
    }
}
