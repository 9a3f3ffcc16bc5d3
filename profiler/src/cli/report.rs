//! The summary at the end, on standard error: what the profile is made of, what is missing and why.

use std::io::Write;

use super::args::LogFormat;
use super::values;
use crate::output::Destination;
use crate::pipeline::Ended;
use crate::summary::Summary;

/// Binaries to name that are to blame for frames without names.
const MOST_BLAMED: usize = 5;

/// What became of the profile and of the command.
pub(super) struct Written<'a> {
    /// Where the profile is.
    pub(super) destination: &'a Destination,
    /// Its size.
    pub(super) bytes: u64,
    /// Why sampling ended.
    pub(super) ended: Ended,
    /// How the started command ended, if one was started.
    pub(super) command: Option<String>,
}

/// Prints the summary.
pub(super) fn print(summary: &Summary, written: &Written<'_>, format: LogFormat) {
    let text = match format {
        LogFormat::Text => text(summary, written),
        LogFormat::Json => format!("{}\n", json(summary, written)),
    };
    // Nothing can be done about a standard error that is gone; the profile is written.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn text(summary: &Summary, written: &Written<'_>) -> String {
    let mut lines = vec![format!(
        "samples  {} in {} at {} Hz, {} of CPU time, {}",
        summary.samples,
        values::seconds(summary.elapsed),
        summary.frequency_hz,
        values::seconds(summary.cpu_time()),
        count(summary.processes, "process", "processes"),
    )];
    lines.push(match summary.lost() {
        0 => "lost     none".to_owned(),
        lost => format!("lost     {lost}: {}", reasons(&summary.lost_by_reason())),
    });
    let losses = &summary.losses;
    if losses.events + losses.memory_events + losses.children_not_followed > 0 {
        lines.push(format!(
            "         {} process events, {} news of mappings, {} children not followed",
            losses.events, losses.memory_events, losses.children_not_followed
        ));
    }
    lines.push(match summary.cut_by_reason() {
        cut if cut.is_empty() => "stacks   all whole".to_owned(),
        cut => format!(
            "stacks   {} whole, others cut: {}",
            summary.complete(),
            reasons(&cut)
        ),
    });
    lines.extend(names(summary));
    if summary.gone_processes > 0 {
        lines.push(format!(
            "         {} ended before their mappings could be read",
            count(summary.gone_processes, "process", "processes")
        ));
    }
    lines.extend(summary.notes.iter().map(|note| format!("note     {note}")));
    lines.extend(written.command.iter().map(|how| format!("command  {how}")));
    lines.push(profile(written));
    lines.join("\n") + "\n"
}

fn names(summary: &Summary) -> Vec<String> {
    let missing: u64 = summary.frames.not_named.values().sum();
    let all = summary.frames.named + missing;
    let mut lines = vec![match all {
        0 => "frames   none".to_owned(),
        _ => format!(
            "frames   {} of {all} named ({:.1} %)",
            summary.frames.named,
            100.0 * summary.frames.named as f64 / all as f64
        ),
    }];
    let blamed = summary.most_to_blame();
    lines.extend(
        blamed.iter().take(MOST_BLAMED).map(|(blame, count)| {
            format!("         {count} not: {}: {}", blame.binary, blame.reason)
        }),
    );
    if let Some(more) = blamed
        .len()
        .checked_sub(MOST_BLAMED)
        .filter(|more| *more > 0)
    {
        lines.push(format!("         and {more} more reasons"));
    }
    lines
}

fn profile(written: &Written<'_>) -> String {
    let size = values::bytes(written.bytes);
    match written.destination {
        Destination::Stdout => format!("profile  standard output, {size}"),
        Destination::File(file) => {
            let path = file.path().display();
            format!("profile  {path}, {size}; look at it: go tool pprof -top {path}")
        }
    }
}

fn reasons(reasons: &[(&'static str, u64)]) -> String {
    let words: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    words.join(", ")
}

fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn json(summary: &Summary, written: &Written<'_>) -> serde_json::Value {
    let by_reason =
        |reasons: Vec<(&'static str, u64)>| -> serde_json::Map<String, serde_json::Value> {
            reasons
                .into_iter()
                .map(|(reason, count)| (reason.to_owned(), count.into()))
                .collect()
        };
    let not_named: Vec<_> = summary
        .most_to_blame()
        .into_iter()
        .map(|(blame, count)| {
            serde_json::json!({"binary": blame.binary, "reason": blame.reason, "frames": count})
        })
        .collect();
    let path = match written.destination {
        Destination::Stdout => "-".to_owned(),
        Destination::File(file) => file.path().display().to_string(),
    };
    serde_json::json!({
        "level": "info",
        "message": "summary",
        "elapsed_ns": summary.elapsed.as_nanos() as u64,
        "ended": written.ended.as_str(),
        "frequency_hz": summary.frequency_hz,
        "period_ns": summary.period_ns,
        "samples": summary.samples,
        "samples_tried": summary.losses.tried,
        "cpu_time_ns": summary.cpu_time().as_nanos() as u64,
        "processes": summary.processes,
        "gone_processes": summary.gone_processes,
        "lost": by_reason(summary.lost_by_reason()),
        "lost_events": summary.losses.events,
        "lost_memory_events": summary.losses.memory_events,
        "children_not_followed": summary.losses.children_not_followed,
        "evicted": {
            "binaries": summary.evicted.binaries,
            "processes": summary.evicted.processes,
            "rows": summary.evicted.rows,
        },
        "stacks_copied": summary.copied,
        "stacks_cut": by_reason(summary.cut_by_reason()),
        "frames_named": summary.frames.named,
        "frames_not_named": not_named,
        "notes": summary.notes,
        "command": written.command,
        "profile": path,
        "profile_bytes": written.bytes,
    })
}
