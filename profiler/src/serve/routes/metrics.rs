//! `/metrics`: how the profiler is, in the text format of Prometheus (version 0.0.4).

use super::Routes;
use super::exposition::{Exposition, Kind};
use crate::output::http::{Answer, text};
use crate::output::push::PushCounts;
use crate::serve::own;

impl Routes {
    /// All of it.
    pub(super) fn metrics(&self) -> Answer {
        let mut exposition = Exposition::default();
        let version = env!("CARGO_PKG_VERSION");
        exposition.each(
            Kind::Gauge,
            "profiler_build_info",
            "1, with the version.",
            "version",
            [(version, 1)],
        );
        self.samples(&mut exposition);
        self.unwinding(&mut exposition);
        self.stored(&mut exposition);
        self.clients(&mut exposition);
        pushed(&self.pushers.counts(), &mut exposition);
        own_use(&mut exposition);
        text(
            "text/plain; version=0.0.4; charset=utf-8",
            exposition.into_text(),
        )
    }

    /// What is in windows, and what is not.
    fn samples(&self, to: &mut Exposition) {
        let sums = self.status.sums();
        let (counts, losses) = (&sums.counts, &sums.counts.losses);
        to.one(
            Kind::Counter,
            "profiler_windows_total",
            "Windows that were written up.",
            sums.windows,
        );
        to.one(
            Kind::Counter,
            "profiler_samples_tried_total",
            "Samples that the kernel tried to take.",
            losses.tried,
        );
        to.one(
            Kind::Counter,
            "profiler_samples_total",
            "Samples in windows.",
            counts.samples,
        );
        to.each(
            Kind::Counter,
            "profiler_samples_lost_total",
            "Samples that were taken and are in no window.",
            "reason",
            [
                ("ring full", losses.ring_full),
                ("refused by the kernel", losses.output_failed),
                ("malformed", losses.malformed),
                ("writing hangs", sums.given_up),
            ],
        );
        to.each(
            Kind::Counter,
            "profiler_events_lost_total",
            "News of processes that did not arrive; what they told is read again.",
            "of",
            [
                ("processes", losses.events),
                ("mappings", losses.memory_events),
                ("children", losses.children_not_followed),
            ],
        );
        to.each(
            Kind::Counter,
            "profiler_stacks_total",
            "Samples by what ended the walk of their user stack; whole are end, end of the frame pointers and zero return address.",
            "stop",
            counts.stops.iter().map(|(stop, count)| (stop.text(), *count)),
        );
        to.one(
            Kind::Counter,
            "profiler_stacks_copied_total",
            "Samples whose stack was copied and walked in user space.",
            counts.copied,
        );
        to.each(
            Kind::Counter,
            "profiler_frames_total",
            "Frames, counted once for each sample, by whether they have a function.",
            "named",
            [("yes", counts.named), ("no", counts.not_named)],
        );
        to.one(
            Kind::Counter,
            "profiler_processes_gone_total",
            "Processes that ended before their mappings could be read.",
            counts.gone_processes,
        );
        to.each(
            Kind::Counter,
            "profiler_evicted_total",
            "What was forgotten to make room for others.",
            "of",
            [
                ("binaries", counts.evicted.binaries),
                ("processes", counts.evicted.processes),
                ("rows", counts.evicted.rows),
            ],
        );
        to.one(
            Kind::Counter,
            "profiler_writing_seconds_total",
            "Time that naming and writing windows took.",
            sums.writing.as_secs_f64(),
        );
    }

    /// What walks go by.
    fn unwinding(&self, to: &mut Exposition) {
        let gauges = self.status.gauges();
        to.one(
            Kind::Counter,
            "profiler_unwind_rows_made_total",
            "Unwind rows that were made.",
            gauges.rows_made,
        );
        to.one(
            Kind::Gauge,
            "profiler_unwind_row_bytes",
            "Bytes of unwind rows in the kernel.",
            gauges.row_bytes,
        );
        to.one(
            Kind::Gauge,
            "profiler_unwind_binaries",
            "Binaries whose unwind rows are in the kernel, or on their way.",
            gauges.binaries,
        );
        to.each(
            Kind::Gauge,
            "profiler_queue_depth",
            "What waits, by for what: stacks for unwind rows, windows for being written up.",
            "of",
            [
                ("stacks", gauges.waiting_stacks),
                ("windows", self.waiting.count() as u64),
            ],
        );
    }

    /// What is on disk.
    fn stored(&self, to: &mut Exposition) {
        let counts = self.store.counts();
        to.one(
            Kind::Counter,
            "profiler_store_written_total",
            "Files of windows that were written.",
            counts.written,
        );
        to.one(
            Kind::Counter,
            "profiler_store_failed_writes_total",
            "Attempts to write that failed.",
            counts.failed_writes,
        );
        to.each(
            Kind::Counter,
            "profiler_store_removed_total",
            "Files of windows that were removed, by reason.",
            "reason",
            [
                ("age", counts.removed_by_age),
                ("size", counts.removed_by_size),
                ("damaged", counts.damaged),
                ("removed by others", counts.vanished),
            ],
        );
        to.each(
            Kind::Counter,
            "profiler_store_lost_total",
            "Windows that were never written, by reason.",
            "reason",
            [
                ("no room in memory", counts.dropped),
                ("too large", counts.too_large),
            ],
        );
        to.each(
            Kind::Gauge,
            "profiler_store_windows",
            "Windows that there are, by where they are.",
            "in",
            [("files", counts.on_disk), ("memory", counts.in_memory)],
        );
        to.each(
            Kind::Gauge,
            "profiler_store_bytes",
            "Their bytes, by where they are.",
            "in",
            [("files", counts.bytes), ("memory", counts.bytes_in_memory)],
        );
        to.one(
            Kind::Gauge,
            "profiler_store_paused",
            "1 while windows cannot be written.",
            u8::from(counts.is_paused),
        );
    }

    /// Who asks.
    fn clients(&self, to: &mut Exposition) {
        to.one(
            Kind::Gauge,
            "profiler_http_connections",
            "Connections of clients.",
            self.http.connections(),
        );
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        to.each(
            Kind::Counter,
            "profiler_http_answers_total",
            "Answers by class of their status.",
            "status",
            classes.into_iter().zip(self.http.answers()),
        );
        to.one(
            Kind::Counter,
            "profiler_http_cut_off_total",
            "Connections that ended without a whole answer: garbage, too slow, gone.",
            self.http.cut_off(),
        );
        to.one(
            Kind::Gauge,
            "profiler_demand_running",
            "Profiles on demand that are being taken.",
            self.demand.running(),
        );
        to.one(
            Kind::Counter,
            "profiler_demand_total",
            "Profiles on demand that were taken.",
            self.demand.taken(),
        );
    }
}

/// What has become of windows elsewhere.
fn pushed(counts: &[PushCounts], to: &mut Exposition) {
    if counts.is_empty() {
        return;
    }
    let name = "profiler_push_windows_total";
    to.family(
        Kind::Counter,
        name,
        "Windows that were offered to a receiver, by what has become of them.",
    );
    for count in counts {
        let ends = count.dropped.by_reason();
        for (end, number) in [("sent", count.sent)].into_iter().chain(ends) {
            let [target, receiver] = of_target(count);
            to.sample(name, &[target, receiver, ("end", end)], number);
        }
    }
    type Number = fn(&PushCounts) -> u64;
    let numbers: [(Kind, &str, &str, Number); 5] = [
        (
            Kind::Counter,
            "profiler_push_offered_total",
            "Windows that were offered to a receiver.",
            |count| count.offered,
        ),
        (
            Kind::Counter,
            "profiler_push_bytes_total",
            "Bytes of messages that receivers took.",
            |count| count.sent_bytes,
        ),
        (
            Kind::Counter,
            "profiler_push_retries_total",
            "Tries that failed and were followed by another.",
            |count| count.retried,
        ),
        (
            Kind::Gauge,
            "profiler_push_queued_bytes",
            "Bytes of windows that wait for a receiver.",
            |count| count.queued_bytes,
        ),
        (
            Kind::Gauge,
            "profiler_push_queued_windows",
            "Windows that wait for a receiver.",
            |count| count.queued,
        ),
    ];
    for (kind, name, help, number) in numbers {
        to.family(kind, name, help);
        for count in counts {
            to.sample(name, &of_target(count), number(count));
        }
    }
}

/// The labels of what is told of a target.
fn of_target(count: &PushCounts) -> [(&str, &str); 2] {
    [
        ("target", &count.target),
        ("receiver", count.receiver.name()),
    ]
}

/// What the profiler itself uses, by the names that Prometheus has for that of every process.
fn own_use(to: &mut Exposition) {
    let own = own::usage();
    to.one(
        Kind::Counter,
        "process_cpu_seconds_total",
        "CPU time of the profiler, in user space and in the kernel.",
        own.cpu.as_secs_f64(),
    );
    if let Some(bytes) = own.resident_bytes {
        to.one(
            Kind::Gauge,
            "process_resident_memory_bytes",
            "Resident memory of the profiler.",
            bytes,
        );
    }
    if let Some(descriptors) = own.open_files {
        to.one(
            Kind::Gauge,
            "process_open_fds",
            "Open file descriptors of the profiler.",
            descriptors,
        );
    }
}
