//! The results as Markdown.

use std::fmt::Write;

use super::check::Findings;
use super::corpus::Program;
use super::pairs::percent;

const LEGEND: &str = "\
Samples: all that were taken, of the command and everything it started. No user stack: in the middle of exec or exit; the shares
are of the others. Whole: the walk reached the outermost frame; what was cut says so in the profile (label `truncated`), by reason
below. Equal: whole, and exactly the stack that the program itself says belongs to this innermost function. Wrong frames: all from
the first on that the program rules out. Not after a call: return addresses in files behind whose bytes is no call instruction.

perf: `perf record -e cpu-clock --call-graph dwarf,65528` of another run. Whole by the name of the outermost functions. Pairs of a
return address and its caller's: how many of ours perf has in its whole stacks, and the other way round; both took samples of
their own, so what is rare is seen by one alone.
";

/// All that was measured.
pub(super) fn text(
    measured: &[(&Program, Findings)],
    frequency: u32,
    perf_frequency: &str,
) -> String {
    let mut text = format!(
        "\nEach program from its first instruction to its end, at {frequency} Hz, perf at {perf_frequency} Hz.\n\n{LEGEND}\n"
    );
    text += "| program | samples | no user stack | whole % | goal % | | equal % | wrong frames | not after a call | \
             perf: samples | whole % | ours in perf % | perf's in ours % |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for (program, findings) in measured {
        text += &row(program, findings);
    }
    text += "\n## Cut stacks\n\n| program | reason | samples | % |\n| --- | --- | --- | --- |\n";
    for (program, findings) in measured {
        for (why, samples) in &findings.cut {
            let share = percent(*samples, findings.with_user());
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {why} | {samples} | {share:.2} |",
                program.name
            );
        }
    }
    text += "\n## Programs\n\n";
    for (program, findings) in measured {
        let _ = writeln!(text, "- {}: {}", program.name, program.about);
        for example in findings.right.iter().flat_map(|right| &right.examples) {
            let _ = writeln!(text, "  - wrong: `{example}`");
        }
    }
    text
}

fn row(program: &Program, findings: &Findings) -> String {
    let shown = |figure: Option<f64>| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"))
    };
    let whole = percent(findings.whole, findings.with_user());
    let right = findings.right.as_ref();
    let equal = right.map(|right| percent(right.stacks, findings.with_user()));
    let wrong = right.map(|right| right.wrong_frames);
    let reached = whole >= program.goal && wrong.unwrap_or(0) == 0;
    let peer = findings.peer.as_ref();
    format!(
        "| {} | {} | {} | {whole:.2} | {} | {} | {} | {} | {} of {} | {} | {} | {} | {} |\n",
        program.name,
        findings.samples,
        findings.without_user,
        program.goal,
        if reached { "reached" } else { "NOT reached" },
        shown(equal),
        wrong.map_or_else(|| "-".to_owned(), |wrong| wrong.to_string()),
        findings.not_after_call,
        findings.calls_checked,
        peer.map_or_else(|| "-".to_owned(), |peer| peer.samples.to_string()),
        shown(peer.map(|peer| peer.whole)),
        shown(peer.map(|peer| peer.ours_in_it)),
        shown(peer.map(|peer| peer.in_ours)),
    )
}
