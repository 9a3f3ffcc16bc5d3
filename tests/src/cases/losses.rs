//! Nothing is lost on a busy machine, and what is missing from a stack is said.

use crate::harness::{Recorder, Stacks, Target, alone, shared};

/// 10,000 samples a second on every CPU, all of them busy: none is lost, and those that were tried are those in the
/// profile.
#[test]
fn nothing_is_lost_at_ten_kilohertz() {
    let Some(_turn) = alone() else { return };
    let threads = Target::spinning("threads-fp");
    let spin = Target::spinning("spin-fp");
    let recording = Recorder::new(["-a", "-F", "10000", "-d", "3s"]).run();
    threads.stop();
    spin.stop();
    let summary = recording.summary();
    assert_eq!(summary["lost"], serde_json::json!({}), "{summary:#}");
    assert_eq!(summary["lost_events"], 0, "{summary:#}");
    assert_eq!(summary["samples_tried"], summary["samples"], "{summary:#}");
    let counted = Stacks::of(&recording.profile()).count();
    assert_eq!(summary["samples"], counted);
    // Two CPUs that were busy for three seconds would give 60,000; a slow machine may miss ticks.
    assert!(counted > 15_000, "{summary:#}");
}

/// A stack that is deeper than a sample holds is marked in the profile, counted in the summary and in a comment.
#[test]
fn deep_stacks_are_marked() {
    let Some(_turn) = shared() else { return };
    let target = Target::waiting("deep-fp", "0.5");
    let pid = target.pid.to_string();
    let (recording, _) = Recorder::new(["-p", &pid, "-F", "997"]).run_over(target);
    let all = Stacks::of(&recording.profile());
    let deep = all.filter(|sample| {
        let reason = sample.labels.get("truncated");
        reason.is_some_and(|reason| reason.contains("deeper than"))
    });
    deep.assert_share(&all, 0.9, "marked as cut");
    deep.calling(&["bottom", "descend", "descend"])
        .assert_share(&all, 0.9, "the inner frames are there");
    assert_eq!(deep.calling(&["main"]).count(), 0, "{}", deep.text());
    let cut = &recording.summary()["stacks_cut"];
    let counted: u64 = cut
        .as_object()
        .unwrap()
        .iter()
        .filter(|(reason, _)| reason.contains("deeper than"))
        .map(|(_, count)| count.as_u64().unwrap())
        .sum();
    assert_eq!(counted, deep.count(), "{cut}");
    let comments = recording.comments();
    assert!(
        comments
            .iter()
            .any(|comment| comment.contains("cut") && comment.contains("deeper than")),
        "{comments:#?}"
    );
}
