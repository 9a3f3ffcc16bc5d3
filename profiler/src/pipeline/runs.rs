//! What the walk needs to know of a process: its mappings, each with the rows or the one rule for it.

use std::sync::Arc;

use profiler_common::{MappingRun, PAGE_SHIFT, Rule, Stop};

use super::unwinding::Stage;
use crate::addr::ElfAddr;
use crate::binary::FileId;
use crate::process::{Mapping, MappingKind, Snapshot};
use crate::unwind::PublishedRegion;

/// The kernel's search compares by subtraction, and would take a mapping from here on for one that begins before every
/// address. There is only the vsyscall page, which calls nothing.
const END_OF_SEARCH: u64 = 1 << 63;

/// The runs of all that is mapped in a process; `stage` tells how far a binary is.
pub(super) fn of_process<'a>(
    snapshot: &Snapshot,
    stage: impl Fn(FileId) -> Option<&'a Stage>,
) -> Vec<MappingRun> {
    let mut runs = Vec::new();
    let below = |mapping: &&Arc<Mapping>| mapping.start.0 < END_OF_SEARCH;
    for mapping in snapshot.mappings().iter().take_while(below) {
        add(mapping, &stage, &mut runs);
    }
    runs
}

/// Appends the runs of one mapping: the parts that have rows, and one rule for each part that has not.
fn add<'a>(
    mapping: &Mapping,
    stage: impl Fn(FileId) -> Option<&'a Stage>,
    runs: &mut Vec<MappingRun>,
) {
    let whole = |rule: Rule| MappingRun {
        start: mapping.start.0,
        limit: mapping.limit.0,
        rule: rule.bits(),
        ..MappingRun::default()
    };
    let (Some(binary), Some(bias)) = (mapping.binary(), mapping.load_bias()) else {
        // Code that no file has was written by a JIT, which usually keeps frame pointers.
        let rule = match mapping.kind {
            MappingKind::Anonymous | MappingKind::Memfd => Rule::NO_CFI,
            // An instruction of anywhere, by itself: a frame pointer may lead to a caller or past it.
            MappingKind::Special if mapping.path.as_os_str() == "[uprobes]" => {
                Rule::stop(Stop::Uprobes)
            }
            _ => Rule::NO_TABLE,
        };
        runs.push(whole(rule));
        return;
    };
    let (published, gap) = match stage(binary.id()) {
        Some(Stage::Published(published, gap)) => (published, *gap),
        Some(Stage::NoRows(gap)) => return runs.push(whole(*gap)),
        // The walk asks for a copy then, as where something was mapped that nobody knows of yet.
        Some(Stage::Asked) => return runs.push(whole(Rule::stop(Stop::NoMapping))),
        Some(Stage::NoRoom) | None => return runs.push(whole(Rule::NO_TABLE)),
    };
    let mut at = mapping.start.0;
    for region in &published.regions {
        let start = region.start.0.wrapping_add(bias).max(at);
        let limit = region.end.0.wrapping_add(bias).min(mapping.limit.0);
        if start >= limit {
            continue;
        }
        if at < start {
            runs.push(MappingRun {
                limit: start,
                start: at,
                ..whole(gap)
            });
        }
        runs.push(MappingRun {
            start,
            limit,
            bias,
            rule: 0,
            page_base: page_base(region),
            reserved: 0,
        });
        at = limit;
    }
    if at < mapping.limit.0 {
        runs.push(MappingRun {
            start: at,
            ..whole(gap)
        });
    }
}

/// What is to be added to the number of a page of the file's addresses to get its entry in the page index.
fn page_base(region: &PublishedRegion) -> u32 {
    let ElfAddr(start) = region.start;
    region.first_page.wrapping_sub((start >> PAGE_SHIFT) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Resolver;

    /// What the kernel's search cannot compare is not in the runs, and all that comes before it is: a search would miss the
    /// mapping before, which often is the vDSO.
    #[test]
    fn no_run_is_beyond_the_search() {
        let own = Resolver::default().snapshot(std::process::id()).unwrap();
        let below = |mapping: &&Arc<Mapping>| mapping.start.0 < END_OF_SEARCH;
        let last = own.mappings().iter().rfind(below).unwrap();
        let runs = of_process(&own, |_| None);
        assert!(runs.iter().all(|run| run.limit < END_OF_SEARCH));
        assert_eq!(runs.last().unwrap().limit, last.limit.0);
    }
}
