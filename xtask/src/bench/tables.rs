//! Tables of figures in Markdown.

use super::figures::Figure;

/// The head of a table with a name and some figures in each row.
pub(super) fn heading(first: &str, figures: impl Iterator<Item = &'static Figure>) -> String {
    let titles: Vec<&str> = figures.map(|figure| figure.title).collect();
    let rule = " --- |".repeat(titles.len() + 1);
    format!("| {first} | {} |\n|{rule}\n", titles.join(" | "))
}

/// One row; what is not known is a dash.
pub(super) fn row(name: &str, values: impl Iterator<Item = (Option<f64>, usize)>) -> String {
    let cells = values.map(|(value, digits)| match value {
        Some(value) => format!(" {value:.digits$} |"),
        None => " - |".to_owned(),
    });
    format!("| {name} |{}\n", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{heading, row};
    use crate::bench::figures::FIGURES;

    /// Every row has as many cells as the head.
    #[test]
    fn rows_fit_the_head() {
        let cells = |line: &str| line.matches('|').count();
        let head = heading("name", FIGURES[..2].iter());
        let line = row("perf", [(Some(1.26), 1), (None, 0)].into_iter());
        assert_eq!(line, "| perf | 1.3 | - |\n");
        assert!(
            head.lines().all(|head| cells(head) == cells(&line)),
            "{head}"
        );
    }
}
