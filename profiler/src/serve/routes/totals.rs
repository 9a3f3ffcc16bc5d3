//! `/profiles/totals`: what each program used in each window. What was found for a window is remembered, as it does not change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::windows::millis;
use super::{Refusal, Routes, Span};
use crate::output::http::{self as answers, Answer, Asked};
use crate::output::store::{Store, StoredWindow};
use crate::pprof::{Filter, Merge, Total};
use crate::serve::query::Query;

/// Programs of a window that are told by name; the others are one.
const MOST_PROGRAMS: usize = 40;
/// What others are called.
const OTHERS: &str = "…";
/// Windows that are remembered: a day of minutes, and more.
const MOST_WINDOWS: usize = 2000;

/// What a window is made of.
struct WindowTotals {
    unit: String,
    totals: Vec<Total>,
}

/// What was found for windows, by name.
#[derive(Default)]
pub(in crate::serve) struct TotalsMemory(Mutex<HashMap<Arc<str>, Arc<WindowTotals>>>);

impl TotalsMemory {
    /// The totals of a window; nothing if it cannot be read.
    fn of(&self, store: &Store, window: &StoredWindow) -> Option<Arc<WindowTotals>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&window.name) {
            return Some(Arc::clone(known));
        }
        let profile = store
            .read(&window.name)
            .inspect_err(|error| log::debug!("{error}"))
            .ok()?;
        let mut merge = Merge::new(Filter::default());
        if let Err(error) = merge.add(&profile) {
            log::warn!("the window {} is left out: {error}", window.name);
            return None;
        }
        let unit = merge.unit().to_owned();
        let found = Arc::new(WindowTotals {
            unit,
            totals: shortened(merge.totals()),
        });
        let mut known = lock();
        if known.len() >= MOST_WINDOWS {
            known.clear();
        }
        known.insert(Arc::clone(&window.name), Arc::clone(&found));
        Some(found)
    }
}

/// The largest, and all others as one.
fn shortened(mut totals: Vec<Total>) -> Vec<Total> {
    if totals.len() <= MOST_PROGRAMS {
        return totals;
    }
    let others = totals.split_off(MOST_PROGRAMS - 1);
    totals.push(Total {
        program: OTHERS.to_owned(),
        samples: others.iter().map(|total| total.samples).sum(),
        value: others.iter().map(|total| total.value).sum(),
    });
    totals
}

/// A time, with what each program used in it.
struct Row {
    started_at_ms: u64,
    duration_ms: u64,
    totals: HashMap<String, (i64, i64)>,
}

impl Routes {
    /// The totals.
    pub(super) async fn totals(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let query = Query::parse(&asked.query, &["from", "to"])?;
        let span = Span::of(&query, "from", "to", SystemTime::now())?;
        let windows = self.store.list(span.from, span.to);
        let memory = Arc::clone(&self.totals);
        let made = self
            .reading(move |store, is_wanted| {
                let mut unit = String::new();
                let mut rows: Vec<Row> = Vec::new();
                let mut skipped = 0;
                for window in windows.iter().take_while(|_| is_wanted()) {
                    let Some(found) = memory.of(store, window) else {
                        skipped += 1;
                        continue;
                    };
                    unit.clone_from(&found.unit);
                    add(&mut rows, window, &found.totals);
                }
                described(&rows, &unit, skipped)
            })
            .await?;
        Ok(answers::json(&made))
    }
}

/// Windows of one time, as there are with a file for each program, are one row.
fn add(rows: &mut Vec<Row>, window: &StoredWindow, totals: &[Total]) {
    let started_at_ms = millis(window.started_at);
    if rows
        .last()
        .is_none_or(|row| row.started_at_ms != started_at_ms)
    {
        rows.push(Row {
            started_at_ms,
            duration_ms: window.duration.as_millis() as u64,
            totals: HashMap::new(),
        });
    }
    let Some(row) = rows.last_mut() else { return };
    for total in totals {
        let sum = row.totals.entry(total.program.clone()).or_default();
        sum.0 += total.value;
        sum.1 += total.samples;
    }
}

fn described(rows: &[Row], unit: &str, skipped: u64) -> Value {
    let mut sums: HashMap<&str, i64> = HashMap::new();
    for (program, (value, _)) in rows.iter().flat_map(|row| &row.totals) {
        *sums.entry(program).or_default() += value;
    }
    let mut programs: Vec<(&str, i64)> = sums.into_iter().collect();
    programs.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
    let numbers: HashMap<&str, usize> = programs
        .iter()
        .enumerate()
        .map(|(number, (program, _))| (*program, number))
        .collect();
    let windows = rows.iter().map(|row| {
        let mut totals: Vec<(usize, i64, i64)> = row
            .totals
            .iter()
            .map(|(program, (value, samples))| (numbers[program.as_str()], *value, *samples))
            .collect();
        totals.sort_unstable();
        json!({
            "started_at_ms": row.started_at_ms,
            "duration_ms": row.duration_ms,
            "totals": totals,
        })
    });
    json!({
        "unit": unit,
        "programs": programs.iter().map(|(program, _)| *program).collect::<Vec<_>>(),
        "windows": windows.collect::<Vec<Value>>(),
        "windows_skipped": skipped,
    })
}
