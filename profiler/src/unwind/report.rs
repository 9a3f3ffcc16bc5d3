//! The rows of a binary as text, for bug reports. Printing it is left to `cli`.

use std::fmt;

use super::{Rows, Table};

/// Says how many rows there are, what they take, what could not be expressed, and shows the first of them.
#[derive(Debug)]
pub struct Report<'a> {
    /// The rows to report on.
    pub rows: &'a Rows,
    /// How many of them to show.
    pub shown: usize,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows;
        let table = Table::new(rows);
        writeln!(f, "functions       {}", rows.functions())?;
        writeln!(f, "rows            {}", rows.len())?;
        writeln!(f, "distinct rules  {}", rows.rules().len())?;
        writeln!(
            f,
            "kernel memory   {} bytes: {} rows of 4, {} pages of 8",
            table.size(),
            table.row_count(),
            table.page_count()
        )?;
        writeln!(f, "elsewhere       {}", rows.gap())?;
        if rows.misses().iter().next().is_none() {
            writeln!(f, "not expressed   nothing")?;
        }
        for (miss, count) in rows.misses().iter() {
            writeln!(f, "not expressed   {count} {}", miss.text())?;
        }
        let shown = self.shown.min(rows.len());
        if shown > 0 {
            writeln!(f, "\n         address  rule")?;
        }
        for (address, rule) in rows.iter().take(shown) {
            writeln!(f, "{address:16x}  {rule}")?;
        }
        if shown > 0 && shown < rows.len() {
            writeln!(f, "             ...  {} more", rows.len() - shown)?;
        }
        Ok(())
    }
}
