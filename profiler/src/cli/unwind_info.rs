//! `unwind-info`: the unwind rows of one binary, for people who want to know why a stack is cut.

use std::path::Path;

use anyhow::{Context, Result};

use super::inputs;
use crate::binary::Binary;
use crate::unwind::{self, Report};

/// Prints the rows of `file`, at most `most` of them, to standard output.
pub(super) fn print(file: &Path, most: Option<usize>) -> Result<()> {
    let name = file.display();
    let binary = Binary::open(file).with_context(|| format!("failed to open {name}"))?;
    let rows = unwind::for_binary(&binary)
        .with_context(|| format!("failed to read the unwind information of {name}"))?;
    let report = Report {
        rows: &rows,
        shown: most.unwrap_or(usize::MAX),
    };
    inputs::print(report).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary has its rows printed; what is no binary is named with the reason.
    #[test]
    fn real_and_unreal_binaries() {
        print(&std::env::current_exe().unwrap(), Some(0)).unwrap();
        let error = format!("{:#}", print(Path::new("/etc/passwd"), None).unwrap_err());
        assert!(
            error.contains("/etc/passwd") && error.contains("ELF"),
            "{error}"
        );
    }
}
