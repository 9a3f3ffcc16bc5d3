//! `/profiles/tree`: the flame graph of a time, or the difference of two.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::merged::{filter, read};
use super::{Refusal, Routes, Span};
use crate::output::http::{self as answers, Answer, Asked};
use crate::pprof::{By, Merge, MergeError, Tree};
use crate::serve::query::Query;

const BY: [(&str, By); 3] = [
    ("function", By::Function),
    ("file", By::File),
    ("binary", By::Binary),
];

/// What has less of all is not shown by itself: a pixel of the widest screens.
const SMALLEST: f64 = 1.0 / 4000.0;

impl Routes {
    /// The tree.
    pub(super) async fn flame(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let known = [
            "from",
            "to",
            "pid",
            "comm",
            "cgroup",
            "by",
            "before_from",
            "before_to",
        ];
        let query = Query::parse(&asked.query, &known)?;
        let time = SystemTime::now();
        let now = Span::of(&query, "from", "to", time)?;
        let before = Span::of(&query, "before_from", "before_to", time)?;
        let is_compared = before.from.is_some() || before.to.is_some();
        let by = query.choice("by", &BY)?.unwrap_or(By::Function);
        let filter = filter(&query)?;
        let windows = self.store.list(now.from, now.to);
        let windows_before = if is_compared {
            self.store.list(before.from, before.to)
        } else {
            Vec::new()
        };
        let made = self
            .reading(move |store, is_wanted| {
                let now = read(store, &windows, filter.clone(), is_wanted)?;
                let before = read(store, &windows_before, filter, is_wanted)?;
                let unit = [now.merge.unit(), before.merge.unit()];
                let unit = unit
                    .into_iter()
                    .find(|unit| !unit.is_empty())
                    .unwrap_or_default();
                let unit = unit.to_owned();
                let counts = [now.windows, before.windows, now.skipped + before.skipped];
                let tree = if is_compared {
                    Merge::difference(before.merge, now.merge, by, SMALLEST)
                } else {
                    now.merge.tree(by, SMALLEST)
                };
                Ok::<_, MergeError>(described(&tree, &unit, counts))
            })
            .await?;
        Ok(answers::json(&made?))
    }
}

fn described(tree: &Tree, unit: &str, [windows, windows_before, skipped]: [u64; 3]) -> Value {
    let nodes = tree.nodes.iter().map(|node| {
        json!([
            node.depth,
            node.name,
            node.value,
            node.own,
            node.value_before,
            node.own_before
        ])
    });
    json!({
        "unit": unit,
        "names": tree.names,
        "nodes": nodes.collect::<Vec<Value>>(),
        "windows": windows,
        "windows_before": windows_before,
        "windows_skipped": skipped,
    })
}
