//! `/debug/pprof/`: for people, what can be asked, with the processes that there are.

use std::fmt::Write as _;

use super::Routes;
use crate::output::http::{self as answers, Answer, Asked};
use crate::output::push::PushCounts;
use crate::process::ProcFs;

/// Processes that are shown: those that have used most CPU time.
const MOST_SHOWN: usize = 100;

impl Routes {
    /// The page. It needs no script, so it works in every browser.
    pub(super) fn index(&self, asked: &Asked) -> Answer {
        let pushes = pushes(&self.pushers.counts());
        answers::html(page(&escaped(&asked.host), &pushes, &processes()))
    }
}

/// Rows of a table of the processes that have used most.
fn processes() -> String {
    let procfs = ProcFs::new();
    let mut processes: Vec<(u64, u32)> = procfs
        .pids()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|pid| Some((procfs.cpu_ticks(pid)?, pid)))
        .collect();
    processes.sort_unstable_by_key(|(ticks, pid)| (std::cmp::Reverse(*ticks), *pid));
    processes.retain(|(ticks, _)| *ticks > 0);
    processes.truncate(MOST_SHOWN);
    let mut rows = String::new();
    for (ticks, pid) in processes {
        let name = procfs.name(pid).unwrap_or_default();
        let name = escaped(&name.to_string_lossy());
        let seconds = ticks as f64 / 100.0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td>{pid}<td>{name}<td>{seconds:.1} s<td><a href=\"/debug/pprof/profile?pid={pid}&amp;seconds=10\">10 s of it</a>"
        );
    }
    rows
}

/// Where windows are pushed, and how that goes; nothing when they are not.
fn pushes(counts: &[PushCounts]) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut table = "<h2>Windows are pushed</h2>\n<table>\n\
                     <tr><th>to<th>sent<th>waiting<th>dropped<th>last error\n"
        .to_owned();
    for count in counts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(&count.target),
            count.sent,
            count.queued,
            count.dropped.total(),
            escaped(count.last_error.as_deref().unwrap_or("none")),
        );
    }
    table + "</table>\n"
}

fn page(host: &str, pushes: &str, rows: &str) -> String {
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>profiler: profiles on demand</title>
<h1>Profiles on demand</h1>
<p>Any process can be profiled while it runs, beside the windows that are <a href=\"/\">taken all the time</a>:
<pre>go tool pprof 'http://{host}/debug/pprof/profile?pid=PID&amp;seconds=10'
go tool pprof -http=: 'http://{host}/profiles/merge?from=-15m&amp;comm=NAME'</pre>
<p><code>seconds</code> is 30 unless given and 600 at most; <code>frequency</code> is 99 samples a second on each CPU;
without <code>pid</code> it is the whole machine. Some profiles can be taken at once; one whose client goes ends.
<ul>
<li><a href=\"/profiles\">/profiles</a>: the windows that there are
<li><a href=\"/metrics\">/metrics</a>: how the profiler is, for Prometheus
<li><a href=\"/healthz\">/healthz</a>: whether it is well
</ul>
{pushes}<h2>Processes by CPU time</h2>
<table>
<tr><th>pid<th>name<th>CPU time<th>profile
{rows}</table>
</html>
"
    )
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if c.is_control() => html.push('�'),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process can call itself anything.
    #[test]
    fn names_are_no_html() {
        assert_eq!(
            escaped("<b a=\"1\">&'\n"),
            "&lt;b a=&quot;1&quot;&gt;&amp;&#39;�"
        );
    }
}
